"""The network between clients and a node: a TCP proxy that can cut, refuse, go silent, stall, and lose answers.

It understands WebSocket frames (RFC 6455, section 5.2) just so far that it can let a command pass and lose its answer.
"""

import asyncio
import contextlib
from collections.abc import Callable
from struct import unpack_from
from typing import Final

from websockets.utils import apply_mask

DATA_OPCODES: Final = (1, 2)
READ_BYTES: Final = 65_536
_LOOK_SECONDS: Final = 0.01


class Network:
    """Forwards connections to `target_port` of 127.0.0.1; all methods belong to the loop that `start` ran in."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._ways: set[Way] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._down_until = 0.0
        self.silent_until = 0.0
        self.stalled_until = 0.0
        self.answers_to_lose = 0
        self.lost_kind = b""
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port, from then on `port`."""
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0, limit=READ_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End it with its connections."""
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, down_seconds: float = 0.0) -> int:
        """Drop all connections, without a close frame; new ones are refused for so long. How many there were."""
        self._down_until = asyncio.get_running_loop().time() + down_seconds
        ways = list(self._ways)
        for way in ways:
            way.abort()
        return len(ways)

    def silence(self, seconds: float) -> None:
        """Bytes go nowhere, both ways and on new connections too; at the end the connections that lost some are cut."""
        self.silent_until = asyncio.get_running_loop().time() + seconds

    def stall(self, seconds: float) -> None:
        """Nothing is read from the node, so that its sockets are slow consumers; later all comes."""
        self.stalled_until = asyncio.get_running_loop().time() + seconds

    def lose_answers(self, count: int, kind: str) -> None:
        """The next `count` commands of this type pass; the answers, and all after them, are lost, then that is cut."""
        self.answers_to_lose = count
        self.lost_kind = f'"{kind}"'.encode()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if asyncio.get_running_loop().time() < self._down_until:
            writer.transport.abort()
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target_port, limit=READ_BYTES)
        except OSError:
            writer.transport.abort()
            return
        way = Way(self, writer, there[1])
        self._ways.add(way)
        pumps = [asyncio.create_task(way.to_node(reader)), asyncio.create_task(way.to_client(there[0]))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._ways.discard(way)
            await way.close()


class Way:
    """One connection through the network."""

    def __init__(self, network: Network, client: asyncio.StreamWriter, node: asyncio.StreamWriter) -> None:
        self._network = network
        self._client = client
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._to_node = Frames(self._saw_command)
        self._to_client = Frames(self._saw_answer)
        self._unanswered = 0
        self._swallows = False
        self._lost_bytes = False

    def abort(self) -> None:
        """Both ends see a broken connection."""
        self._client.transport.abort()
        self._node.transport.abort()

    async def close(self) -> None:
        """One end has ended: what it said before gets to the other, and so does the end."""
        for writer in (self._client, self._node):
            with contextlib.suppress(OSError):
                async with asyncio.timeout(1):
                    await writer.drain()
            writer.close()

    async def to_node(self, reader: asyncio.StreamReader) -> None:
        """Pump the client's bytes."""
        await self._pump(reader, self._node, self._to_node)

    async def to_client(self, reader: asyncio.StreamReader) -> None:
        """Pump the node's bytes."""
        await self._pump(reader, self._client, self._to_client)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frames: "Frames") -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(READ_BYTES):
                while writer is self._client and self._loop.time() < self._network.stalled_until:
                    await asyncio.sleep(_LOOK_SECONDS)
                if self._loop.time() < self._network.silent_until:
                    self._lose()
                    continue
                frames.feed(data)
                if not (self._swallows and writer is self._client):
                    writer.write(data)
                    await writer.drain()

    def _lose(self) -> None:
        if not self._lost_bytes:
            self._lost_bytes = True
            self._loop.call_at(self._network.silent_until, self.abort)

    def _saw_command(self, payload: bytes) -> None:
        if self._network.answers_to_lose and self._network.lost_kind in payload:
            self._network.answers_to_lose -= 1
            self._unanswered += 1
            self._swallows = True

    def _saw_answer(self, payload: bytes) -> None:
        if self._swallows and b'"id":' in payload:
            self._unanswered -= 1
            if self._unanswered == 0 and not self._network.answers_to_lose:
                self._loop.call_soon(self.abort)


class Frames:
    """Tells `seen` of each data frame's payload, unmasked, in the bytes of one way of a connection after its head."""

    def __init__(self, seen: Callable[[bytes], None]) -> None:
        self._seen = seen
        self._held = b""
        self._has_head = False

    def feed(self, data: bytes) -> None:
        """Take the bytes as they come."""
        self._held += data
        if not self._has_head:
            head, end, rest = self._held.partition(b"\r\n\r\n")
            if not end:
                return
            if b"websocket" not in head.lower():  # REST: nothing to understand
                self._held = b""
                return
            self._has_head, self._held = True, rest
        while self._take_frame():
            pass

    def _take_frame(self) -> bool:
        held = self._held
        if len(held) < 2:
            return False
        size, at = held[1] & 0x7F, 2
        if size >= 126:
            kind, at = ("!H", 4) if size == 126 else ("!Q", 10)
            if len(held) < at:
                return False
            size = unpack_from(kind, held, 2)[0]
        is_masked = bool(held[1] & 0x80)
        begin = at + 4 * is_masked
        if len(held) < begin + size:
            return False
        payload = held[begin : begin + size]
        self._held = held[begin + size :]
        if held[0] & 0x0F in DATA_OPCODES:
            self._seen(apply_mask(payload, held[at:begin]) if is_masked else payload)
        return True
