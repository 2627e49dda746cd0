"""Bad input never reaches another client, and never costs more than its own socket."""

import asyncio
import os
from pathlib import Path
from struct import pack

import pytest

from service.protocol.events import ErrorEvent, Message, Pong
from tests.support.fixtures import Connect
from tests.support.frames import masked_frame
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant
from tests.support.wire_client import BINARY, PING, TEXT, Client, Refused, handshake

pytestmark = pytest.mark.anyio

PUBLISH = b'{"type":"publish","room":"chat","id":1,"data":%b}'
DEEP = 10_000


@pytest.mark.parametrize(
    ("payload", "code", "path"),
    [
        (PUBLISH % b"NaN", "malformed", None),
        (PUBLISH % b"[Infinity]", "malformed", None),
        (PUBLISH % b"-Infinity", "malformed", None),
        (PUBLISH % (b"[" * DEEP + b"]" * DEEP), "malformed", None),
        (PUBLISH % (b"[" * 129 + b"]" * 129), "malformed", None),
        (PUBLISH % (b'{"a":' * DEEP + b"1" + b"}" * DEEP), "malformed", None),
        (PUBLISH % b"1e999", "invalid", "$.data"),
        (PUBLISH % b"[1, -1e999]", "invalid", "$.data"),
        (PUBLISH % b"18446744073709551616", "invalid", "$.data"),
        (PUBLISH % b"-9223372036854775809", "invalid", "$.data"),
        (PUBLISH % (b"1" * 5_000), "invalid", "$.data"),
        (PUBLISH % rb'"\ud800"', "invalid", "$.data"),
        (PUBLISH % rb'{"\udfff":1}', "invalid", "$.data"),
        (PUBLISH % b"01", "malformed", None),
        (PUBLISH % b'"\x00"', "malformed", None),
        (PUBLISH % b"1}}", "malformed", None),
        (b'{"type":"publish","room":"chat\\n","id":1,"data":1}', "invalid", "$.room"),
        (b'{"type":"publish","room":"chat\\u0000","id":1,"data":1}', "invalid", "$.room"),
        (b'{"type":"publish","room":"..","id":1,"data":1}', "invalid", "$.room"),
        (b'{"type":"publish","room":"","id":1,"data":1}', "invalid", "$.room"),
        (b'{"type":"publish","room":"%b","id":1,"data":1}' % (b"x" * 201), "invalid", "$.room"),
        (b'{"type":"publish","room":"chat","name":"\\u0000","id":1,"data":1}', "invalid", "$.name"),
        (b'{"type":"publish","room":"chat","key":"","id":1,"data":1}', "invalid", "$.key"),
        (b'{"type":"publish","room":"chat","id":1}', "invalid", "$.data"),
        (b'{"type":"publish","room":"chat","id":1,"data":1,"__proto__":1}', "invalid", None),
        (b'{"type":"publish","room":"chat","id":1,"data":1,"echo":"true"}', "invalid", "$.echo"),
        (b'{"type":"send","user":"a/b","id":1,"data":1}', "invalid", "$.user"),
        (b'{"type":"nonsense","id":1}', "unknown_command", "$.type"),
        (b'{"id":1}', "invalid", None),
        (b'[{"id":1}]', "invalid", None),
        (b"", "malformed", None),
        (b"\x00", "malformed", None),
    ],
    ids=range(32),
)
async def test_poison_in_json_is_refused_before_anybody_sees_it(
    connect: Connect, payload: bytes, code: str, path: str | None
) -> None:
    alice, bob = await connect("alice"), await connect("bob", binary=True)
    await bob.joins("chat")
    await alice.sends_payload(payload)
    error = await alice.expects(ErrorEvent, code=code)
    assert path is None or error.path == path
    assert "canary" not in error.message
    await alice.publishes("chat", "sound")
    await bob.expects(Message, data="sound", offset=1)


