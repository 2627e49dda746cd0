"""A client on the wire: own frames on raw sockets, so that it can be slow, rude or wrong. Its events are Structs.

alice = await Client.open(address, token)
await alice.sends("publish", room="chat", data=1, id=1)
await alice.expects(Published, room="chat", id=1)
"""

import asyncio
import base64
import itertools
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from struct import pack, unpack
from typing import Any, Final, TypeVar, cast

import msgspec

from service.protocol.events import (
    Closing,
    ErrorEvent,
    HistoryEvent,
    Joined,
    Pong,
    Published,
    Reply,
    WebSocketEvent,
    Welcome,
)
from tests.support.frames import masked_frame

JSON: Final = "roomcast.v1.json"
MSGPACK: Final = "roomcast.v1.msgpack"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
PATIENCE_SECONDS: Final = 10.0
Kind = TypeVar("Kind", bound=msgspec.Struct)
ReplyKind = TypeVar("ReplyKind", bound=Reply)


class Refused(Exception):
    """The handshake was answered over HTTP."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"HTTP {status}: {body.decode(errors='replace')}")
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def problem(self) -> Any:
        """The problem+json body."""
        assert self.headers["content-type"] == "application/problem+json"
        return msgspec.json.decode(self.body)


class Closed(Exception):
    """The server's end: a close frame's code, None without one."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Client:
    """One socket; made by `open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, selected: str | None) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self.selected = selected
        self.binary = selected == MSGPACK
        self.welcome: Welcome
        self.answers_pings = True
        self.overhears: Callable[[bytes], None] | None = None  # gets every payload that comes, before it is understood

    @classmethod
    async def open(cls, address: str, token: str, *, welcomed: bool = True, **options: Any) -> "Client":
        """Connect (options as of `handshake`) and take `welcome`. Raises Refused."""
        client = await handshake(address, token, **options)
        try:
            if welcomed:
                client.welcome = await client.expects(Welcome)
        except BaseException:
            client.drop()
            raise
        return client

    # Sending

    async def sends(self, kind: str, **fields: Any) -> None:
        """One command."""
        await self.sends_value({"type": kind, **fields})

    async def sends_value(self, value: Any) -> None:
        """Any value, in the subprotocol's encoding."""
        payload = msgspec.msgpack.encode(value) if self.binary else msgspec.json.encode(value)
        await self.sends_payload(payload)

    async def sends_payload(self, payload: bytes) -> None:
        """A payload as it is, in the subprotocol's kind of frame."""
        await self.sends_bytes(masked_frame(payload, BINARY if self.binary else TEXT))

    async def sends_together(self, *commands: dict[str, Any]) -> None:
        """Several commands in one write, so that the server reads them at once."""
        codec: Any = msgspec.msgpack if self.binary else msgspec.json
        opcode = BINARY if self.binary else TEXT
        await self.sends_bytes(b"".join(masked_frame(codec.encode(command), opcode) for command in commands))

    async def sends_bytes(self, data: bytes) -> None:
        """Bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    # Receiving

    async def next(self, timeout_seconds: float = PATIENCE_SECONDS) -> WebSocketEvent:
        """The next event. Raises Closed, TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            while True:
                opcode, payload = await self._frame()
                if opcode == CLOSE:
                    self._writer.write(masked_frame(payload[:2], CLOSE))
                    self._writer.close()
                    raise Closed(unpack("!H", payload[:2])[0] if payload else None)
                if opcode == PING:
                    if self.answers_pings:
                        self._writer.write(masked_frame(payload, PONG))
                elif opcode != PONG:
                    assert opcode == (BINARY if self.binary else TEXT)
                    return self._decode(payload)

    async def expects(self, kind: type[Kind], **fields: Any) -> Kind:
        """The next event, which is of this kind and has these fields; payloads are compared as values."""
        event = await self.next()
        assert isinstance(event, kind), event
        for name, wanted in fields.items():
            got = getattr(event, name)
            got = self.value(got) if isinstance(got, msgspec.Raw) else got
            assert got == wanted, event
        return event

    async def skips_to(self, kind: type[Kind]) -> Kind:
        """The next event of this kind, whatever comes before it."""
        while not isinstance(event := await self.next(), kind):
            pass
        return event

    async def is_closed_with(self, code: int) -> Closing | None:
        """The server closes with this code; the last event before it, if that is `closing`."""
        last: WebSocketEvent | None = None
        closed: int | None = -1
        while closed == -1:
            try:
                last = await self.next()
            except Closed as end:
                closed = end.code
        assert closed == code, (closed, last)
        assert not isinstance(last, Closing) or last.code == code
        return last if isinstance(last, Closing) else None

    async def hears_nothing(self) -> None:
        """Nothing has come that was sent before the server answered now."""
        await self.asks(Pong, "ping")

    # What most tests do

    async def asks(self, kind: type[ReplyKind], command: str, **fields: Any) -> ReplyKind:
        """Send a command; its reply is the next event."""
        command_id = next(self._ids)
        await self.sends(command, id=command_id, **fields)
        return await self.expects(kind, id=command_id)

    async def joins(self, room: str, **fields: Any) -> Joined:
        """Join a room."""
        return await self.asks(Joined, "join", room=room, **fields)

    async def publishes(self, room: str, data: Any = 0, **fields: Any) -> Published:
        """Publish; with `echo` use `sends`."""
        return await self.asks(Published, "publish", room=room, data=data, **fields)

    async def history(self, room: str, **fields: Any) -> HistoryEvent:
        """A page of history."""
        return await self.asks(HistoryEvent, "history", room=room, **fields)

    async def refused(self, code: str, command: str, **fields: Any) -> ErrorEvent:
        """Send a command that is refused with this code, in its own words."""
        event = await self.asks(ErrorEvent, command, **fields)
        assert event.code == code, event
        return event

    def value(self, raw: msgspec.Raw) -> Any:
        """A payload's value."""
        return msgspec.msgpack.decode(raw) if self.binary else msgspec.json.decode(raw)

    async def close(self, code: int = 1000) -> None:
        """Close in good order, whatever still comes."""
        if not self._writer.is_closing():
            self._writer.write(masked_frame(pack("!H", code), CLOSE))
            try:
                async with asyncio.timeout(5):
                    while (await self._frame())[0] != CLOSE:
                        pass
            except (Closed, OSError, TimeoutError):
                pass
            self.drop()

    def drop(self) -> None:
        """Cut the connection."""
        self._writer.transport.abort()

    def stops_reading(self) -> None:
        """Leave what comes in the kernel, as a client that hangs."""
        cast(asyncio.Transport, self._writer.transport).pause_reading()

    def reads_again(self) -> None:
        """Take what the kernel holds."""
        cast(asyncio.Transport, self._writer.transport).resume_reading()

    async def _frame(self) -> tuple[int, bytes]:
        try:
            first, size = await self._reader.readexactly(2)
            assert first & 0x80, "the server does not fragment"
            if size == 126:
                size = unpack("!H", await self._reader.readexactly(2))[0]
            elif size == 127:
                size = unpack("!Q", await self._reader.readexactly(8))[0]
            return first & 0x0F, await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.drop()
            raise Closed(None) from None

    def _decode(self, payload: bytes) -> WebSocketEvent:
        if self.overhears is not None:
            self.overhears(payload)
        codec: Any = msgspec.msgpack if self.binary else msgspec.json
        event: WebSocketEvent = codec.decode(payload, type=WebSocketEvent)
        unknown = set(codec.decode(payload)) - set(event.__struct_encode_fields__) - {"type"}
        assert not unknown, f"fields that PROTOCOL.md does not name: {unknown}"
        return event


