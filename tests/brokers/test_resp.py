import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, cast

import pytest
import structlog

from service import telemetry
from service.brokers import resp, subscriber
from service.brokers.dialing import Unsuitable
from service.brokers.endpoint import ServerEndpoint, make_endpoint
from service.brokers.listener import Channels
from service.brokers.resp import CommandConnection, NotLetIn, pack, refusal
from service.brokers.subscriber import ChannelConnection
from service.protocol.errors import Internal, RoomcastError, Unavailable
from tests.brokers.conftest import Node, Server

pytestmark = pytest.mark.anyio


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[CommandConnection]:
    lost = asyncio.Event()
    connection = CommandConnection(lost.set, lambda: None)
    await make_endpoint(server.url, "node").open(connection)
    yield connection
    connection.abort()
    await lost.wait()


async def test_replies_come_in_the_order_of_the_commands_and_writes_leave_together(
    connection: CommandConnection,
) -> None:
    replies: list[Any] = []
    for number in range(1_000):
        connection.send(pack("ECHO", number), replies.append)
    assert len(connection._unsent) == 1_000
    await connection.command(pack("PING"))
    assert replies == [b"%d" % number for number in range(1_000)]


async def test_a_waiter_that_fails_does_not_shift_the_replies_of_the_others(connection: CommandConnection) -> None:
    faults = telemetry.counters.faults

    def fails(_reply: object) -> None:
        raise RuntimeError("a bug")

    connection.send(pack("ECHO", 1), fails)
    assert await connection.command(pack("ECHO", 2)) == b"2"
    assert telemetry.counters.faults == faults + 1


async def test_a_mistake_at_a_turns_end_ends_neither_that_write_nor_later_ones(connection: CommandConnection) -> None:
    def fails() -> None:
        raise RuntimeError("a bug")

    connection.before_flush = fails
    for number in (b"1", b"2"):
        assert await asyncio.wait_for(connection.command(pack("ECHO", number)), 2) == number


async def test_an_error_reply_is_its_own_commands_alone(connection: CommandConnection) -> None:
    bad, good = connection.command(pack("NOSUCHCOMMAND")), connection.command(pack("ECHO", 1))
    with pytest.raises(Internal, match="incident"):
        await bad
    assert await good == b"1"


async def test_what_would_be_too_much_in_flight_is_refused(
    connection: CommandConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resp, "MAX_COMMANDS_IN_FLIGHT", 10)
    futures = [connection.command(pack("ECHO", number)) for number in range(15)]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert results[:10] == [b"%d" % number for number in range(10)]
    assert all(isinstance(result, Unavailable) and result.retry_after_ms for result in results[10:])
    assert await connection.command(pack("ECHO", 1)) == b"1"
    monkeypatch.setattr(resp, "MAX_BYTES_IN_FLIGHT", 100)
    first = connection.command(pack("ECHO", "x" * 1_000))
    await asyncio.sleep(0)  # it is sent
    with pytest.raises(Unavailable, match="behind: nothing was stored"):
        await connection.command(pack("ECHO", 1))
    await first
    assert await connection.command(pack("ECHO", 1)) == b"1"
    assert connection._bytes_in_flight == 0


async def test_latency_is_observed(connection: CommandConnection) -> None:
    before = telemetry.redis_latency.buckets()[0][-1][1]
    await connection.command(pack("PING"))
    await connection.command(pack("PING"))
    assert telemetry.redis_latency.buckets()[0][-1][1] == before + 2


async def test_a_closed_connection_refuses_later_and_not_from_within(server: Server) -> None:
    lost = asyncio.Event()
    connection = CommandConnection(lost.set, lambda: None)
    await make_endpoint(server.url, "node").open(connection)
    connection.abort()
    await lost.wait()
    replies: list[object] = []
    connection.send(pack("PING"), replies.append)
    assert not replies
    await asyncio.sleep(0)
    assert isinstance(replies[0], Unavailable)


class Hearer:
    """As `Channels`, of a node that is told things and gets no answers."""

    def __init__(self) -> None:
        self.heard = 0

    def hear(self, _channel: bytes, _payload: bytes) -> None:
        self.heard += 1

    def end_turn(self) -> None: ...


async def test_a_subscriber_that_is_told_things_and_never_answered_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("DEADLINE_SECONDS", 0.3), ("EXCUSED_SECONDS", 0.3), ("TICK_SECONDS", 0.01)):
        monkeypatch.setattr(resp, name, seconds)
    monkeypatch.setattr(subscriber, "PING_SECONDS", 0.01)

    lost, ended, hearer = asyncio.Event(), asyncio.Event(), Hearer()

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not lost.is_set():
            writer.write(pack("message", "channel", "payload"))
            await asyncio.sleep(0.01)
        writer.close()
        ended.set()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as deaf:
        connection = ChannelConnection(lost.set, cast(Any, hearer))
        port = deaf.sockets[0].getsockname()[1]
        await make_endpoint(f"redis://127.0.0.1:{port}", "node").open(connection)
        async with asyncio.timeout(5):
            await lost.wait()
            await ended.wait()
    assert hearer.heard > 30  # longer than the deadline for those who hear nothing


async def test_a_password_that_a_server_echoes_is_not_logged(make_server: Callable[..., Server]) -> None:
    server = make_server("--rename-command", "AUTH", "zz")
    url = server.url.replace("unix://", "unix://bob:CANARY@")
    with structlog.testing.capture_logs() as logged:
        with pytest.raises(Unsuitable, match="does not let this node in") as refused:
            await Node(url, "node-a", database_id="database-1").start()
        channels = Channels(make_endpoint(url, "node-a"), [b"all"], lambda: None, cast(Any, None))
        with suppress(Unavailable):
            await channels.open()
        channels.abort()
    assert "CANARY" not in f"{logged} {refused.value}"
    assert [entry["error"] for entry in logged] == 2 * ["ERR unknown command 'AUTH'"]


def test_the_certificates_of_a_url_are_read_once_and_what_can_not_be_read_is_told() -> None:
    endpoint = make_endpoint("rediss://localhost", "node-a")
    assert isinstance(endpoint, ServerEndpoint)
    assert endpoint._tls is not None
    with pytest.raises(Unsuitable, match="ssl_ca_certs"):
        make_endpoint("rediss://localhost?ssl_ca_certs=/nowhere.pem", "node-a")


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", Unavailable, "full: nothing was stored"),
        ("LOADING Redis is loading the dataset in memory", Unavailable, "nothing was stored"),
        ("READONLY You can't write against a read only replica.", Unavailable, "nothing was stored"),
        ("MASTERDOWN Link with MASTER is down", Unavailable, "nothing was stored"),
        ("BUSY Redis is busy running a script.", Unavailable, "nothing was stored"),
        ("NOSCRIPT No matching script.", Unavailable, "nothing was stored"),
        ("NOPERM this user has no permissions", NotLetIn, "refuses this node"),
        ("WRONGTYPE Operation against a key", Internal, "incident"),
    ],
)
def test_error_replies_mean_what_they_say(reply: str, kind: type[RoomcastError], text: str) -> None:
    error = refusal(Exception(reply))
    assert type(error) is kind
    assert text in error.message
