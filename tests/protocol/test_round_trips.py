"""Every Struct of the contract survives the wire, in both formats."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.protocol import errors, resources
from service.protocol.codec import decode_command, encode_event, transcode
from service.protocol.commands import WebSocketCommand
from service.protocol.events import WebSocketEvent
from tests.protocol.strategies import instances

COMMANDS: list[type[msgspec.Struct]] = list(get_args(WebSocketCommand))
EVENTS: list[type[msgspec.Struct]] = list(get_args(WebSocketEvent))
RESOURCES: list[type[msgspec.Struct]] = [
    errors.Problem,
    *(
        value
        for value in vars(resources).values()
        if isinstance(value, type) and issubclass(value, resources.Body | resources.Answer)
    ),
]

few = settings(max_examples=15)  # of each of sixty Structs


def by_name(struct: type[msgspec.Struct]) -> str:
    return struct.__name__


def drawn(data: st.DataObject, struct: type[msgspec.Struct]) -> Any:
    return data.draw(instances(struct))


@pytest.mark.parametrize("struct", COMMANDS, ids=by_name)
@few
@given(data=st.data())
def test_a_command_in_json_is_read_as_it_was_meant(data: st.DataObject, struct: type[msgspec.Struct]) -> None:
    payload = msgspec.json.encode(drawn(data, struct))
    command = decode_command(payload, binary=False)
    assert type(command) is struct
    assert msgspec.json.encode(command) == payload


@pytest.mark.parametrize("struct", COMMANDS, ids=by_name)
@few
@given(data=st.data())
def test_a_command_in_messagepack_is_read_as_the_same_in_json(
    data: st.DataObject, struct: type[msgspec.Struct]
) -> None:
    payload = msgspec.json.encode(drawn(data, struct))
    command = decode_command(transcode(payload), binary=True)
    assert type(command) is struct
    assert msgspec.json.decode(msgspec.json.encode(command)) == msgspec.json.decode(payload)


@pytest.mark.parametrize("struct", EVENTS, ids=by_name)
@few
@given(data=st.data())
def test_an_event_in_json_is_read_back_as_it_was_sent(data: st.DataObject, struct: type[msgspec.Struct]) -> None:
    payload = encode_event(drawn(data, struct), binary=False)
    event = msgspec.json.decode(payload, type=WebSocketEvent)
    assert type(event) is struct
    assert msgspec.json.encode(event) == payload


@pytest.mark.parametrize("struct", EVENTS, ids=by_name)
@few
@given(data=st.data())
def test_an_event_in_messagepack_says_the_same_as_in_json(data: st.DataObject, struct: type[msgspec.Struct]) -> None:
    event = drawn(data, struct)
    plain = msgspec.json.decode(encode_event(event, binary=False))
    assert msgspec.msgpack.decode(encode_event(event, binary=True)) == plain


@pytest.mark.parametrize("struct", RESOURCES, ids=by_name)
@few
@given(data=st.data())
def test_a_body_or_answer_is_read_back_as_it_was_sent(data: st.DataObject, struct: type[msgspec.Struct]) -> None:
    payload = msgspec.json.encode(drawn(data, struct))
    assert msgspec.json.encode(msgspec.json.decode(payload, type=struct)) == payload


@pytest.mark.parametrize("struct", [*COMMANDS, *EVENTS, *RESOURCES], ids=by_name)
def test_every_struct_has_a_published_schema(struct: type[msgspec.Struct]) -> None:
    _, components = msgspec.json.schema_components([struct])
    assert components[struct.__name__]["type"] == "object"
