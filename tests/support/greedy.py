"""A greedy tenant's clients, in a process of their own: `python -m tests.support.greedy`, told by lines on stdin.

First a `Greed` as JSON; it answers `ready` when all its sockets are open. A line begins, the next one ends it: once
nothing comes any more it says what came of it as an `Outcome`, and may begin again. It reads whatever comes and decodes
nothing, so that it is no bottleneck.
"""

import base64
import os
import resource
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec
from websockets.utils import apply_mask

READ_BYTES: Final = 256 * 1024
PACE_SECONDS: Final = 0.01
SILENCE_SECONDS: Final = 0.3
AT_ONCE: Final = 100  # handshakes under way, and sockets that ask over HTTP


class Greed(msgspec.Struct, kw_only=True):
    """What it is to do, with a token and an API key of its tenant.

    members: sockets that join `room` and listen. publishes_per_second: to `room`, by one more. floods: sockets that
    each publish so often to a room that nobody has joined. requests_per_second: over HTTP. connects_per_second:
    handshakes, closed as soon as they are answered.
    """

    port: int
    token: str
    api_key: str
    room: str = "crowd"
    members: int = 0
    publishes_per_second: float = 0
    payload_bytes: int = 100
    floods: int = 0
    commands_per_second: float = 0
    requests_per_second: float = 0
    connects_per_second: float = 0


class Outcome(msgspec.Struct, kw_only=True):
    """What it did: bytes that members received, what was sent, sockets that the server closed."""

    seconds: float
    received_bytes: int
    publishes: int
    commands: int
    requests: int
    connects: int
    lost: int


def soft_open_files() -> int:
    """How many files and sockets a process may have open here."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def frame(payload: bytes) -> bytes:
    """One masked text frame of less than 64 KiB."""
    mask = b"\x01\x02\x03\x04"
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x81" + length + mask + apply_mask(payload, mask)


class Pace:
    """A rate, from when it begins."""

    def __init__(self, per_second: float) -> None:
        self.done = 0
        self._per_second = per_second
        self._began = time.monotonic()

    def due(self) -> int:
        """How many more by now."""
        return int((time.monotonic() - self._began) * self._per_second) - self.done


class Sender:
    """A socket that takes whole frames, or nothing while it is full."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._left = b""

    def send(self, data: bytes) -> bool:
        """False: what was sent before has not left yet."""
        with suppress(BlockingIOError):
            if self._left:
                self._left = self._left[self._socket.send(self._left) :]
            if not self._left:
                self._left = data
                self._left = data[self._socket.send(data) :]
                return True
        return False


