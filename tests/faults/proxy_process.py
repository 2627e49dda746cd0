"""The fault proxy itself: `python -m tests.faults.proxy_process UPSTREAM URL SEED`; see `proxy`."""

import asyncio
import random
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec
import uvloop

from tests.faults.framer import Framer
from tests.faults.proxy import Counts, Faults, Kind, Order

HELD_BYTES: Final = 1024 * 1024  # what a direction holds back before it reads no more
SUBSCRIBE: Final = b"SUBSCRIBE"  # SSUBSCRIBE too
MESSAGES: Final = (b"*3\r\n$7\r\nmessage\r\n", b"*3\r\n$8\r\nsmessage\r\n")


class Lane:
    """One direction of one connection: passes bytes on in their order, later, or not now."""

    def __init__(self, source: asyncio.Transport, target: asyncio.Transport) -> None:
        self._source = source
        self._target = target
        self._held: deque[tuple[float, bytes]] = deque()
        self._held_bytes = 0
        self._is_timed = False
        self._loop = asyncio.get_running_loop()
        self.delay_seconds = 0.0
        self.is_frozen = False
        self.is_full = False  # the target's kernel takes no more

    def put(self, data: bytes) -> None:
        """Pass it on as the faults allow; b"" is the end."""
        if not self._held and not self.is_frozen and not self.delay_seconds:
            self._pass(data)
            return
        due = self._loop.time() + self.delay_seconds
        if self._held:
            due = max(due, self._held[-1][0])
        self._held.append((due, data))
        self._held_bytes += len(data)
        self.go_on()

    def go_on(self) -> None:
        """Pass on what is due, and read as long as there is room."""
        now = self._loop.time()
        while self._held and not self.is_frozen and (self._held[0][0] <= now or not self.delay_seconds):
            _, data = self._held.popleft()
            self._held_bytes -= len(data)
            self._pass(data)
        if self._held and not self.is_frozen and not self._is_timed:
            self._is_timed = True
            self._loop.call_at(self._held[0][0], self._on_time)
        self.read_or_wait()

    def read_or_wait(self) -> None:
        """Flow control."""
        if self._source.is_closing():
            return
        if self.is_full or self._held_bytes > HELD_BYTES:
            self._source.pause_reading()
        else:
            self._source.resume_reading()

    def _on_time(self) -> None:
        self._is_timed = False
        self.go_on()

    def _pass(self, data: bytes) -> None:
        if self._target.is_closing():
            return
        if data:
            self._target.write(data)
        else:
            self._target.close()


