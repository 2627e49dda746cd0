"""The only file that knows uvicorn's internals (0.54): from its two protocols to our `LiveSocket`.

`GuardedHttpProtocol` (uvicorn's `http=`) bounds what a request's head may cost, and passes an upgrade on with the bytes
that came behind it, which uvicorn drops. `HandoverProtocol` (`ws=`) lets the application do the handshake, then gives
the transport to the socket which the handler prepared with `take_over`; of itself nothing stays.
"""

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from service.protocol.errors import ErrorCode, Malformed, RoomcastError
from service.transports.live_socket import LiveSocket
from service.transports.refusal import refuse

log = logging.getLogger(__name__)

MAX_HEADERS: Final = 100
MAX_LINE_BYTES: Final = 8_192
MAX_HEAD_BYTES: Final = 64 * 1024
# What a client may send behind its handshake before the answer to it; then we read no more until the hand-over.
MAX_EARLY_BYTES: Final = 64 * 1024

_EXTENSION: Final = "roomcast.handover"


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


class HandoverProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol up to the end of the handler; the client's frames are kept unread until then."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.make_socket: Callable[[asyncio.Transport], LiveSocket] | None = None
        self.abandon: Callable[[], None] | None = None
        self._early = b""
        self._is_early_paused = False

    def data_received(self, data: bytes) -> None:
        """First the request's head, whole, from `GuardedHttpProtocol`; then the client's early frames."""
        if self.handshake_initiated:
            self._early += data
            if len(self._early) > MAX_EARLY_BYTES and not self._is_early_paused:
                self._is_early_paused = True
                self.transport.pause_reading()
            return
        super().data_received(data)
        if not self.handshake_initiated:  # the library did not like the head, and would say nothing
            self._refuse(HTTPStatus.BAD_REQUEST)

    def handle_connect(self, event: Request) -> None:
        """uvicorn's hook for the parsed request: a handshake that fails is answered as every other refusal."""
        response = self.conn.accept(event)
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self.conn.accept = lambda request: response  # type: ignore[method-assign]  # 20 µs, once is enough
            super().handle_connect(event)
            return
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        status, headers = response.status_code, ""
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers = "allow: GET\r\n"
        elif event.headers.get_all("Sec-WebSocket-Version") != ["13"]:
            status, headers = HTTPStatus.UPGRADE_REQUIRED, "sec-websocket-version: 13\r\n"  # RFC 6455 4.4
        self._refuse(status, headers)

    def _refuse(self, status: int, headers: str = "") -> None:
        code: ErrorCode = "not_allowed" if status == HTTPStatus.METHOD_NOT_ALLOWED else "invalid"
        self.connections.discard(self)
        error = RoomcastError(code, "the WebSocket handshake is not valid")
        refuse(self.transport, self.connections, error, status, headers)

    async def run_asgi(self) -> None:
        """The handler's whole life; then the hand-over, or the end."""
        extensions = cast(dict[str, Any], self.scope["extensions"])
        extensions[_EXTENSION] = self
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            self.transport.close()
        except BaseException as error:
            log.error("websocket handler failed: %s", type(error).__name__, exc_info=error)
            self.send_500_response()
            self.transport.close()
            if not isinstance(error, Exception):
                raise
        else:
            self._finish()
        finally:
            self.stop_keepalive()
            extensions.pop(_EXTENSION, None)
            self._let_go()

    def _finish(self) -> None:
        if self.close_sent or self.disconnected or self.transport.is_closing():
            if self.close_timer is None:
                self.transport.close()
        elif not self.handshake_complete or self.make_socket is None:
            self.send_500_response()
            self.transport.close()
        else:
            self._hand_over(self.make_socket)

    def _hand_over(self, make_socket: Callable[[asyncio.Transport], LiveSocket]) -> None:
        transport, early = self.transport, self._early
        self.stop_keepalive()
        self.abandon = None
        try:
            live_socket = make_socket(transport)
        except Exception as error:
            log.error("socket not made: %s", type(error).__name__, exc_info=error)
            transport.abort()
            return
        self.connections.discard(self)
        transport.set_protocol(live_socket)
        live_socket.start(self.connections)
        if self._is_early_paused:
            transport.resume_reading()
        if early:
            live_socket.data_received(early)

    def _let_go(self) -> None:
        """Break the cycles through the transport, the parser and the scope, so that all is freed now, by reference
        counts. uvicorn still calls us when a transport that was not handed over is lost."""
        if self.abandon is not None:
            self.abandon()
        self.make_socket = self.abandon = None
        self._early = b""
        if self not in self.connections:
            del self.transport, self.conn, self.queue, self.scope, self.response, self.request