class Crowd:
    """All its sockets, and what each does with what it reads (b"" at its end)."""

    def __init__(self, greed: Greed) -> None:
        self._greed = greed
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[bytes], None]] = {}
        self._is_over = False
        self._received_bytes = 0
        self._lost = 0
        self._knocking = 0
        self._handshake = (
            f"GET /v1/connect HTTP/1.1\r\nHost: greedy\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {greed.token}\r\n\r\n"
        ).encode()

    def open(self) -> None:
        """Connect all that stay, and have the members join."""
        greed = self._greed
        join = frame(msgspec.json.encode({"type": "join", "room": greed.room}))
        for member in self._open_sockets(greed.members):
            member.sendall(join)
            self._watch(member, self._receive_as_member)
            self._read(0)
        self._publisher = self._sender(next(self._open_sockets(1)))
        self._floods = [self._sender(flood) for flood in self._open_sockets(greed.floods)]
        self._idle = [self._connect() for _ in range(AT_ONCE if greed.requests_per_second else 0)]

    def run(self) -> Outcome:
        """Be greedy until the next line."""
        greed = self._greed
        publishes, commands = Pace(greed.publishes_per_second), Pace(greed.floods * greed.commands_per_second)
        requests, connects = Pace(greed.requests_per_second), Pace(greed.connects_per_second)
        command = {"type": "publish", "room": greed.room, "data": "x" * greed.payload_bytes}
        publish = frame(msgspec.json.encode(command))
        flood = frame(msgspec.json.encode(command | {"room": "flood", "id": 1}))
        self._readers[sys.stdin.fileno()] = self._end
        self._epoll.register(sys.stdin.fileno(), select.EPOLLIN)
        self._received_bytes, self._is_over, began = 0, False, time.monotonic()
        while not self._is_over:
            self._publish([self._publisher], publish, publishes)
            self._publish(self._floods, flood, commands)
            self._ask(requests)
            self._knock(connects)
            self._read(PACE_SECONDS)
        seconds = time.monotonic() - began
        self._epoll.unregister(sys.stdin.fileno())
        self._is_over = False
        while self._read(SILENCE_SECONDS):
            pass
        return Outcome(
            seconds=seconds,
            received_bytes=self._received_bytes,
            publishes=publishes.done,
            commands=commands.done,
            requests=requests.done,
            connects=connects.done,
            lost=self._lost,
        )

    def _publish(self, senders: list[Sender], published: bytes, pace: Pace) -> None:
        due = pace.due()
        each = -(-due // len(senders)) if senders else 0
        for sender in senders:
            if due > 0 and sender.send(published * min(each, due)):
                pace.done += min(each, due)
                due -= each

    def _ask(self, pace: Pace) -> None:
        request = f"GET /v1/counts HTTP/1.1\r\nHost: greedy\r\nAuthorization: Bearer {self._greed.api_key}\r\n\r\n"
        while self._idle and pace.due() > 0:
            asking = self._idle.pop(0)
            asking.sendall(request.encode())
            self._watch(asking, self._answered)
            pace.done += 1

    def _knock(self, pace: Pace) -> None:
        while self._knocking < AT_ONCE and pace.due() > 0:
            knocking = self._connect()
            knocking.sendall(self._handshake)
            self._watch(knocking, self._answered_at_the_door)
            self._knocking += 1
            pace.done += 1

    def _connect(self) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self._greed.port))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def _open_sockets(self, count: int) -> Iterator[socket.socket]:
        for first in range(0, count, AT_ONCE):
            opened = [self._connect() for _ in range(min(AT_ONCE, count - first))]
            for each in opened:
                each.sendall(self._handshake)
            for each in opened:
                answer = b""
                while b"\r\n\r\n" not in answer:
                    answer += each.recv(4096)
                assert answer.startswith(b"HTTP/1.1 101"), answer
                yield each

    def _sender(self, opened: socket.socket) -> Sender:
        self._watch(opened, self._ignore)
        return Sender(opened)

    def _watch(self, opened: socket.socket, reader: Callable[[socket.socket, bytes], None]) -> None:
        opened.setblocking(False)
        self._readers[opened.fileno()] = partial(reader, opened)
        self._epoll.register(opened.fileno(), select.EPOLLIN)

    def _read(self, seconds: float) -> int:
        """Read what comes, so long; how often something came."""
        until, reads = time.monotonic() + seconds, 0
        while True:
            for number, _ in self._epoll.poll(max(0.0, until - time.monotonic()), 4096):
                reads += 1
                try:
                    data = os.read(number, READ_BYTES)
                except ConnectionError:
                    data = b""
                self._readers[number](data)
            if time.monotonic() >= until or self._is_over:
                return reads

    def _forget(self, opened: socket.socket) -> None:
        self._epoll.unregister(opened.fileno())
        del self._readers[opened.fileno()]

    def _receive_as_member(self, member: socket.socket, data: bytes) -> None:
        self._received_bytes += len(data)
        self._ignore(member, data)

    def _ignore(self, opened: socket.socket, data: bytes) -> None:
        if not data:
            self._lost += 1
            self._forget(opened)
            opened.close()

    def _answered(self, asking: socket.socket, data: bytes) -> None:
        self._forget(asking)
        asking.setblocking(True)
        self._idle.append(asking if data else self._connect())

    def _answered_at_the_door(self, knocking: socket.socket, _data: bytes) -> None:
        self._forget(knocking)
        knocking.close()
        self._knocking -= 1

    def _end(self, _line: bytes) -> None:
        self._is_over = True


def main() -> None:
    """Run by lines, until they end."""
    with os.fdopen(0, "rb", buffering=0, closefd=False) as orders:
        crowd = Crowd(msgspec.json.decode(orders.readline(), type=Greed))
        crowd.open()
        print("ready", flush=True)
        while orders.readline():
            print(msgspec.json.encode(crowd.run()).decode(), flush=True)


if __name__ == "__main__":
    main()