class Side(asyncio.Protocol):
    """One of the two sockets of a connection."""

    def __init__(self, pair: "Pair", *, is_client: bool) -> None:
        self._pair = pair
        self._receive = pair.receive_commands if is_client else pair.receive_replies
        self._is_client = is_client
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._is_client:
            self._pair.take_client()

    def data_received(self, data: bytes) -> None:
        self._receive(data)

    def pause_writing(self) -> None:
        self._pair.fill(of_client=self._is_client, is_full=True)

    def resume_writing(self) -> None:
        self._pair.fill(of_client=self._is_client, is_full=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pair.end(by_client=self._is_client)


class Pair:
    """One connection of a node, and ours to Redis for it."""

    def __init__(self, works: "Works") -> None:
        self._works = works
        self.kind: Kind = "commands"
        self.client = Side(self, is_client=True)
        self.server = Side(self, is_client=False)
        self._to_server: Lane | None = None
        self._to_client: Lane | None = None
        self._commands, self._replies = Framer(), Framer()
        self._asked = self._answered = 0
        self._doomed: deque[int] = deque()  # the numbers of commands whose replies are cut
        self._connecting: asyncio.Task[None] | None = None
        self._early: list[bytes] = []  # what came before Redis was reached
        self._ended = 0  # sides

    def take_client(self) -> None:
        """A node has come: go to Redis for it."""
        assert self.client.transport is not None
        if self._works.faults.refuses:
            self.client.transport.abort()
            return
        self._works.pairs.add(self)
        self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        assert self.client.transport is not None
        try:
            await connect(self._works.upstream, self.server)
        except OSError:
            self.client.transport.abort()
            return
        assert self.server.transport is not None
        self._to_server = Lane(self.client.transport, self.server.transport)
        self._to_client = Lane(self.server.transport, self.client.transport)
        self.take_faults()
        self.receive_commands(b"".join(self._early))

    def take_faults(self) -> None:
        """Be as the faults say from now on."""
        if self._to_server is None or self._to_client is None:
            return
        faults = self._works.faults
        is_meant = self.kind in faults.kinds
        self._to_server.delay_seconds = faults.to_server_delay_seconds * is_meant
        self._to_client.delay_seconds = faults.to_client_delay_seconds * is_meant
        self._to_server.is_frozen = is_meant and faults.freezes_to_server
        self._to_client.is_frozen = is_meant and faults.freezes_to_client
        self._to_server.go_on()
        self._to_client.go_on()

    def receive_commands(self, data: bytes) -> None:
        """From the node."""
        if self._to_server is None:
            self._early.append(data)
            return
        commands = self._commands.feed(data)
        self._works.counts.commands += len(commands)
        share, text = self._works.faults.lost_replies, self._works.lost_replies_of
        for number, command in enumerate(commands, self._asked + 1):
            if self.kind == "commands" and SUBSCRIBE in command[:32].upper():
                self.kind = "pubsub"
                self._works.counts.subscribers += 1
                self.take_faults()
            if share and text in command[:100] and self._works.random.random() < share:
                self._doomed.append(number)
        self._asked += len(commands)
        if commands:
            self._to_server.put(b"".join(commands))

    def receive_replies(self, data: bytes) -> None:
        """From Redis."""
        assert self._to_client is not None
        replies = self._replies.feed(data)
        if self.kind == "pubsub":
            replies = [reply for reply in replies if not self._is_dropped(reply)]
        elif self._doomed and self._doomed[0] <= self._answered + len(replies):
            self._to_client.put(b"".join(replies[: self._doomed[0] - self._answered - 1]))
            self._works.counts.cut_replies += self._asked - self._doomed[0] + 1
            self.cut(after_what_is_held=True)
            return
        self._answered += len(replies)
        if replies:
            self._to_client.put(b"".join(replies))

    def _is_dropped(self, reply: bytes) -> bool:
        if not reply.startswith(MESSAGES):
            return False
        self._works.counts.messages += 1
        share = self._works.faults.dropped_messages
        is_dropped = share > 0 and self._works.random.random() < share
        self._works.counts.dropped += is_dropped
        return is_dropped

    def fill(self, *, of_client: bool, is_full: bool) -> None:
        """The kernel takes no more on one side, or does again."""
        lane = self._to_client if of_client else self._to_server
        if lane is not None:
            lane.is_full = is_full
            lane.read_or_wait()

    def end(self, *, by_client: bool) -> None:
        """One side ended: so does the other, behind what is held."""
        self._ended += 1
        lane = self._to_server if by_client else self._to_client
        if lane is not None:
            lane.put(b"")
        elif self._connecting is not None:
            self._connecting.cancel()
        if lane is None or self._ended == 2:
            self._works.pairs.discard(self)

    def cut(self, *, after_what_is_held: bool = False) -> None:
        """End both sides now."""
        for side in (self.client, self.server):
            if side.transport is not None and after_what_is_held:
                side.transport.close()
            elif side.transport is not None:
                side.transport.abort()


class Works:
    """The process: its listener, its connections and the faults in force."""

    def __init__(self, upstream: str, seed: int) -> None:
        self.upstream = upstream
        self.random = random.Random(seed)
        self.counts = Counts()
        self.pairs: set[Pair] = set()
        self.faults = Faults()
        self.lost_replies_of = b""

    async def run(self, url: str) -> None:
        """Serve until the standard input ends."""
        server, at = await listen(url, lambda: Pair(self).client)
        print(at, flush=True)
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            self._obey(msgspec.json.decode(line, type=Order))
            print(msgspec.json.encode(self.counts).decode(), flush=True)
        server.close()

    def _obey(self, order: Order) -> None:
        if order.faults is not None:
            self.faults = order.faults
            self.lost_replies_of = order.faults.lost_replies_of.encode()
            for pair in list(self.pairs):
                pair.take_faults()
        for pair in list(self.pairs):
            if pair.kind in order.cut:
                pair.cut()
        kinds = [pair.kind for pair in self.pairs]
        self.counts.open_commands, self.counts.open_pubsub = kinds.count("commands"), kinds.count("pubsub")


async def connect(url: str, side: Side) -> None:
    """To a Redis."""
    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    if parts.scheme == "unix":
        await loop.create_unix_connection(lambda: side, parts.path)
    else:
        await loop.create_connection(lambda: side, str(parts.hostname), int(parts.port or 6379))


async def listen(url: str, make_side: Callable[[], Side]) -> tuple[asyncio.Server, str]:
    """For nodes; and the URL with the port that it came to."""
    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    if parts.scheme == "unix":
        Path(parts.path).unlink(missing_ok=True)
        return await loop.create_unix_server(make_side, parts.path), url
    server = await loop.create_server(make_side, parts.hostname, int(parts.port or 0))
    return server, f"redis://{parts.hostname}:{server.sockets[0].getsockname()[1]}"


if __name__ == "__main__":
    uvloop.run(Works(sys.argv[1], int(sys.argv[3])).run(sys.argv[2]))
