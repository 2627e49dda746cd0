"""Frames that no command can be made of, with the code and path of their refusal; the live tests send them too."""

import math
import struct

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
