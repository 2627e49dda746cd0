"""The server's half of the opening handshake, RFC 6455 section 4.2, on the head that the HTTP parser has read. Pure.

uvicorn would parse the head a second time with another library: a quarter of what a connect costs.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_KEY_BYTES: Final = 16
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
Headers = Sequence[tuple[bytes, bytes]]


class BadHandshake(Exception):
    """A handshake that is answered with `status`; `headers` are whole lines."""

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST, headers: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.headers = headers


class Opening(NamedTuple):
    """What of a client's handshake counts later."""

    key: bytes
    subprotocols: list[str]


def read_opening(method: str, http_version: str, headers: Headers) -> Opening:
    """The client's handshake, checked in the order of RFC 6455 section 4.2.1; names of headers are in lower case.

    Raises BadHandshake.
    """
    if method != "GET":
        raise BadHandshake("a WebSocket is opened with GET", HTTPStatus.METHOD_NOT_ALLOWED, "allow: GET\r\n")
    if http_version != "1.1":
        raise BadHandshake("a WebSocket is opened over HTTP/1.1")
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        fields[name] = fields[name] + b"," + value if name in fields else value
    if not fields.get(b"host"):
        raise BadHandshake("the header Host is missing")
    if not (_names(fields, b"upgrade", b"websocket") and _names(fields, b"connection", b"upgrade")):
        raise BadHandshake("the headers Upgrade and Connection ask for no WebSocket")
    if fields.get(b"sec-websocket-version", b"").strip() != b"13":
        # Section 4.4: the answer says which version would do.
        raise BadHandshake("only version 13 is spoken", HTTPStatus.UPGRADE_REQUIRED, "sec-websocket-version: 13\r\n")
    key = fields.get(b"sec-websocket-key", b"").strip()
    if not _is_key(key):
        raise BadHandshake("Sec-WebSocket-Key is not 16 bytes in base64")
    if b"," in fields.get(b"origin", b""):
        raise BadHandshake("more than one Origin")
    return Opening(key, _subprotocols(fields.get(b"sec-websocket-protocol", b"")))


def _names(fields: Mapping[bytes, bytes], header: bytes, wanted: bytes) -> bool:
    """Whether a header's comma-separated values have one, in any case."""
    value = fields.get(header, b"").lower()
    return value == wanted or any(part.strip() == wanted for part in value.split(b","))


def _subprotocols(value: bytes) -> list[str]:
    offered = [text.strip() for text in value.decode("latin-1").split(",") if text.strip()]
    if not all(map(_TOKEN.fullmatch, offered)):
        raise BadHandshake("Sec-WebSocket-Protocol is no list of subprotocols")
    return offered


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False


def accept_head(key: bytes, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The answer that opens the socket (section 4.2.2). The subprotocol is one of those offered."""
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    lines = [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: "]
    lines += [accept, b"\r\n"]
    if subprotocol is not None:
        lines += [b"sec-websocket-protocol: ", subprotocol.encode("latin-1"), b"\r\n"]
    for name, value in headers:
        lines += [name, b": ", value, b"\r\n"]
    lines.append(b"\r\n")
    return b"".join(lines)


def response_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of an answer that opens no socket; the connection ends with it."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()]
    for name, value in headers:
        lines += [name, b": ", value, b"\r\n"]
    lines.append(b"connection: close\r\n\r\n")
    return b"".join(lines)
