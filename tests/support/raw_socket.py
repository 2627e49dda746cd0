"""A WebSocket client that may break every rule: raw bytes out, parsed server frames in."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from websockets.utils import apply_mask

from service.transports.frames import CLOSE, TEXT

UPGRADE = (
    b"GET /anywhere HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


def client_frame(payload: bytes, opcode: int = TEXT, *, final: bool = True, mask: bytes | None = None) -> bytes:
    """A masked frame as a client sends it."""
    mask = os.urandom(4) if mask is None else mask
    return client_header(len(payload), opcode, final=final) + mask + apply_mask(payload, mask)


def client_header(length: int, opcode: int = TEXT, *, final: bool = True) -> bytes:
    """The header of a masked frame up to its mask."""
    first = opcode | (0x80 if final else 0)
    if length < 126:
        return bytes((first, 0x80 | length))
    if length < 1 << 16:
        return bytes((first, 0xFE)) + length.to_bytes(2)
    return bytes((first, 0xFF)) + length.to_bytes(8)


@dataclass(slots=True)
class RawSocket:
    """One TCP connection; after `receive_head` its stream holds server frames."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def fall_asleep(self) -> None:
        """Read no more from the kernel, as a stopped client."""
        cast(asyncio.Transport, self.writer.transport).pause_reading()

    def wake_up(self) -> None:
        cast(asyncio.Transport, self.writer.transport).resume_reading()

    async def receive_head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def receive_frame(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload; server frames are final and not masked."""
        first, second = await self.reader.readexactly(2)
        assert first & 0xF0 == 0x80
        assert second < 0x80
        length = second
        if second >= 126:
            length = int.from_bytes(await self.reader.readexactly(2 if second == 126 else 8))
        return first & 0x0F, await self.reader.readexactly(length)

    async def receive_close(self) -> int:
        """The code of the close frame that comes next, at once followed by the end of the stream or not."""
        opcode, payload = await self.receive_frame()
        assert opcode == CLOSE, (opcode, payload[:100])
        return int.from_bytes(payload[:2])

    async def receive_end(self) -> bytes:
        """All until the server's FIN."""
        return await self.reader.read()


@asynccontextmanager
async def raw_connection(port: int) -> AsyncIterator[RawSocket]:
    """A TCP connection to the server, ended whatever happens; twenty seconds are the most that a test takes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        async with asyncio.timeout(20):
            yield RawSocket(reader, writer)
    finally:
        if not writer.is_closing():
            writer.transport.abort()


@asynccontextmanager
async def upgraded(port: int, behind: bytes = b"") -> AsyncIterator[RawSocket]:
    """A WebSocket past its handshake; `behind` travels in the handshake's own packet."""
    async with raw_connection(port) as client:
        client.send(UPGRADE + b"\r\n" + behind)
        assert (await client.receive_head()).startswith(b"HTTP/1.1 101 ")
        yield client
