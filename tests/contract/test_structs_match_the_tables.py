"""PROTOCOL.md's commands and events against the Structs: the same names, the same fields, the same are optional."""

import re
from typing import Any, get_args

import msgspec
import pytest
from msgspec import UNSET

from service.protocol.commands import Command, WebSocketCommand
from service.protocol.events import Event, Member, Occupancy, Reply, Sender, WebSocketEvent, WelcomeLimits
from tests.contract.tables import TEXT, Field, Row, braced, fields, number, quoted, table

COMMAND_ROWS = table("Commands: client to server")
EVENT_ROWS = [row for row in table("Events: server to client") if row["type"].startswith("`")]


def by_tag(union: Any) -> dict[str, type[msgspec.Struct]]:
    return {struct.__struct_config__.tag: struct for struct in get_args(union)}


COMMANDS = by_tag(WebSocketCommand)
EVENTS = by_tag(WebSocketEvent)


def wire_fields(struct: type[msgspec.Struct]) -> dict[str, bool]:
    """Name on the wire to whether the field may be absent. What the server sends with a default, it sends."""
    defaults_apply = issubclass(struct, Command)
    return {
        field.encode_name: field.default is UNSET or (defaults_apply and not field.required)
        for field in msgspec.structs.fields(struct)
    }


def noted(found: list[Field]) -> dict[str, bool]:
    return {field.name: field.optional or field.default is not None for field in found}


def tag_of(row: Row) -> str:
    return quoted(row["type"])[0]


def test_the_commands_are_those_of_the_table() -> None:
    assert sorted(COMMANDS) == sorted(map(tag_of, COMMAND_ROWS))


def test_the_events_are_those_of_the_tables() -> None:
    replies = {quoted(row["reply"])[0] for row in COMMAND_ROWS}
    assert set(EVENTS) == replies | set(map(tag_of, EVENT_ROWS))


@pytest.mark.parametrize("row", COMMAND_ROWS, ids=tag_of)
def test_a_command_has_the_fields_of_its_row(row: Row) -> None:
    struct = COMMANDS[tag_of(row)]
    assert issubclass(struct, Command)
    assert struct.__struct_config__.forbid_unknown_fields
    assert wire_fields(struct) == {"id": True} | noted(fields(row["fields"]))


@pytest.mark.parametrize("row", COMMAND_ROWS, ids=tag_of)
def test_a_command_has_the_defaults_of_its_row(row: Row) -> None:
    noted_defaults = {field.name: field.default for field in fields(row["fields"])}
    for field in msgspec.structs.fields(COMMANDS[tag_of(row)]):
        if not field.required and field.default is not UNSET:
            assert msgspec.json.encode(field.default).decode() == noted_defaults[field.encode_name]


@pytest.mark.parametrize("row", [row for row in COMMAND_ROWS if "limit?" in row["fields"]], ids=tag_of)
def test_a_page_is_bounded_as_its_row_says(row: Row) -> None:
    bound = re.search(r"≤ ([\d,]+)", row["fields"])
    assert bound is not None
    most = number(bound[1])
    payload = {"type": tag_of(row), "room": "chat"}
    msgspec.convert(payload | {"limit": most}, WebSocketCommand)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(payload | {"limit": most + 1}, WebSocketCommand)


@pytest.mark.parametrize("row", COMMAND_ROWS, ids=tag_of)
def test_a_reply_has_the_fields_of_its_row(row: Row) -> None:
    reply = EVENTS[quoted(row["reply"])[0]]
    inner = braced(row["reply"])
    assert inner is not None
    assert issubclass(reply, Reply)
    assert wire_fields(reply) == {"id": True} | noted(fields(inner))


@pytest.mark.parametrize("row", EVENT_ROWS, ids=tag_of)
def test_an_event_has_the_fields_of_its_row(row: Row) -> None:
    event = EVENTS[tag_of(row)]
    assert issubclass(event, Event)
    repeated = {"id": True} if issubclass(event, Reply) else {}
    assert wire_fields(event) == repeated | noted(fields(row["fields"]))


@pytest.mark.parametrize("row", [row for row in EVENT_ROWS if "reason `" in row["fields"]], ids=tag_of)
def test_an_event_gives_the_reasons_of_its_row(row: Row) -> None:
    listed = re.sub(r"\([^()]*\)", "", row["fields"].partition("reason ")[2])
    reasons = quoted(re.split("[;:]", listed)[0])
    types = {field.encode_name: field.type for field in msgspec.structs.fields(EVENTS[tag_of(row)])}
    assert sorted(get_args(types["reason"])) == sorted(reasons)


@pytest.mark.parametrize(
    ("struct", "notation"),
    [
        (WelcomeLimits, braced(TEXT, after="limits")),
        (Sender, braced(TEXT, after="from")),
        (Member, braced(TEXT, after="\nmember:")),
        (Occupancy, braced(TEXT, after="occupancy:")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_part_of_an_event_has_the_fields_that_are_noted(struct: type[msgspec.Struct], notation: str) -> None:
    assert wire_fields(struct) == noted(fields(notation))


def test_names_on_the_wire_are_snake_case() -> None:
    for struct in (*COMMANDS.values(), *EVENTS.values()):
        for name in wire_fields(struct):
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