async def handshake(
    address: str,
    token: str,
    *,
    binary: bool = False,
    in_subprotocol: bool = False,
    offers: Sequence[str] | None = None,
    headers: Mapping[str, str] | None = None,
    path: str = "/v1/connect",
    behind: bytes = b"",
    receive_buffer_bytes: int | None = None,
) -> Client:
    """Upgrade. `in_subprotocol`: the token goes as browsers send it. `behind`: bytes in the handshake's own packet.

    Raises Refused.
    """
    offered = list(offers) if offers is not None else [MSGPACK if binary else JSON]
    sent = {"Host": "test", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    sent["Sec-WebSocket-Key"] = base64.b64encode(os.urandom(16)).decode()
    if in_subprotocol:
        offered.append(f"roomcast.token.{token}")
    elif token:
        sent["Authorization"] = f"Bearer {token}"
    sent |= ({"Sec-WebSocket-Protocol": ", ".join(offered)} if offered else {}) | dict(headers or {})
    host, port = address.removeprefix("http://").split(":")
    kernel_socket = socket.socket()
    if receive_buffer_bytes is not None:
        kernel_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    kernel_socket.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(kernel_socket, (host, int(port)))
    except OSError:
        kernel_socket.close()
        raise
    reader, writer = await asyncio.open_connection(sock=kernel_socket)
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode() + behind)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            status, answered = await _read_head(reader)
            if status != 101:
                body = await reader.readexactly(int(answered.get("content-length", 0)))
                raise Refused(status, answered, body)
    except BaseException:
        writer.transport.abort()
        raise
    return Client(reader, writer, answered.get("sec-websocket-protocol"))


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    headers = {}
    for line in filter(None, lines):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(first.split()[1]), headers
