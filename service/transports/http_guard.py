"""The only file that knows uvicorn's internals (0.54): its HTTP protocol with bounds, and an upgrade of our own.

uvicorn's own WebSocket protocols are not used: they drop what came behind the head, hang on a head that they don't
like, and parse it a second time, which is a quarter of what a connect costs.
"""

import asyncio
import re
import sys
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.protocol.errors import ErrorCode, Malformed, RoomcastError
from service.transports.handover import SURPLUS, HandoverProtocol
from service.transports.handshake import BadHandshake, read_opening
from service.transports.refusal import refuse

MAX_HEADERS: Final = 100
MAX_LINE_BYTES: Final = 8_192
MAX_HEAD_BYTES: Final = 64 * 1024
# File descriptors of the last ones that sockets don't get: Redis, SQL, requests and refusals go on, and who comes hears
# why not. Of these, the last that no connection gets at all. The kernel gives the lowest free number, so a connection's
# own tells how many are taken.
RESERVED_DESCRIPTORS: Final = 128
LAST_DESCRIPTORS: Final = 32
_OFFER_OF_HTTP_2: Final = re.compile(rb"(?im)^upgrade(?=:[ \t]*h2c[ \t]*\r$)")


def _without_offer_of_http_2(data: bytes) -> bytes:
    """The beginning of a request with its `Upgrade: h2c` renamed, which a server may ignore (RFC 9110, section 7.8).

    Java's HttpClient sends it with every request. The parser takes a body behind any Upgrade for another protocol, and
    drops it: each POST came without its body.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    return _OFFER_OF_HTTP_2.sub(b"X-H2C-O", head + end) + body


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
    descriptor_limit = sys.maxsize  # of the process

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stage = _Stage.HEAD
        self._watched: _Stage | None = None  # for which stage the timer runs
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0  # parsed, of this request
        self._unfinished_bytes = 0  # received while the head was not complete
        self._over_limit = ""
        self._is_upgrade: bool | None = None
        self._is_surplus = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A new connection has 5 s for its first head. As uvicorn's, less the server's own address and its logs."""
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        peer = transport.get_extra_info("peername")  # four fields with IPv6
        self.client = peer[:2] if isinstance(peer, tuple) else None
        self.scheme = "http"
        self._watch()
        descriptor = transport.get_extra_info("socket").fileno()
        self._is_surplus = descriptor >= self.descriptor_limit - RESERVED_DESCRIPTORS
        if descriptor >= self.descriptor_limit - LAST_DESCRIPTORS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, or no longer ours (`exc` is given then, so that the transport stays open)."""
        self._stage = _Stage.NOTHING
        self._watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, but it tells an oversized head from a bad one, and keeps what came behind an upgrade."""
        if self._stage is not _Stage.BODY and b"h2c" in data:
            data = _without_offer_of_http_2(data)
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
        self._is_upgrade = None
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

    def _should_upgrade(self) -> bool:
        """uvicorn asks three times a head; once is enough."""
        if self._is_upgrade is None:
            self._is_upgrade = super()._should_upgrade()
        return self._is_upgrade

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

    def _socket_scope(self, subprotocols: list[str]) -> dict[str, Any]:
        """The ASGI scope of an upgrade."""
        url = httptools.parse_url(self.url)
        return {
            "type": "websocket",
            "asgi": {"version": self.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "server": self.server,
            "client": self.client,
            "root_path": self.root_path,
            "path": self.root_path + unquote(url.path.decode("latin-1")),
            "raw_path": self.root_path.encode() + url.path,
            "query_string": url.query or b"",
            "headers": self.headers,
            "subprotocols": subprotocols,
            "state": self.app_state.copy(),
            "extensions": {"websocket.http.response": {}, **({SURPLUS: {}} if self._is_surplus else {})},
        }

    def _upgrade(self, behind: bytes) -> None:
        """As uvicorn's `handle_websocket_upgrade`, but to our own protocol, and with what came `behind` the head."""
        self.connection_lost(ConnectionAbortedError())
        connections = cast(set[Any], self.server_state.connections)
        try:
            opening = read_opening(self.scope["method"], self.scope["http_version"], self.headers)
            scope = self._socket_scope(opening.subprotocols)
        except (BadHandshake, httptools.HttpParserError) as error:
            bad = error if isinstance(error, BadHandshake) else BadHandshake("the address can't be read")
            code: ErrorCode = "not_allowed" if bad.status == HTTPStatus.METHOD_NOT_ALLOWED else "invalid"
            refuse(self.transport, connections, RoomcastError(code, bad.message), bad.status, bad.headers)
            return
        headers = self.server_state.default_headers
        handover = HandoverProtocol(self.transport, self.app, scope, opening.key, connections, headers)
        self.transport.set_protocol(handover)
        task = self.loop.create_task(handover.run())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        if behind:
            handover.data_received(behind)
