"""What the decoder refuses, with which code and where, and what it passes through."""

import math
import struct
import sys

import msgspec
import pytest
from msgspec import UNSET, Raw, UnsetType

from service.protocol.codec import (
    decode_command,
    encode_event,
    error_event,
    event_frame,
    frame,
    problem_body,
    salvage,
)
from service.protocol.commands import Join, Ping, Publish, Send
from service.protocol.errors import NotJoined, RateLimited, RoomcastError, TooLarge
from service.protocol.events import HistoryEvent, HistoryItem, Joined, Member, Message, Occupancy, Sender
from service.protocol.identifiers import CommandId

MALFORMED = ("malformed", None)
DATA = ("invalid", "$.data")
UNKNOWN = ("unknown_command", "$.type")


def publish(data: str | bytes) -> bytes:
    raw = data.encode() if isinstance(data, str) else data
    return b'{"type":"publish","id":7,"room":"chat","data":%b}' % raw


def packed(data: bytes) -> bytes:
    """A publish in MessagePack whose `data` are these bytes."""
    return b"\x83\xa4type\xa7publish\xa4room\xa4chat\xa4data" + data


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


JSON_POISON: list[tuple[bytes, tuple[str, str | None]]] = [
    # no JSON at all
    (b"", MALFORMED),
    (b" \n", MALFORMED),
    (b"nope", MALFORMED),
    (b"{", MALFORMED),
    (b'{"type":"ping"} x', MALFORMED),
    (b'{"type":"ping"}{"type":"ping"}', MALFORMED),
    (b'\xef\xbb\xbf{"type":"ping"}', MALFORMED),
    (b'{"type":"ping",}', MALFORMED),
    (b"{'type':'ping'}", MALFORMED),
    (b'{"type":5} x', MALFORMED),
    (b'{"type":"nope","x":[}', MALFORMED),
    (b'{"type":"join","room":"\xff"}', MALFORMED),
    (b"\x83\xa4type\xa7publish", MALFORMED),
    *((publish(number), MALFORMED) for number in ("01", "-", "1.", ".5", "1e", "1e+", "+1", "--1", "0x10", "1_000")),
    *((publish(word), MALFORMED) for word in ("NaN", "Infinity", "-Infinity", "[NaN]", "nan", "True", "undefined")),
    *((publish(text), MALFORMED) for text in ('"\x00"', '"a\tb"', '"a\nb"', r'"\x41"', r'"\u12"', r'"\u12zz"', '"a')),
    *((publish(data), MALFORMED) for data in ("[1,]", '{"a":1,}', "[1 2]", "{1:2}", '{"a"}', "/**/1", "[}")),
    (publish(""), MALFORMED),
    # nesting: the frame itself is the first of 128 levels
    (publish(nested(128)), MALFORMED),
    (publish(nested(500)), MALFORMED),
    (publish(nested(10_000)), MALFORMED),
    (publish('{"a":' * 128 + "1" + "}" * 128), MALFORMED),
    (publish('["\\"]",' * 128 + "1" + "]" * 128), MALFORMED),
    (b"[" * 100_000, MALFORMED),
    (b'{"type":"ping","id":%b}' % nested(10_000).encode(), MALFORMED),
    (b'{"type":"ping","more":%b}' % nested(128).encode(), MALFORMED),
    # of no command
    (b"[]", ("invalid", "$")),
    (b"null", ("invalid", "$")),
    (b'"ping"', ("invalid", "$")),
    (b"{}", ("invalid", "$.type")),
    (b'{"type":5}', ("invalid", "$.type")),
    (b'{"type":null}', ("invalid", "$.type")),
    (b'{"type":["ping"]}', ("invalid", "$.type")),
    (b'{"type":"nope"}', UNKNOWN),
    (b'{"type":"Ping"}', UNKNOWN),
    (b'{"type":""}', UNKNOWN),
    (b'{"type":"call","room":"chat"}', UNKNOWN),
    (b'{"type":"ping","type":"join","room":"a"}', ("invalid", "$.type")),
    # of the wrong fields
    (b'{"type":"ping","room":"chat"}', ("invalid", "$.room")),
    (b'{"type":"publish","room":"chat"}', ("invalid", "$.data")),
    (b'{"type":"publish","data":1}', ("invalid", "$.room")),
    (b'{"type":"ping","a\xc3\xa4 `x`":1}', ("invalid", "$")),
    (b'{"type":"ping","id":null}', ("invalid", "$.id")),
    (b'{"type":"ping","id":true}', ("invalid", "$.id")),
    (b'{"type":"ping","id":1.0}', ("invalid", "$.id")),
    (b'{"type":"ping","id":""}', ("invalid", "$.id")),
    (b'{"type":"ping","id":"%b"}' % (b"a" * 65), ("invalid", "$.id")),
    (b'{"type":"ping","id":9007199254740992}', ("invalid", "$.id")),
    (b'{"type":"ping","id":-9007199254740992}', ("invalid", "$.id")),
    (b'{"type":"ping","id":%b}' % (b"9" * 5000), ("invalid", "$.id")),
    (b'{"type":"history","room":"chat","limit":"5"}', ("invalid", "$.limit")),
    (b'{"type":"history","room":"chat","limit":5.0}', ("invalid", "$.limit")),
    (b'{"type":"history","room":"chat","limit":0}', ("invalid", "$.limit")),
    (b'{"type":"members","room":"chat","limit":1001}', ("invalid", "$.limit")),
    (b'{"type":"join","room":"chat","watch":"true"}', ("invalid", "$.watch")),
    (b'{"type":"join","room":"chat","since":"epoch"}', ("invalid", "$.since")),
    (b'{"type":"join","room":"chat","since":"e:01"}', ("invalid", "$.since")),
    (b'{"type":"join","room":"chat","since":"e:1\\n"}', ("invalid", "$.since")),
    (b'{"type":"publish","room":"chat","data":1,"echo":1}', ("invalid", "$.echo")),
    (b'{"type":"publish","room":"chat","data":1,"key":""}', ("invalid", "$.key")),
    (b'{"type":"publish","room":"chat","data":1,"key":"%b"}' % (b"k" * 129), ("invalid", "$.key")),
    (b'{"type":"publish","room":"chat","data":1,"name":"a\\u0000b"}', ("invalid", "$.name")),
    (b'{"type":"publish","room":"chat","data":1,"name":"typing\\n"}', ("invalid", "$.name")),
    (b'{"type":"publish","room":"chat","data":1,"name":null}', ("invalid", "$.name")),
    *(
        (b'{"type":"join","room":"%b"}' % room, ("invalid", "$.room"))
        for room in (
            rb"chat\n", rb"\nchat", rb"ch\u0000at", b"", b".", b"..", b"a/b", b"a b", b"a*",
            b"\xc3\xa4", b"r" * 201, rb"chat\r",
        )
    ),
    *(
        (b'{"type":"send","user":"%b","data":1}' % user, ("invalid", "$.user"))
        for user in (rb"bob\n", rb"b\u0000b", b"", b".", b"..", b"a/b", b"u" * 129, rb"\u0085")
    ),
    # values that JSON can write and nobody can hold
    (publish("1e999"), DATA),
    (publish("[-1e999]"), DATA),
    (publish("1E+400"), DATA),
    (publish("1.7976931348623159e308"), DATA),
    (publish("1" + "0" * 400 + ".0"), DATA),
    (publish("0.1e99999999999999999999"), DATA),
    (publish("18446744073709551616"), DATA),
    (publish("-9223372036854775809"), DATA),
    (publish("9" * 5000), DATA),
    (publish('{"a":1e999,"a":1}'), DATA),
    (publish('{"a":18446744073709551616,"a":1}'), DATA),
    (publish('["\\"",1e999]'), DATA),
    (b'{"type":"join","room":"chat","state":[1e999]}', ("invalid", "$.state")),
    *(
        (publish(text), DATA)
        for text in (
            r'"\ud800"', r'"\uDBFFaaaaaaaa"', r'["\udc00"]', r'"\ud800\u0041"', r'"\ud800\ud800\udc00"',
            r'{"\ud800":1}',
        )
    ),
    (rb'{"type":"ping","id":"\ud800"}', ("invalid", "$.id")),
    (rb'{"type":"join","room":"\ud800"}', ("invalid", "$.room")),
    (rb'{"type":"publish","room":"chat","data":1,"name":"\udfff"}', ("invalid", "$.name")),
]  # fmt: skip

