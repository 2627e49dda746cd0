"""A real Valkey for each test, two nodes on it, and receivers that write down what they were told."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.brokers.broker import (
    ConnectionEntry,
    Envelope,
    History,
    Origin,
    Publication,
    Retention,
    RoomAddress,
)
from service.brokers.listener import Channels
from service.brokers.members import PresenceChange
from service.brokers.redis import RedisConnectionManager
from service.brokers.server_binary import find_server
from service.protocol.errors import RoomcastError, Unavailable
from service.protocol.identifiers import Position
from tests.brokers.node_listener import NodeListener, until

KEEP = Retention(100, 300)
SERVER = Origin()


class Server:
    """A Valkey on a unix socket in a folder of its own; options as of its configuration."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.socket = folder / "v.sock"
        self.url = f"unix://{self.socket}"

    def start(self) -> None:
        """Returns when it answers."""
        self._process = subprocess.Popen(
            [
                find_server(),
                *("--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", ""),
                *self.options,
            ],
            stdout=subprocess.DEVNULL,
        )
        self.client = redis_py.Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0))
        while True:
            try:
                self.client.ping()
                break
            except redis_py.RedisError:
                assert self._process.poll() is None, "the server ended"

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """kill -9, as often as one likes."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self.client.close()


@pytest.fixture
def make_server() -> Iterator[Callable[..., Server]]:
    started: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="rc", dir="/tmp") as folder:  # a socket's path ends at 107 bytes

        def make(*options: str) -> Server:
            place = Path(folder) / str(len(started))
            place.mkdir()
            server = Server(place, *options)
            server.start()
            started.append(server)
            return server

        yield make
        for server in started:
            server.kill()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server()


class Room:
    """A receiver that keeps what it hears; `until` waits for it."""

    def __init__(self) -> None:
        self.messages: list[Envelope] = []
        self.signals: list[tuple[Origin, bytes]] = []
        self.epochs: list[Position] = []
        self.presence: list[PresenceChange] = []
        self.interruptions = 0
        self.heads: list[Position] = []
        self.changed = asyncio.Event()

    def receive_message(self, envelope: Envelope) -> None:
        self.messages.append(envelope)
        self.changed.set()

    def receive_signal(self, origin: Origin, body: bytes) -> None:
        self.signals.append((origin, body))
        self.changed.set()

    def receive_epoch(self, head: Position) -> None:
        self.epochs.append(head)
        self.changed.set()

    def receive_presence(self, change: PresenceChange) -> None:
        self.presence.append(change)
        self.changed.set()

    def receive_interruption(self) -> None:
        self.interruptions += 1
        self.changed.set()

    def receive_head(self, head: Position) -> None:
        self.heads.append(head)
        self.changed.set()

    async def until(self, holds: Callable[[], object]) -> None:
        await until(holds, self.changed)

    async def until_messages(self, count: int) -> None:
        await self.until(lambda: len(self.messages) >= count)

    async def until_signals(self, count: int) -> None:
        await self.until(lambda: len(self.signals) >= count)


async def eventually(holds: Callable[[], Awaitable[object]], seconds: float = 10) -> None:
    """Ask until it holds, over outages: what Redis holds tells nobody when it changes."""
    async with asyncio.timeout(seconds):
        while True:
            with suppress(Unavailable):
                if await holds():
                    return
            await asyncio.sleep(0.01)


class Node(RedisConnectionManager):
    """A RedisConnectionManager with its listener and with shorthands."""

    listener: NodeListener

    async def publish(
        self,
        address: RoomAddress,
        body: bytes = b'"data":1',
        *,
        origin: Origin = SERVER,
        keep: Retention = KEEP,
        key: tuple[str, str] | None = None,
    ) -> Publication:
        return await self.publishing(address, body, origin=origin, keep=keep, key=key)

    def publishing(
        self,
        address: RoomAddress,
        body: bytes = b'"data":1',
        *,
        origin: Origin = SERVER,
        keep: Retention = KEEP,
        key: tuple[str, str] | None = None,
    ) -> Awaitable[Publication]:
        """Sent now."""
        future: asyncio.Future[Publication] = asyncio.get_running_loop().create_future()

        def done(result: Publication | RoomcastError) -> None:
            if isinstance(result, RoomcastError):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.broadcast_to_room(address, body, origin, keep, done, key)
        assert not future.done(), "`done` must not be called from within"
        return future

    async def history(
        self,
        address: RoomAddress,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
        newest: bool = False,
        max_bytes: int = 1_000_000,
    ) -> History:
        return await self.read_history(
            address, after=after, before=before, limit=limit, newest=newest, max_bytes=max_bytes
        )

    async def enter(self, tenant_id: str, connection: str, user: str, *rooms: str) -> ConnectionEntry:
        """Connect, claim and join, as a node does."""
        entry = ConnectionEntry(connection, user, self.node, 1_700_000_000_000, "127.0.0.1", rooms)
        self.listener.held.append((tenant_id, entry))
        await self.connect(tenant_id, entry, None, None)
        for room in rooms:
            address = self.address(tenant_id, room)
            await self.claim_room(address, None)
            await self.join(address, connection, user, None)
        self.note_rooms(tenant_id, connection, rooms)
        return entry


def channels_of(node: RedisConnectionManager) -> Channels:
    """What a node on one Redis hears."""
    assert isinstance(node._channels, Channels)
    return node._channels


class Nodes:
    """Makes nodes and ends them with the test."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def start(self, url: str, name: str, mark: tuple[int, int] = (0, 0), **options: Any) -> Node:
        defaults: dict[str, Any] = {"database_id": "database-1", "lease_seconds": 1.2, "sweep_delay_seconds": 0.0}
        options = defaults | options
        node = Node(url, name, **options)
        node.listener = NodeListener()
        node.expect(mark)
        await node.start()
        await self._stack.enter_async_context(listening(node))
        return node


@asynccontextmanager
async def listening(node: Node) -> AsyncIterator[None]:
    task = asyncio.create_task(node.start_pubsub_listener())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await node.stop()


@pytest.fixture
async def nodes(anyio_backend: str) -> AsyncIterator[Nodes]:
    async with AsyncExitStack() as stack:
        yield Nodes(stack)


@pytest.fixture
async def a(server: Server, nodes: Nodes) -> Node:
    return await nodes.start(server.url, "node-a")


@pytest.fixture
async def b(server: Server, nodes: Nodes) -> Node:
    return await nodes.start(server.url, "node-b")
