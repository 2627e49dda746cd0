import asyncio
import json

import pytest

from service.transports.frames import TEXT, frame
from service.transports.http_guard import MAX_HEADERS, MAX_LINE_BYTES
from tests.support.raw_socket import UPGRADE, RawSocket, client_frame, raw_connection, upgraded
from tests.transports.conftest import Hosting, Recorder

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


async def refusal(client: RawSocket) -> tuple[int, dict[str, object]]:
    """The status and the problem that the server answers before it ends the connection."""
    head = await client.receive_head()
    assert b"content-type: application/problem+json\r\n" in head
    assert b"connection: close\r\n" in head
    return int(head.split()[1]), json.loads(await client.receive_end())


async def test_the_first_message_may_travel_in_the_handshakes_own_packet(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port, client_frame(b"first")) as client:
        client.send(client_frame(b"second"))
        assert await client.receive_frame() == (TEXT, b"first")
        assert await client.receive_frame() == (TEXT, b"second")


async def test_what_the_maker_sends_comes_before_any_answer(hosting: Hosting) -> None:
    def welcome(recorder: Recorder) -> None:
        recorder.live.send(frame(b"welcome"))

    async with hosting() as host:
        host.on_socket = welcome
        async with upgraded(host.port, client_frame(b"first")) as client:
            assert await client.receive_frame() == (TEXT, b"welcome")
            assert await client.receive_frame() == (TEXT, b"first")


async def test_much_that_comes_while_the_handler_still_works_is_not_lost(hosting: Hosting) -> None:
    async with hosting() as host:
        host.may_finish.clear()
        async with upgraded(host.port) as client:
            payloads = [b"%d" % number + b"x" * 1_000 for number in range(300)]
            for payload in payloads:
                client.send(client_frame(payload))
            await asyncio.sleep(0.05)  # nothing tells when the server stops reading
            host.may_finish.set()
            for payload in payloads:
                assert await client.receive_frame() == (TEXT, payload)


async def test_a_client_that_leaves_before_its_socket_is_made_is_told_to_the_handler(hosting: Hosting) -> None:
    async with hosting() as host:
        host.may_finish.clear()
        async with upgraded(host.port):
            pass
        while host.server.server_state.connections:
            await asyncio.sleep(0.001)
        host.may_finish.set()
        await asyncio.wait_for(host.abandoned.wait(), 5)
        assert host.accepted.empty()


async def test_a_handed_over_socket_leaves_no_task_and_no_other_protocol(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port) as client:
        recorder = await host.accepted.get()
        client.send(client_frame(b"x"))
        assert await client.receive_frame() == (TEXT, b"x")
        state = host.server.server_state
        assert (state.tasks, len(state.connections)) == (set(), 1)
        assert recorder.live in list[object](state.connections)
        assert not host.abandoned.is_set()


@pytest.mark.parametrize("start", [pytest.param(UPGRADE, id="upgrade"), pytest.param(GET, id="request")])
@pytest.mark.parametrize(
    ("more", "limit"),
    [
        pytest.param(b"X: y\r\n" * 200 + b"\r\n", "max_headers", id="200 headers"),
        pytest.param(b"X: " + b"y" * MAX_LINE_BYTES + b"\r\n\r\n", "max_header_line_bytes", id="a long line"),
        pytest.param((b"X: " + b"y" * 8_000 + b"\r\n") * 9 + b"\r\n", "max_head_bytes", id="72 KB of headers"),
        pytest.param(b"X: " + b"y" * 1_000_000, "max_head_bytes", id="a line without an end"),
    ],
)
async def test_a_head_over_its_limits_is_answered_with_431(
    hosting: Hosting, start: bytes, more: bytes, limit: str
) -> None:
    async with hosting() as host, raw_connection(host.port) as client:
        client.send(start + more)
        status, problem = await refusal(client)
        assert (status, problem["status"], problem["limit"]) == (431, 431, limit)
        assert problem["type"] == "urn:roomcast:error:too_large"


async def test_a_long_url_is_answered_with_431(hosting: Hosting) -> None:
    async with hosting() as host, raw_connection(host.port) as client:
        client.send(b"GET /" + b"x" * MAX_LINE_BYTES + b" HTTP/1.1\r\n\r\n")
        assert (await refusal(client))[0] == 431