class _TooMuch(Exception):
    """Raised inside the HTTP parser, which turns it into an error of its own."""


class _Stage(Enum):
    """What of a request is awaited."""

    HEAD = auto()
    BODY = auto()
    NOTHING = auto()


class GuardedHttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with bounds: 5 s for a head, 30 s for a body, and the sizes above, each answered."""

    head_timeout_seconds = 5.0
    body_timeout_seconds = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stage = _Stage.HEAD
        self._watched: _Stage | None = None  # for which stage the timer runs
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0  # parsed, of this request
        self._unfinished_bytes = 0  # received while the head was not complete
        self._over_limit = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A new connection has 5 s for its first head."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, or no longer ours (`exc` is given then, so that the transport stays open)."""
        self._stage = _Stage.NOTHING
        self._watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, but it tells an oversized head from a bad one, and keeps what came behind an upgrade."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._upgrade(data[upgrade.args[0] :])
                return
            self._unsupported_upgrade_warning()
        except httptools.HttpParserError:
            self._refuse_head()
            return
        if self._stage is _Stage.HEAD:
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > MAX_HEAD_BYTES:
                self._over_limit = "max_head_bytes"
                self._refuse_head()
                return
        self._watch()

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        """The first byte of a request; only it ends the keep-alive timeout, so that empty lines don't prolong it."""
        self._unset_keepalive_if_required()
        self._stage, self._watched = _Stage.HEAD, None
        self._head_bytes = self._unfinished_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Raises beyond the limit of a line."""
        super().on_url(url)
        self._count(len(self.url), len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Raises beyond the limits; trailers count too."""
        super().on_header(name, value)
        size = len(name) + len(value) + 4
        self._count(size, size)
        if len(self.headers) > MAX_HEADERS:
            self._over_limit = "max_headers"
            raise _TooMuch

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._stage = _Stage.BODY
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._stage = _Stage.NOTHING
        super().on_message_complete()

    def _count(self, line_bytes: int, more_bytes: int) -> None:
        self._head_bytes += more_bytes
        if line_bytes > MAX_LINE_BYTES:
            self._over_limit = "max_header_line_bytes"
            raise _TooMuch
        if self._head_bytes > MAX_HEAD_BYTES:
            self._over_limit = "max_head_bytes"
            raise _TooMuch

    # Ends.

    def _watch(self) -> None:
        if self._stage is self._watched:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._watched = self._stage
        if self._stage is not _Stage.NOTHING:
            is_head = self._stage is _Stage.HEAD
            seconds = self.head_timeout_seconds if is_head else self.body_timeout_seconds
            self._timer = self.loop.call_later(seconds, self._timed_out)

    def _timed_out(self) -> None:
        if self._unfinished_bytes or self._stage is _Stage.BODY:
            self._refuse(RoomcastError("invalid", "the request did not come in time"), HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()  # nothing was asked

    def _refuse_head(self) -> None:
        if self._over_limit:
            error = RoomcastError("too_large", "the request's head is too large", limit=self._over_limit)
            self._refuse(error, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            self._refuse(Malformed("this is no HTTP request"), HTTPStatus.BAD_REQUEST)

    def _refuse(self, error: RoomcastError, status: int) -> None:
        is_answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        self.connection_lost(ConnectionAbortedError())
        if is_answering:
            self.transport.abort()  # an answer inside another would be read as a part of it
        else:
            refuse(self.transport, self.connections, error, status)

    def _upgrade(self, behind: bytes) -> None:
        """As uvicorn's `handle_websocket_upgrade`, which forgets `behind`."""
        head = [self.scope["method"].encode(), b" ", self.url, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            head += [name, b": ", value, b"\r\n"]
        head.append(b"\r\n")
        self.connection_lost(ConnectionAbortedError())
        protocol = HandoverProtocol(self.config, self.server_state, self.app_state)
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        protocol.data_received(b"".join(head))
        if behind:
            protocol.data_received(behind)
