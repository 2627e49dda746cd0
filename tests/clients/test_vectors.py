"""clients/vectors against the server's own Structs: what the clients are held to is what the server says and takes."""

from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pytest

from service.protocol.codec import decode_command, encode_event
from service.protocol.commands import WebSocketCommand
from service.protocol.errors import ERROR_KINDS, RECONNECTS, CloseCode, ErrorCode, RoomcastError, problem
from service.protocol.events import WebSocketEvent

VECTORS: Final = Path(__file__).parents[2] / "clients" / "vectors"
STEPS: Final = {
    *("accept", "refuse", "client_sends", "client_sends_nothing", "server_sends", "close", "drop", "do"),
    *("resolves", "rejects", "client_sees", "members_are", "client_is"),
}
DISCONNECTED: Final = CloseCode.DISCONNECTED  # as the tenant's server asked


def read(name: str) -> Any:
    return msgspec.json.decode((VECTORS / f"{name}.json").read_bytes())


COMMANDS: Final = read("commands")
EVENTS: Final = read("events")
ERRORS: Final = read("errors")
CLOSES: Final = read("closes")
SCENES: Final = read("scenes")


def by_name(items: list[Any]) -> list[Any]:
    return [pytest.param(item, id=item["name"]) for item in items]


def fields_by_tag(union: Any) -> dict[Any, set[str]]:
    return {one.__struct_config__.tag: {"type", *one.__struct_encode_fields__} for one in get_args(union)}


def fields_seen(frames: list[dict[str, Any]]) -> dict[Any, set[str]]:
    seen: dict[Any, set[str]] = {}
    for frame in frames:
        seen.setdefault(frame["type"], set()).update(frame)
    return seen


def plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def is_type_of_reply(kind: Any, reply: str) -> bool:
    return any(event.__struct_config__.tag == reply and "id" in event.__struct_fields__ for event in get_args(kind))


@pytest.mark.parametrize("vector", by_name(COMMANDS["valid"]))
def test_a_command_is_taken_as_it_stands_there(vector: Any) -> None:
    command = decode_command(msgspec.json.encode(vector["frame"]), binary=False)
    defaults = {name: value for name, value in plain(command).items() if name not in vector["frame"]}
    assert plain(command) == vector["frame"] | defaults
    assert all(value in (False, 100) for value in defaults.values())
    assert (vector["reply"] is None) == ("id" not in vector["frame"])
    assert vector["reply"] is None or is_type_of_reply(WebSocketEvent, vector["reply"])


def test_every_command_stands_there_with_every_field() -> None:
    assert fields_seen([vector["frame"] for vector in COMMANDS["valid"]]) == fields_by_tag(WebSocketCommand)


@pytest.mark.parametrize("vector", by_name(COMMANDS["refused"]))
def test_a_command_is_refused_as_it_stands_there(vector: Any) -> None:
    with pytest.raises(RoomcastError) as refused:
        decode_command(vector["text"].encode(), binary=False)
    assert refused.value.code == vector["code"]
    if "path" in vector:
        assert refused.value.path == vector["path"]


@pytest.mark.parametrize("frame", EVENTS["known"], ids=lambda frame: frame["type"])
def test_an_event_is_sent_as_it_stands_there(frame: Any) -> None:
    event = msgspec.json.decode(msgspec.json.encode(frame), type=WebSocketEvent)
    assert msgspec.json.decode(encode_event(event, binary=False)) == frame


def test_every_event_stands_there_with_every_field() -> None:
    assert fields_seen(EVENTS["known"]) == fields_by_tag(WebSocketEvent)


def test_every_error_stands_there_as_both_edges_send_it() -> None:
    assert [vector["code"] for vector in ERRORS] == list(get_args(ErrorCode))
    for vector in ERRORS:
        frame = dict(vector["frame"])
        assert msgspec.convert(frame, WebSocketEvent) is not None
        del frame["type"], frame["id"]
        assert plain(problem(RoomcastError(frame.pop("code"), frame.pop("message"), **frame))) == vector["problem"]
        kind = ERROR_KINDS[vector["code"]]
        assert (vector["status"], vector["temporary"]) == (kind.status, kind.temporary)


def test_every_close_code_stands_there_with_what_a_client_does() -> None:
    assert {vector["code"] for vector in CLOSES} >= set(CloseCode)
    for vector in CLOSES:
        code, comes_back = vector["code"], vector["does"] != "stop"
        if code in set(CloseCode) - {DISCONNECTED}:
            assert comes_back == (code in RECONNECTS), vector
        if "closing" in vector:
            assert vector["closing"]["reconnect"] == comes_back, vector
        assert (vector["does"] == "reconnect_with_new_token") == (code == CloseCode.UNAUTHENTICATED)


@pytest.mark.parametrize("scene", by_name(SCENES["scenes"]))
def test_a_scene_is_played_with_what_the_server_sends_and_takes(scene: Any) -> None:
    for step in scene["steps"]:
        (kind,) = set(step) & STEPS
        assert set(step) - {kind} <= {"token", "after_ms", "as", "with"}, step
        if kind == "client_sends":
            wanted = {name: value for name, value in step[kind].items() if value is not None}
            filler = {"authenticate": {}, "publish": {"data": 0}}.get(wanted["type"], {})
            decode_command(msgspec.json.encode(filler | wanted), binary=False)
        elif kind == "server_sends" and step[kind]["type"] in fields_by_tag(WebSocketEvent):
            msgspec.json.decode(msgspec.json.encode(step[kind]), type=WebSocketEvent)
    assert set(plain(msgspec.convert(SCENES["welcome"], WebSocketEvent))) == set(SCENES["welcome"])


def test_the_scenes_close_with_codes_that_the_server_has() -> None:
    steps = [step for scene in SCENES["scenes"] for step in scene["steps"]]
    assert {step["close"] for step in steps if "close" in step} <= set(CloseCode)