MESSAGEPACK_POISON: list[tuple[bytes, tuple[str, str | None]]] = [
    (b"", MALFORMED),
    (b"\xc1", MALFORMED),
    (b"\x81\xa4type", MALFORMED),
    (b"\x81\xa4type\xa4ping\x00", MALFORMED),
    (b"\xdf\xff\xff\xff\xff", MALFORMED),
    (b"\x81\xa4type\xa4\xff\xff\xff\xff", MALFORMED),
    (packed(b"\xdd\xff\xff\xff\xff"), MALFORMED),
    (packed(b"\xc1"), MALFORMED),
    (packed(b"\xa2\xc3\x28"), MALFORMED),
    (packed(b"\xa3\xed\xa0\x80"), MALFORMED),
    (packed(b"\x91" * 128 + b"\x01"), MALFORMED),
    (packed(b"\x91" * 10_000 + b"\x01"), MALFORMED),
    (packed(b"\x81\xa1a" * 10_000 + b"\x01"), MALFORMED),
    (b"\x82\xa4type\xa4ping\xa1x" + b"\x91" * 128 + b"\x01", MALFORMED),
    (b'{"type":"ping"}', MALFORMED),
    (b"\x90", ("invalid", "$")),
    (b"\x80", ("invalid", "$.type")),
    (b"\x81\xa4type\x05", ("invalid", "$.type")),
    (b"\x81\xa4type\xc4\x04ping", ("invalid", "$.type")),
    (b"\x81\xa4type\xa4nope", UNKNOWN),
    (b"\x82\xa4type\xa4ping\x01\x02", ("invalid", "$")),
    (b"\x82\xa4type\xa4ping\xa2id\xcf" + b"\xff" * 8, ("invalid", "$.id")),
    (b"\x82\xa4type\xa4ping\xa2id\xc4\x01a", ("invalid", "$.id")),
    (packed(b"\xcb" + struct.pack("!d", math.nan)), DATA),
    (packed(b"\x91\xca" + struct.pack("!f", math.inf)), DATA),
    (packed(b"\xcb" + struct.pack("!d", -math.inf)), DATA),
    (packed(b"\xc4\x01a"), DATA),
    (packed(b"\xd4\x05a"), DATA),
    (packed(b"\xd6\xff\x00\x00\x00\x00"), DATA),
    (packed(b"\xd4\xff\x01"), DATA),
    (packed(b"\x81\x01\x02"), DATA),
    (packed(b"\x81\xc0\x02"), DATA),
    (packed(b"\x81\x80\x02"), DATA),
    (packed(b"\x81\xc4\x01a\x02"), DATA),
]


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
    ("payload", "salvaged"),
    [
        (b'{"type":"nope","id":7,"room":"chat"}', (7, "chat")),
        (b'{"type":"join","id":"x","room":"chat\\n"}', ("x", None)),
        (b'{"id":"","room":5}', (UNSET, None)),
        (b'{"id":true}', (UNSET, None)),
        (b'{"id":7.0}', (UNSET, None)),
        (b'{"id":9007199254740992}', (UNSET, None)),
        (b'{"id":%b}' % (b"9" * 5000), (UNSET, None)),
        (rb'{"id":"\ud800"}', (UNSET, None)),
        (rb'{"id":7,"room":"chat","data":"\ud800"}', (7, "chat")),
        (b'{"id":7,"room":"chat","data":1e999}', (7, "chat")),
        (b'{"id":7,"data":%b}' % nested(200).encode(), (7, None)),
        (b'{"id":7,"data":%b}' % nested(10_000).encode(), (UNSET, None)),
        (b'{"id":7,"data":NaN}', (UNSET, None)),
        (b'{"id":7', (UNSET, None)),
        (b'[{"id":7}]', (UNSET, None)),
        (b"", (UNSET, None)),
        (b'{"id":7,"room":"\xff"}', (UNSET, None)),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_the_id_of_a_bad_json_object_is_salvaged(
    payload: bytes, salvaged: tuple[CommandId | UnsetType, str | None]
) -> None:
    assert salvage(payload, binary=False) == salvaged


@pytest.mark.parametrize(
    ("payload", "salvaged"),
    [
        (b"\x83\xa2id\x07\xa4room\xa4chat\xa4data\xc4\x01a", (7, "chat")),
        (b"\x82\xa2id\x07\xa4data\x81\x80\x01", (7, None)),
        (b"\x82\xa2id\xa1x\x01\x02", ("x", None)),
        (b"\x82\xa2id\x07\xa4room\xa2\xc3\x28", (7, None)),
        (b"\x81\xa2id\xcf" + b"\xff" * 8, (UNSET, None)),
        (b"\x81\xa2id", (UNSET, None)),
        (b"\x91\xa2id", (UNSET, None)),
    ],
)
def test_the_id_of_a_bad_messagepack_map_is_salvaged(
    payload: bytes, salvaged: tuple[CommandId | UnsetType, str | None]
) -> None:
    assert salvage(payload, binary=True) == salvaged


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
    }