async def test_a_head_just_within_its_limits_is_served(hosting: Hosting) -> None:
    headers = b"".join(b"X-%d: %b\r\n" % (number, b"y" * 600) for number in range(MAX_HEADERS - 5))
    async with hosting() as host, raw_connection(host.port) as client:
        client.send(UPGRADE + headers + b"\r\n" + client_frame(b"hello"))
        assert (await client.receive_head()).startswith(b"HTTP/1.1 101 ")
        assert await client.receive_frame() == (TEXT, b"hello")


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        pytest.param(UPGRADE.replace(b": 13", b": 12"), 426, "invalid", id="another version"),
        pytest.param(UPGRADE.replace(b"Sec-WebSocket-Version: 13\r\n", b""), 426, "invalid", id="no version"),
        pytest.param(UPGRADE.replace(b"dGhlIHNh", b""), 400, "invalid", id="a short key"),
        pytest.param(UPGRADE.replace(b"Sec-WebSocket-Key", b"X"), 400, "invalid", id="no key"),
        pytest.param(UPGRADE.replace(b"GET", b"POST"), 405, "not_allowed", id="POST"),
        pytest.param(UPGRADE.replace(b"/anywhere", b"/\xff"), 400, "malformed", id="a path beyond ASCII"),
        pytest.param(UPGRADE + b"Origin: a\r\nOrigin: b\r\n", 400, "invalid", id="two origins"),
        pytest.param(UPGRADE + b"Sec-WebSocket-Protocol: ,;\r\n", 400, "invalid", id="no list of subprotocols"),
        pytest.param(UPGRADE + b"X: \0\r\n", 400, "malformed", id="NUL in a header"),
        pytest.param(UPGRADE + b"X : y\r\n", 400, "malformed", id="a space before the colon"),
        pytest.param(GET.replace(b"/", b"/\xff", 1), 400, "malformed", id="a request's path beyond ASCII"),
        pytest.param(b"what is this\r\n", 400, "malformed", id="no HTTP"),
    ],
)
async def test_a_bad_handshake_is_answered_with_a_problem(
    hosting: Hosting, head: bytes, status: int, code: str
) -> None:
    async with hosting() as host, raw_connection(host.port) as client:
        client.send(head + b"\r\n")
        answered, problem = await refusal(client)
        assert (answered, problem["type"]) == (status, f"urn:roomcast:error:{code}")


@pytest.mark.parametrize(
    "drip",
    [
        pytest.param(UPGRADE, id="an upgrade"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + b"x" * 900, id="a body"),
    ],
)
async def test_a_slow_drip_is_cut_with_408(hosting: Hosting, drip: bytes) -> None:
    async with hosting() as host, raw_connection(host.port) as client:

        async def dribble() -> None:
            for byte in drip:
                client.send(bytes((byte,)))
                await asyncio.sleep(0.01)

        task = asyncio.create_task(dribble())
        assert (await refusal(client))[0] == 408
        task.cancel()


@pytest.mark.parametrize("first", [b"", GET + b"\r\n"])
async def test_empty_lines_keep_no_connection_alive(hosting: Hosting, first: bytes) -> None:
    async with hosting(keep_alive_seconds=1) as host, raw_connection(host.port) as client:
        client.send(first)
        if first:
            assert b"200 OK" in await client.receive_head()
            assert await client.reader.readexactly(2) == b"ok"

        async def dribble() -> None:
            while True:
                client.send(b"\r\n")
                await asyncio.sleep(0.02)

        task = asyncio.create_task(dribble())
        end = await client.receive_end()
        task.cancel()
        assert end == b"" if first else end.startswith(b"HTTP/1.1 408 ")


async def test_requests_on_one_connection_are_served_in_turn(hosting: Hosting) -> None:
    async with hosting() as host, raw_connection(host.port) as client:
        for request in (GET + b"\r\n", b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", GET + b"\r\n"):
            client.send(request)
            assert b"200 OK" in await client.receive_head()
            assert await client.reader.readexactly(2) == b"ok"
