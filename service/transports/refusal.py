"""An HTTP answer in place of the application's, and the end of its connection without a reset."""

import asyncio
from collections.abc import MutableSet
from http import HTTPStatus
from typing import Any, Final

from service.protocol.codec import problem_body
from service.protocol.errors import RoomcastError

LINGER_SECONDS: Final = 2.0


class _Discard(asyncio.Protocol):
    """The end of a refused connection: drops what comes until the peer closes, at most 2 s. Closing at once with unread
    bytes in the kernel would reset the connection, and the peer might never see the answer."""

    def __init__(self, transport: asyncio.Transport, connections: MutableSet[Any]) -> None:
        self._connections = connections
        self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)
        connections.add(self)

    def shutdown(self) -> None:
        """The server's call when it ends; the timer is short enough."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._connections.discard(self)


def refuse(
    transport: asyncio.Transport,
    connections: MutableSet[Any],
    error: RoomcastError,
    status: int,
    headers: str = "",
) -> None:
    """Answer with problem+json and end the connection, whose protocol is replaced. `headers`: whole lines, ASCII.
    `connections`: the server's set; what the caller had in there is its own to remove."""
    body = problem_body(error, status)
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/problem+json\r\n{headers}"
    transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
    discard(transport, connections)


def discard(transport: asyncio.Transport, connections: MutableSet[Any]) -> None:
    """End a connection whose answer is written; its protocol is replaced."""
    transport.set_protocol(_Discard(transport, connections))
    transport.resume_reading()
    if transport.can_write_eof():
        transport.write_eof()
