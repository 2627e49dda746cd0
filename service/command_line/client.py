"""A small client of the wire contract, for `roomcast listen` and `publish`; it shows how to come back without loss."""

import random
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from service.protocol.errors import ERROR_KINDS, RECONNECTS, CloseCode

_BACKOFF_SECONDS: Final = (0.2, 10.0)  # before the first try, and the longest
_TEMPORARY_STATUS: Final = {429, 503}
_NO_CLOSE_FRAME: Final = 1006


class ClientError(Exception):
    """The conversation is over for good. Its text says why and what to do."""


class _Lost(Exception):
    """The connection is lost, or could not be had; coming back may help, after so many seconds (None: as usual)."""

    def __init__(self, why: str, after_seconds: float | None = None) -> None:
        super().__init__(why)
        self.after_seconds = after_seconds


class Conversation:
    """One user's events in some rooms, over as many connections as it takes."""

    def __init__(self, url: str, token: str, rooms: Sequence[str]) -> None:
        self._url = websocket_url(url)
        self._token = token
        self._rooms = rooms
        self._positions: dict[str, str] = {}  # of the last event of each room, sent as `since` when coming back
        self._closing: dict[str, Any] = {}

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every event, as the text of one line and decoded, for ever. Raises ClientError when coming back is no use."""
        wait_seconds, longest_seconds = _BACKOFF_SECONDS
        has_been_welcome = False
        while True:
            try:
                for line, event in self._events_of_one_connection():
                    if event["type"] == "welcome":
                        wait_seconds, has_been_welcome = _BACKOFF_SECONDS[0], True
                    yield line, event
            except _Lost as lost:
                if not has_been_welcome and lost.after_seconds is None:
                    raise ClientError(str(lost)) from None
                # spread out, so that the clients of a node that went do not come to the next one at once
                jittered_seconds = wait_seconds * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
                time.sleep(max(jittered_seconds, lost.after_seconds or 0.0))
                wait_seconds = min(wait_seconds * 2, longest_seconds)

    def _events_of_one_connection(self) -> Iterator[tuple[str, dict[str, Any]]]:
        self._closing = {}
        with open_socket(self._url, self._token) as socket:
            try:
                for room in self._rooms:
                    since = {"since": self._positions[room]} if room in self._positions else {}
                    socket.send(msgspec.json.encode({"type": "join", "id": room[:64], "room": room, **since}).decode())
                for text in socket:
                    event: dict[str, Any] = msgspec.json.decode(text)
                    self._follow(event)
                    # `data` comes as its publisher wrote it, over several lines perhaps
                    yield msgspec.json.format(text, indent=-1) if isinstance(text, str) else "", event
            except ConnectionClosed:
                pass
            raise self._reason_of(socket)

    def _follow(self, event: dict[str, Any]) -> None:
        """Keep each room's position, and what was said about the end."""
        room = event.get("room", "")
        match event:
            case {"type": "joined", "position": str(position)} | {"type": "gap", "to": str(position)}:
                self._positions[room] = position
            case {"type": "message", "offset": offset} if room in self._positions:
                epoch = self._positions[room].partition(":")[0]
                self._positions[room] = f"{epoch}:{offset}"
            case {"type": "closing"}:
                self._closing = event
            case {"type": "error", "id": _, "code": code} if room in self._rooms:
                if code in ERROR_KINDS and ERROR_KINDS[code].temporary:
                    raise _Lost(event["message"], event.get("retry_after_ms", 0) / 1000 or None)
                raise ClientError(f"Can't join {room}: {event['message']}")

    def _reason_of(self, socket: ClientConnection) -> Exception:
        """What the closed socket means, by PROTOCOL.md's table of close codes."""
        code = _NO_CLOSE_FRAME if socket.close_code is None else socket.close_code
        why = f"The server closed the connection: {self._closing.get('reason') or socket.close_reason or code}"
        known = code in CloseCode.__members__.values()
        comes_back = code in RECONNECTS if known else not 4400 <= code < 4500
        if not self._closing.get("reconnect", comes_back):
            return ClientError(why)
        if code == CloseCode.UNAUTHENTICATED:
            return ClientError(f"{why}. Get a new token, as with `roomcast token`")
        after_ms = self._closing.get("after_ms")
        return _Lost(why, None if after_ms is None else after_ms / 1000)


def publish(url: str, token: str, room: str, data: msgspec.Raw, name: str | None) -> str:
    """Publish one message; its reply as the text of one line. Raises ClientError for a refusal, its text the reason."""
    command = {"type": "publish", "id": 1, "room": room, "data": data, **({"name": name} if name else {})}
    try:
        with open_socket(websocket_url(url), token) as socket:
            socket.send(msgspec.json.encode(command).decode())
            for text in socket:
                match msgspec.json.decode(text):
                    case {"type": "published", "id": 1}:
                        return text if isinstance(text, str) else ""
                    case {"type": "error", "message": message}:
                        raise ClientError(f"Not published: {message}")
    except (_Lost, ConnectionClosed) as error:
        raise ClientError(str(error)) from None
    raise ClientError(
        "The server closed the connection before it answered: it is unknown whether the message is stored"
    )


def websocket_url(url: str) -> str:
    """The socket's URL of a server: ws or wss, and the path /v1/connect unless one is given. Raises ClientError."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.netloc:
        raise ClientError(f"The URL {url!r} is none of a server: give one as ws://127.0.0.1:8000")
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") or "/v1/connect", "", ""))


def open_socket(url: str, token: str) -> ClientConnection:
    """A connection that the server accepted. Raises ClientError for a refusal for good, else _Lost."""
    try:
        return connect(
            url,
            additional_headers={"Authorization": f"Bearer {token}"},
            subprotocols=[Subprotocol("roomcast.v1.json")],
            compression=None,
            proxy=None if urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost") else True,
            max_size=None,  # the server's messages are as large as its tenant lets them be
        )
    except InvalidStatus as error:
        sentence = _problem_of(error)
        if error.response.status_code in _TEMPORARY_STATUS:
            raise _Lost(sentence, float(error.response.headers.get("Retry-After", 0)) or None) from None
        raise ClientError(sentence) from None
    except (OSError, TimeoutError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        raise _Lost(
            f"No server answers on {url} ({why}): is `roomcast serve` running there? --url names another"
        ) from None
    except (InvalidURI, InvalidHandshake, ValueError) as error:
        raise ClientError(f"What answers on {url} is no Roomcast server ({error}): --url names another") from None


def _problem_of(error: InvalidStatus) -> str:
    """What the server says against the handshake, in one sentence."""
    response = error.response
    try:
        detail = str(msgspec.json.decode(response.body or b"")["detail"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        detail = response.reason_phrase
    hint = ". Get a new token, as with `roomcast token`" if response.status_code == 401 else ""
    return f"The server refuses the connection ({response.status_code}): {detail.rstrip('.')}{hint}"