MSGPACK_PUBLISH = b"\x84\xa4type\xa7publish\xa4room\xa4chat\xa2id\x01\xa4data"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"\xcb\x7f\xf8" + b"\x00" * 6, "invalid"),  # NaN
        (b"\xcb\x7f\xf0" + b"\x00" * 6, "invalid"),  # infinity
        (b"\xc4\x01x", "invalid"),  # bin
        (b"\xd4\x01x", "invalid"),  # ext
        (b"\x81\x01\x02", "invalid"),  # a key that is no text
        (b"\xa3\xed\xa0\x80", "malformed"),  # bad UTF-8
        (b"\x91" * DEEP + b"\x01", "malformed"),
        (b"\xc1", "malformed"),
        (b"\xdd\xff\xff\xff\xff", "malformed"),  # claims 4 G items
        (b"\xdb\xff\xff\xff\xff", "malformed"),  # claims 4 GB of text
        (b"\x01\x02", "malformed"),
    ],
    ids=range(11),
)
async def test_poison_in_messagepack_is_refused_before_anybody_sees_it(
    connect: Connect, value: bytes, code: str
) -> None:
    alice, bob = await connect("alice", binary=True), await connect("bob")
    await bob.joins("chat")
    await alice.sends_payload(MSGPACK_PUBLISH + value)
    await alice.expects(ErrorEvent, code=code)
    await alice.publishes("chat", "sound")
    await bob.expects(Message, data="sound", offset=1)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b'"\xff"', 400),
        (b"NaN", 400),
        (b"1e999", 400),
        (rb'"\ud800"', 400),
        (b"[" * DEEP + b"]" * DEEP, 400),
        (b"18446744073709551616", 400),
    ],
    ids=range(6),
)
async def test_poison_over_rest_is_refused_before_anybody_sees_it(
    connect: Connect, node: LiveNode, tenant: Tenant, data: bytes, status: int
) -> None:
    bob = await connect("bob", binary=True)
    await bob.joins("chat")
    async with Rest(node.address, tenant.api_key) as rest:
        for path, body in (
            ("/v1/rooms/chat/messages", b'{"data":%b}' % data),
            ("/v1/messages", b'{"messages":[{"room":"chat","data":%b}]}' % data),
            ("/v1/users/bob/messages", b'{"data":%b}' % data),
        ):
            answer = await rest.ask_raw("POST", path, body)
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
        await rest.publish("chat", "sound")
    await bob.expects(Message, data="sound", offset=1)


def resident_bytes(node: LiveNode) -> int:
    pages = int(Path(f"/proc/{node.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def flood(client: Client, data: bytes, times: int) -> None:
    """Send as much of it as the server takes."""
    try:
        async with asyncio.timeout(5):
            for _ in range(times):
                await client.sends_bytes(data)
    except (ConnectionError, TimeoutError):
        pass


@pytest.mark.parametrize(
    ("data", "times"),
    [
        pytest.param(masked_frame(b"", TEXT, is_final=False) + masked_frame(b"", 0, is_final=False) * 20_000, 100),
        pytest.param(masked_frame(b"x" * 125, PING) * 1_000, 200),
        pytest.param(masked_frame(b'{"type":"history","room":"big","limit":1000}', TEXT) * 50, 40),
        pytest.param(b"\x82\xff" + pack("!Q", 2**62) + b"mask" + b"x" * 100_000, 100),
    ],
    ids=["2,000,000 empty fragments", "pings without reading", "history without reading", "a frame of 2^62 bytes"],
)
async def test_a_flood_costs_its_own_socket_and_bounded_memory(
    connect: Connect, node: LiveNode, data: bytes, times: int
) -> None:
    bob = await connect("bob")
    await bob.joins("chat")
    for _ in range(20):
        await bob.publishes("big", "x" * 20_000)
    before = resident_bytes(node)
    mallory = await connect("mallory", receive_buffer_bytes=16_384)
    mallory.stops_reading()
    flooding = asyncio.create_task(flood(mallory, data, times))
    while not flooding.done():
        await bob.publishes("chat", "meanwhile")
        assert resident_bytes(node) - before < 40_000_000
    await flooding
    mallory.drop()
    await bob.asks(Pong, "ping")


async def test_a_drip_of_headers_is_ended(node: LiveNode) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)

    async def drip() -> None:
        for byte in b"GET /v1/connect HTTP/1.1\r\nHost: x\r\nX-Drip: " + b"x" * 100:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.25)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(8):
        answer = await reader.read()
    dripping.cancel()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408")


async def test_a_token_that_is_a_bomb_costs_nothing(node: LiveNode) -> None:
    for token in ("x" * 4096, ".".join(["e" * 1365] * 3), "eyJ" + "9" * 4000 + "..", "....", "\u00e9.e.e"):
        with pytest.raises(Refused) as refused:
            await handshake(node.address, token)
        assert refused.value.status in (400, 401)


async def test_messages_split_at_any_byte_are_one_message(connect: Connect, binary: bool) -> None:
    alice = await connect(binary=binary)
    opcode = BINARY if binary else TEXT
    payload = b"\x82\xa4type\xa4ping\xa2id\x07" if binary else b'{"type":"ping","id":7}'
    whole = masked_frame(payload[:5], opcode, is_final=False) + masked_frame(payload[5:], 0)
    for byte in whole:
        await alice.sends_bytes(bytes([byte]))
    await alice.expects(Pong, id=7)
