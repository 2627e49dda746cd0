"""The server's half of the opening handshake, RFC 6455 section 4.2, on the head that the HTTP parser has read. Pure.

uvicorn would parse the head a second time with another library: a quarter of what a connect costs.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
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
    if not _values(headers, b"host"):
        raise BadHandshake("the header Host is missing")
    if b"websocket" not in _values(headers, b"upgrade") or b"upgrade" not in _values(headers, b"connection"):
        raise BadHandshake("the headers Upgrade and Connection ask for no WebSocket")
    if _values(headers, b"sec-websocket-version") != [b"13"]:
        # Section 4.4: the answer says which version would do.
        raise BadHandshake("only version 13 is spoken", HTTPStatus.UPGRADE_REQUIRED, "sec-websocket-version: 13\r\n")
    keys = [value.strip() for name, value in headers if name == b"sec-websocket-key"]
    if len(keys) != 1 or not _is_key(keys[0]):
        raise BadHandshake("Sec-WebSocket-Key is not 16 bytes in base64")
    if len(_values(headers, b"origin")) > 1:
        raise BadHandshake("more than one Origin")
    offers = b",".join(value for name, value in headers if name == b"sec-websocket-protocol").decode("latin-1")
    subprotocols = [text.strip() for text in offers.split(",") if text.strip()]
    if not all(map(_TOKEN.fullmatch, subprotocols)):
        raise BadHandshake("Sec-WebSocket-Protocol is no list of subprotocols")
    return Opening(keys[0], subprotocols)


def _values(headers: Headers, wanted: bytes) -> list[bytes]:
    """The comma-separated values of a header, in lower case."""
    lines = [value for name, value in headers if name == wanted]
    return [value.strip() for value in b",".join(lines).lower().split(b",")] if lines else []


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
