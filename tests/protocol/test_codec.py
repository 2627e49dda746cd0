"""What the decoder refuses, with which code and where, and what it passes through."""

import struct
import sys

import msgspec
import pytest
from msgspec import Raw

from service.protocol.codec import (
    decode_command,
    encode_event,
    error_event,
    event_frame,
    frame,
    problem_body,
)
from service.protocol.commands import Join, Ping, Publish, Send
from service.protocol.errors import NotJoined, RateLimited, RoomcastError, TooLarge
from service.protocol.events import HistoryEvent, HistoryItem, Joined, Member, Message, Occupancy, Sender
from tests.protocol.poison import JSON_POISON, MESSAGEPACK_POISON, nested, packed, publish


@pytest.mark.parametrize(("payload", "expected"), JSON_POISON, ids=lambda value: repr(value)[:60])
def test_poison_in_json_is_refused_with_its_code_and_path(payload: bytes, expected: tuple[str, str | None]) -> None:
    with pytest.raises(RoomcastError) as refused:
        decode_command(payload, binary=False)
    assert (refused.value.code, refused.value.path) == expected


@pytest.mark.parametrize(("payload", "expected"), MESSAGEPACK_POISON, ids=lambda value: repr(value)[:60])
def test_poison_in_messagepack_is_refused_with_its_code_and_path(
    payload: bytes, expected: tuple[str, str | None]
) -> None:
    with pytest.raises(RoomcastError) as refused:
        decode_command(payload, binary=True)
    assert (refused.value.code, refused.value.path) == expected


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"canary"}',
        b'{"type":"join","room":"canary /"}',
        b'{"type":"ping","id":"%b"}' % (b"canary" * 20),
        b'{"type":"publish","room":"a","data":"\\ud800 canary"}',
        b'{"type":"publish","room":"a","data":{"canary":1e999}}',
        b'{"type":"ping","%b":1}' % (b"canary" * 20_000),
        b'{"type":"ping"} canary',
    ],
    ids=lambda payload: payload[:40].decode(),
)
def test_a_refusal_repeats_nothing_of_what_was_sent(payload: bytes) -> None:
    with pytest.raises(RoomcastError) as refused:
        decode_command(payload, binary=False)
    assert b"canary" not in encode_event(error_event(refused.value), binary=False)


@pytest.mark.parametrize(
    "data",
    [
        "1", "-0", "1.0", "1E5", "1e308", "1e-999", "0.1234567890123456789012", "18446744073709551615",
        "-9223372036854775808", '""', '"1e999 18446744073709551616 \\\\ud800"', r'"\ud83d\ude00\/\u0041"',
        '"\x7f\u2028ä😀"',
        ' { "a" : 1 ,\n"a":\t[ ] } ', '{"a":1,"a":2}', "null", nested(127), '"' + "[" * 1000 + '"', '"\\\\"',
        "[" + ",".join(['{"x":[1,"]"]}'] * 200) + "]", '"e123-0e1234-1234567890123456789"',
    ],
    ids=lambda data: data[:40],
)  # fmt: skip
def test_data_in_json_passes_byte_for_byte(data: str) -> None:
    command = decode_command(publish(data), binary=False)
    assert isinstance(command, Publish)
    assert bytes(command.data) == data.strip().encode()


def test_of_equal_keys_the_last_counts() -> None:
    command = decode_command(b'{"type":"publish","room":"a","room":"b","data":1,"data":2}', binary=False)
    assert isinstance(command, Publish)
    assert (command.room, bytes(command.data)) == ("b", b"2")


def test_the_order_of_fields_does_not_matter() -> None:
    assert decode_command(b' {"id":"x","type":"ping"}\n', binary=False) == Ping(id="x")
    assert isinstance(decode_command(b'{"data":[1],"user":"bob","type":"send"}', binary=False), Send)


