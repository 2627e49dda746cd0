"""The client's Structs against the server's, field by field; and the two REST classes against each other."""

import inspect
import re
from typing import Any, get_args

import msgspec
import pytest
import service.protocol.administration as server_administration
import service.protocol.commands as server_commands
import service.protocol.errors as server_errors
import service.protocol.events as server_events
import service.protocol.resources as server_resources

from roomcast_client import Server, SyncServer, commands, events, resources, wire
from roomcast_client.errors import from_problem, refusal
from vectors import read

SERVERS: dict[str, Any] = {}
for module in (server_administration, server_commands, server_errors, server_events, server_resources):
    SERVERS |= {f"{module.__name__}.{name}": kind for name, kind in vars(module).items() if inspect.isclass(kind)}
BASES = {"Command", "Event", "Reply", "Body", "Answer"}


def structs(module: Any) -> list[Any]:
    found = [kind for kind in vars(module).values() if inspect.isclass(kind) and issubclass(kind, msgspec.Struct)]
    return [kind for kind in found if kind.__module__ == module.__name__ and kind.__name__ not in BASES]


def twin(kind: Any) -> Any:
    names = [name for name in SERVERS if name.rpartition(".")[2] == kind.__name__]
    same_module = [name for name in names if name.split(".")[-2] == kind.__module__.rpartition(".")[2]]
    return SERVERS[(same_module or names)[0]]


def shape(kind: Any) -> dict[str, Any]:
    """Fields on the wire: whether they may be absent, and their defaults."""
    return {
        field.encode_name: (field.required, None if field.default is msgspec.NODEFAULT else repr(field.default))
        for field in msgspec.structs.fields(kind)
    }


STRUCTS = [*structs(commands), *structs(events), *structs(resources)]


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_a_struct_is_what_the_server_has(kind: Any) -> None:
    assert shape(kind) == shape(twin(kind))
    assert kind.__struct_config__.tag == twin(kind).__struct_config__.tag


def test_there_is_a_struct_for_every_command_and_event() -> None:
    def tags(union: Any) -> set[Any]:
        return {getattr(kind, "__origin__", kind).__struct_config__.tag for kind in get_args(union)}

    assert tags(commands.WebSocketCommand) == tags(server_commands.WebSocketCommand)
    assert tags(wire.WebSocketEvent) == tags(server_events.WebSocketEvent)


@pytest.mark.parametrize("vector", read("commands")["valid"], ids=lambda vector: vector["name"])
def test_a_command_is_written_as_the_vectors_have_it(vector: Any) -> None:
    command = msgspec.json.decode(msgspec.json.encode(vector["frame"]), type=commands.WebSocketCommand)
    written = msgspec.json.decode(msgspec.json.encode(command))
    assert written == {name: written[name] for name in written} | vector["frame"]


@pytest.mark.parametrize("frame", read("events")["known"], ids=lambda frame: frame["type"])
def test_an_event_is_read_as_the_vectors_have_it(frame: Any) -> None:
    assert msgspec.json.decode(msgspec.json.encode(wire.decode(msgspec.json.encode(frame)))) == frame


@pytest.mark.parametrize("vector", read("events")["grown"], ids=lambda vector: vector["name"])
def test_what_a_later_server_sends_is_read_as_far_as_it_is_known(vector: Any) -> None:
    event = wire.decode(msgspec.json.encode(vector["frame"]))
    assert (None if event is None else msgspec.json.decode(msgspec.json.encode(event))) == vector["is"]


def test_a_known_event_that_does_not_fit_is_no_event() -> None:
    for text in (b'{"type":"message","room":1}', b"{", b"[]"):
        with pytest.raises(wire.BrokenFrame):
            wire.decode(text)


@pytest.mark.parametrize("vector", read("errors"), ids=lambda vector: vector["code"])
def test_an_error_has_a_class_by_its_code_from_both_edges(vector: Any) -> None:
    event = wire.decode(msgspec.json.encode(vector["frame"]))
    assert isinstance(event, events.ErrorEvent)
    told, answered = refusal(event), from_problem(vector["status"], msgspec.json.encode(vector["problem"]))
    assert type(told) is type(answered)
    assert type(told).code == vector["code"]
    assert (told.is_temporary, answered.status, told.status) == (vector["temporary"], vector["status"], None)
    for name in ("message", "path", "room", "limit", "scope", "retry_after_ms", "incident"):
        assert getattr(told, name) == getattr(answered, name) == vector["frame"].get(name)


def test_a_refusal_that_is_not_of_ours_is_told_by_its_status() -> None:
    assert from_problem(502, b"<html>").code == "unavailable"
    assert from_problem(418, b"{}").code == "http_418"
    later = from_problem(409, b'{"type":"urn:roomcast:error:later","detail":"x","breaks":[1]}')
    assert (later.code, later.message, later.details) == ("later", "x", {"breaks": [1]})


def test_both_rest_classes_do_the_same() -> None:
    def signatures(kind: Any) -> dict[str, Any]:
        methods = {name: one for name, one in vars(kind).items() if callable(one) and not name.startswith("_")}
        found = {name: inspect.signature(method) for name, method in methods.items()}
        return {
            name: re.sub(r" at 0x\w+", "", str(signature)).replace("AsyncIterator", "Iterator")
            for name, signature in found.items()
        }

    assert signatures(Server) == signatures(SyncServer)
