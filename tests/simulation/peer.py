"""Both ends of one socket, without a wire: what a node's outbox and a client's reading come to."""

import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from service.protocol.errors import CloseCode
from service.rooms.usage import Usage
from tests.simulation.clock import VirtualLoop

MAX_WAITING_BYTES: Final = 2_000
LITTLE_BYTES: Final = 300
READ_SECONDS: Final = 0.1

_decode = msgspec.json.decode


class Reader(Protocol):
    """The client's end."""

    def receive(self, event: dict[str, Any]) -> None:
        """One event came."""

    def closed(self, peer: "Peer", code: int | None) -> None:
        """The socket is closed; None: without a close frame."""


class Peer:
    """One socket: a `Subscriber` to the node. is_slow: the client reads a little now and then.

    told_lost: the node's, when it has found out that the socket is gone; None: there is no node any more.
    """

    def __init__(self, loop: VirtualLoop, chance: random.Random, reader: Reader) -> None:
        self.binary = False
        self.usage = Usage()
        self.is_open = True
        self.is_slow = False
        self.told_lost: Callable[[int | None], None] | None = None
        self._loop, self._chance, self._reader = loop, chance, reader
        self._accepts = True
        self._is_about_to_read = False
        self._waiting: deque[bytes] = deque()
        self._drained: Callable[[], None] | None = None
        self.waiting_bytes = 0

    # The node's end

    def send(self, frame: bytes) -> bool:
        """See `Subscriber`."""
        if not self._accepts:
            return False
        if not self.is_slow and not self._waiting:
            self._read(frame)
            return True
        self._waiting.append(frame)
        self.waiting_bytes += len(frame)
        self._read_later()
        if self.waiting_bytes > MAX_WAITING_BYTES:
            self._waiting.clear()
            self.close(CloseCode.SLOW_CONSUMER)
        return True

    def send_payload(self, payload: bytes) -> bool:
        """See `Subscriber`; nothing here sends directly."""
        return self._accepts

    def close(self, code: int, reason: str = "", *, closing: bytes = b"") -> None:
        """See `Subscriber`: what waits, then the close frame."""
        if self._accepts:
            self._accepts = False
            self._loop.call_later(self._chance.choice((0.0, 0.01, 0.2)), self._end, code)

    def when_drained(self, callback: Callable[[], None]) -> None:
        """See `Subscriber`."""
        if self.waiting_bytes <= LITTLE_BYTES:
            self._loop.call_soon(callback)
        else:
            self._drained = callback

    # The client's end

    def cut(self) -> None:
        """The network is gone: the client knows at once, the node later."""
        if self.is_open:
            self.is_open = False
            self._reader.closed(self, None)
            self._loop.call_later(self._chance.choice((0.0, 0.05, 0.8)), self._tell_lost, None)

    def crash(self) -> None:
        """The node is gone."""
        self.told_lost, self._accepts = None, False
        if self.is_open:
            self.is_open = False
            self._reader.closed(self, None)

    def leave(self) -> None:
        """The client closes in good order."""
        if self.is_open:
            self.is_open = False
            self._accepts = False
            self._reader.closed(self, CloseCode.NORMAL)
            self._tell_lost(CloseCode.NORMAL)

    def _read_later(self) -> None:
        if not self._is_about_to_read:
            self._is_about_to_read = True
            self._loop.call_later(READ_SECONDS if self.is_slow else 0.0, self._read_some)

    def _read_some(self) -> None:
        """A slow client's turn to read; all of it if it is slow no more."""
        self._is_about_to_read = False
        taken = 0
        while self._waiting and (taken < LITTLE_BYTES or not self.is_slow):
            frame = self._waiting.popleft()
            taken += len(frame)
            self.waiting_bytes -= len(frame)
            self._read(frame)
        if self._drained is not None and self.waiting_bytes <= LITTLE_BYTES:
            drained, self._drained = self._drained, None
            self._loop.call_soon(drained)
        if self._waiting:
            self._read_later()

    def _read(self, frames: bytes) -> None:
        start = 0
        while start < len(frames) and self.is_open:
            size, start = frames[start + 1], start + 2
            if size == 126:
                size, start = int.from_bytes(frames[start : start + 2], "big"), start + 2
            self._reader.receive(_decode(frames[start : start + size]))
            start += size

    def _end(self, code: int) -> None:
        while self._waiting:
            self._read(self._waiting.popleft())
        if self.is_open:
            self.is_open = False
            self._reader.closed(self, code)
        self._tell_lost(code)

    def _tell_lost(self, code: int | None) -> None:
        self._accepts = False
        told, self.told_lost = self.told_lost, None
        if told is not None:
            told(code)
