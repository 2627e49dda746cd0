"""From a handshake to a socket: the application answers, then the transport is given to the socket that it prepared.

`HandoverProtocol` is ASGI's side of one handshake; it lives from the request's head to the end of the handler, and of
it nothing stays: no task, no queue, no scope (ARCHITECTURE.md, decision 1).
"""

import asyncio
import logging
from collections.abc import Callable, MutableMapping, MutableSet, Sequence
from http import HTTPStatus
from typing import Any, Final

from service.protocol.errors import NotFound, RoomcastError
from service.transports.handshake import accept_head, response_head
from service.transports.live_socket import LiveSocket
from service.transports.refusal import discard, refuse

log = logging.getLogger(__name__)

# What a client may send behind its handshake before the answer to it; then we read no more until the hand-over.
MAX_EARLY_BYTES: Final = 64 * 1024

_EXTENSION: Final = "roomcast.handover"
#: An extension of a handshake's scope for which the process has no file descriptor to spare.
SURPLUS: Final = "roomcast.surplus"


def take_over(
    scope: MutableMapping[str, Any],
    make_socket: Callable[[asyncio.Transport], LiveSocket],
    abandon: Callable[[], None] = lambda: None,
) -> None:
    """Called by a WebSocket handler on its scope, after `accept` or before: once it has returned, `make_socket` gets
    the transport and makes the socket with its handler. What it sends there (`welcome`) precedes any answer to the
    client's first bytes; it may also `close` the socket at once. When the client has gone meanwhile, `abandon` is
    called instead: one of the two, exactly once."""
    handover: HandoverProtocol = scope["extensions"][_EXTENSION]
    handover.make_socket, handover.abandon = make_socket, abandon


class HandoverProtocol(asyncio.Protocol):
    """One handshake as ASGI sees it, from the head to the end of the handler; then the transport gets its socket.

    The client's frames are kept unread until then.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        app: Any,
        scope: dict[str, Any],
        key: bytes,
        connections: MutableSet[Any],
        default_headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        self.transport = transport
        self.make_socket: Callable[[asyncio.Transport], LiveSocket] | None = None
        self.abandon: Callable[[], None] | None = None
        self._app = app
        self._scope = scope
        self._scope["extensions"][_EXTENSION] = self
        self._key = key
        self._connections = connections
        self._default_headers = default_headers
        self._early = b""
        self._is_early_paused = False
        # What was answered: 101, or another status, whose body comes behind it.
        self._is_accepted = False
        self._is_refused = False
        self._told_connect = False
        self._lost = asyncio.Event()
        self._connections.add(self)

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        """Early frames."""
        self._early += data
        if len(self._early) > MAX_EARLY_BYTES and not self._is_early_paused:
            self._is_early_paused = True
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone before its socket was made."""
        self._connections.discard(self)
        self._lost.set()

    def shutdown(self) -> None:
        """The server's call when it ends: whoever has no socket yet comes again."""
        self.transport.close()

    # ASGI.

    async def run(self) -> None:
        """The handler's whole life; then the hand-over, or the end."""
        try:
            await self._app(self._scope, self._receive, self._send)
            self._finish()
        except BaseException as error:
            log.error("websocket handler failed: %s", type(error).__name__, exc_info=error)
            self._refuse_bug()
            if not isinstance(error, Exception):
                raise
        finally:
            if self.abandon is not None:
                self.abandon()
            self.make_socket = self.abandon = None
            self._connections.discard(self)
            # The scope holds us, and we hold the scope: let both go now, by reference counts.
            self._scope.clear()

    async def _receive(self) -> dict[str, Any]:
        if not self._told_connect:
            self._told_connect = True
            return {"type": "websocket.connect"}
        await self._lost.wait()
        return {"type": "websocket.disconnect", "code": 1006}

    async def _send(self, message: dict[str, Any]) -> None:
        if self.transport.is_closing():
            return  # the client has gone; `abandon` tells the handler
        kind, headers = message["type"], message.get("headers", ())
        if kind == "websocket.accept" and not self._is_accepted:
            self._is_accepted = True
            subprotocol = message.get("subprotocol")
            self.transport.write(accept_head(self._key, subprotocol, [*self._default_headers, *headers]))
        elif kind == "websocket.http.response.start":
            self._is_refused = True
            self.transport.write(response_head(message["status"], [*self._default_headers, *headers]))
        elif kind == "websocket.http.response.body" and self._is_refused:
            self.transport.write(message.get("body", b""))
        elif kind == "websocket.close" and not self._is_accepted:
            # What Litestar raised before `accept`: all codes are 4500, only the reason tells a path that is not routed.
            if message.get("reason") == HTTPStatus.NOT_FOUND.phrase:
                self._refuse(NotFound("path"), HTTPStatus.NOT_FOUND)
            else:
                self._refuse_bug()
        else:
            raise RuntimeError(f"{kind} is not for a handshake")

    def _finish(self) -> None:
        if self.transport.is_closing():
            return
        if self._is_refused:
            self._end()
        elif self._is_accepted and self.make_socket is not None:
            self._hand_over(self.make_socket)
        else:
            self._refuse_bug()

    def _refuse_bug(self) -> None:
        if self._is_accepted or self._is_refused or self.transport.is_closing():
            self.transport.abort()
        else:
            error = RoomcastError("internal", "the handshake was not answered")
            self._refuse(error, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _refuse(self, error: RoomcastError, status: int) -> None:
        self._is_refused = True
        self._connections.discard(self)
        refuse(self.transport, self._connections, error, status)

    def _end(self) -> None:
        """What was refused over HTTP ends in good order."""
        if self in self._connections:
            self._connections.discard(self)
            discard(self.transport, self._connections)

    def _hand_over(self, make_socket: Callable[[asyncio.Transport], LiveSocket]) -> None:
        self.abandon = None
        live_socket = make_socket(self.transport)
        self._connections.discard(self)
        self.transport.set_protocol(live_socket)
        live_socket.start(self._connections)
        if self._is_early_paused:
            self.transport.resume_reading()
        if self._early:
            live_socket.data_received(self._early)
        live_socket.flush()  # now: the head and the first event leave in one write