@pytest.mark.parametrize(
    ("data", "stored"),
    [
        (b"\xcf" + b"\xff" * 8, b"18446744073709551615"),
        (b"\xd3\x80" + bytes(7), b"-9223372036854775808"),
        (b"\xcb" + struct.pack("!d", 1.0), b"1.0"),
        (b"\xca" + struct.pack("!f", 0.5), b"0.5"),
        (b"\x82\xa1a\xc0\xa1b\x92\xc3\xa3\xe2\x82\xac", b'{"a":null,"b":[true,"\xe2\x82\xac"]}'),
        (b"\xa2\x00\n", rb'"\u0000\n"'),
        (b"\x91" * 127 + b"\x01", b"[" * 127 + b"1" + b"]" * 127),
    ],
)
def test_data_in_messagepack_is_stored_as_json(data: bytes, stored: bytes) -> None:
    command = decode_command(packed(data), binary=True)
    assert isinstance(command, Publish)
    assert bytes(command.data) == stored


def test_a_small_raw_does_not_keep_a_big_frame() -> None:
    payload = b'{"type":"join","room":"chat",%b"state":{"a":1}}' % (b" " * 60_000)
    references = sys.getrefcount(payload)
    command = decode_command(payload, binary=False)
    assert isinstance(command, Join)
    assert isinstance(command.state, Raw)
    assert bytes(command.state) == b'{"a":1}'
    assert sys.getrefcount(payload) == references


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_frame_has_the_shortest_header_for_its_size(size: int, header: bytes) -> None:
    payload = b"x" * size
    assert frame(payload, binary=False) == header + payload
    assert frame(payload, binary=True) == b"\x82" + header[1:] + payload


def test_raw_within_members_and_history_is_transcoded_too() -> None:
    occupancy = Occupancy(connections=1, users=1)
    member = Member(user="alice", connection="c" * 16, info=Raw(b'{"a":1.0}'), state=Raw(b"[2]"), joined_at_ms=5)
    joined = Joined(room="chat", position=None, recovered=None, occupancy=occupancy, members=[member])
    read = msgspec.msgpack.decode(encode_event(joined, binary=True))
    assert (read["members"][0]["info"], read["members"][0]["state"]) == ({"a": 1.0}, [2])
    item = HistoryItem(offset=1, data=Raw(b"18446744073709551615"), time_ms=5, from_=None)
    page = HistoryEvent(room="chat", messages=[item], position="e:1", more=False, complete=True)
    assert msgspec.msgpack.decode(encode_event(page, binary=True))["messages"][0]["data"] == 2**64 - 1


def test_an_event_frame_holds_the_event_with_its_data_untouched() -> None:
    message = Message(room="chat", data=Raw(b'{ "a": 1.00 }'), time_ms=5, from_=Sender(user="alice"))
    payload = (
        b'{"type":"message","room":"chat","data":{ "a": 1.00 },"time_ms":5,"from":{"user":"alice","connection":null}}'
    )
    assert event_frame(message, binary=False) == frame(payload, binary=False)


def test_an_error_event_carries_what_the_refusal_knows() -> None:
    refused = RateLimited("commands_per_second", "connection", 40, room="chat")
    assert msgspec.json.decode(encode_event(error_event(refused, 7), binary=False)) == {
        "type": "error",
        "id": 7,
        "code": "rate_limited",
        "message": "the connection is over commands_per_second: try again in 40 ms",
        "room": "chat",
        "limit": "commands_per_second",
        "scope": "connection",
        "retry_after_ms": 40,
    }
    assert msgspec.json.decode(encode_event(error_event(NotJoined("chat")), binary=False)).keys() == {
        "type", "code", "message", "room"
    }  # fmt: skip


def test_a_problem_body_carries_the_status_that_it_is_sent_with() -> None:
    body = msgspec.json.decode(problem_body(TooLarge("max_frame_bytes", 100), status=431))
    assert body == {
        "type": "urn:roomcast:error:too_large",
        "title": "Over a size limit",
        "status": 431,
        "detail": "over max_frame_bytes: 100 bytes",
        "limit": "max_frame_bytes",
        "scope": "tenant",
    }
