"""Frames waiting for one socket: one write per socket and loop turn, and a bound on what waits.

Ten frames joined in one write cost 0.6 µs each, ten writes 5 µs each.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from service.rooms.spare_frames import is_any_spare, thin
from service.rooms.usage import Usage
from service.telemetry import counters
from service.transports.departures import Departures
from service.transports.wheel import Wheel

log = logging.getLogger(__name__)

# The transport pauses us above the first and resumes below the second; uvloop's own low mark is 16 bytes, which would
# let a socket run dry before it is fed again.
HIGH_WATER_BYTES: Final = 64 * 1024
LOW_WATER_BYTES: Final = 16 * 1024
# A write is 5 µs, nearly all of it the system call: 400 are 2 ms, after which others get the loop.
WRITES_PER_TURN: Final = 400
# To leave messages out takes 0.3-0.8 µs for each that waits, some ms of a full outbox: so much of a turn is for that.
THINNING_SECONDS: Final = 0.002
# What is left of a full outbox where messages may be left out: the next search comes a quarter of the limit later.
THINNED_PART: Final = 0.75
# Until its turn for that an outbox may pass its limit by so much of it; then it is done at once.
OVERSHOOT_PART: Final = 0.25
# The gaps for what was left out may wait even while the transport alone holds the limit.
GAPS_ROOM_BYTES: Final = 4 * 1024
# Of sockets that only say why they close.
NOBODYS: Final = Usage()


class Turn:
    """All outboxes of one event loop which have something to write: one `call_soon` flushes them, first come first
    served. Also carries the loop's `wheel` and `departures`. One per loop, made where the node is."""

    __slots__ = ("_dirty", "_thins_until", "departures", "loop", "wheel")

    def __init__(self, loop: asyncio.AbstractEventLoop, wheel: Wheel | None = None) -> None:
        self.loop = loop
        self.wheel = wheel or Wheel(loop)
        self.departures = Departures(loop)
        self._dirty: deque[Outbox] = deque()
        self._thins_until = 0.0  # none was thinned in this turn

    def add(self, outbox: "Outbox") -> None:
        """Flush this outbox in the next loop turn; called once by an outbox until it was flushed."""
        if not self._dirty:
            self.loop.call_soon(self._flush)
        self._dirty.append(outbox)

    def may_thin(self) -> bool:
        """Whether this turn has time left to leave messages out of one more outbox; always for one."""
        now = time.perf_counter()
        is_first = not self._thins_until
        if is_first:
            self._thins_until = now + THINNING_SECONDS
        return is_first or now < self._thins_until

    def _flush(self) -> None:
        self._thins_until = 0.0
        dirty = self._dirty
        for _ in range(min(len(dirty), WRITES_PER_TURN)):
            outbox = dirty[0]  # stays in until it is done: `add` must not schedule a second flush
            try:
                outbox.flush()
            except Exception as error:
                log.error("outbox failed: %s", type(error).__name__)
                outbox.transport.abort()
            dirty.popleft()
        if dirty:
            self.loop.call_soon(self._flush)


class Outbox:
    """What waits for one transport, and its flow control; the part of a socket that fan-out touches.

    `send` never writes, blocks or calls back: it may be called from within any loop over sockets.
    """

    __slots__ = (
        "_allowed_bytes",
        "_drained",
        "_has_overflowed",
        "_is_dirty",
        "_is_paused",
        "_max_waiting_bytes",
        "_waiting",
        "_waiting_bytes",
        "accepts",
        "transport",
        "turn",
        "usage",
    )

    def __init__(self, transport: asyncio.Transport, turn: Turn, max_waiting_bytes: int) -> None:
        self.transport = transport
        self.turn = turn
        #: Where the bytes that leave are counted; a tenant's as soon as the socket is one of its connections.
        self.usage = NOBODYS
        self._max_waiting_bytes = max_waiting_bytes
        #: Whether frames are still taken; afterwards they are dropped silently.
        self.accepts = True
        # None, one frame, or a list: an idle socket has no list, and most turns have one frame for a socket.
        self._waiting: bytes | list[bytes] | None = None
        self._waiting_bytes = 0
        self._allowed_bytes = max_waiting_bytes  # here; less while the transport is full
        self._has_overflowed = False
        self._is_dirty = False
        self._is_paused = False
        self._drained: Callable[[], None] | None = None

    def send(self, frame: bytes) -> bool:
        """Queue one ready frame, or several joined, for this loop turn; False if they are dropped, as it closes. Over
        the limit spare frames are left out, and a `gap` says so; if there are none the socket is closed as a slow
        consumer in the next turn. Nothing else is ever left out from between two frames that arrive."""
        if not self.accepts:
            return False
        waiting = self._waiting
        if waiting is None:
            self._waiting = frame
            if not self._is_dirty:
                self._is_dirty = True
                self.turn.add(self)
        elif isinstance(waiting, list):
            waiting.append(frame)
        else:
            self._waiting = [waiting, frame]
        self._waiting_bytes = total = self._waiting_bytes + len(frame)
        if total > self._allowed_bytes:
            self._pass_limit()
        return True

    def send_ahead(self, control: bytes) -> None:
        """Queue a control frame before all that waits here. For the rare ones: nothing bounds how many there are."""
        waiting = self._waiting
        if waiting is None or not self.accepts:
            self.send(control)
            return
        self._waiting = [control, *waiting] if isinstance(waiting, list) else [control, waiting]
        self._waiting_bytes += len(control)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the kernel has not taken yet: those queued here and those in the transport."""
        return self._waiting_bytes + self.transport.get_write_buffer_size()

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back once, in a later loop turn, when all was handed to the transport and that is below its mark (16 KiB
        after a pause, 64 KiB otherwise). A second call replaces the first. Never called once the socket closes."""
        if self.accepts:
            self._drained = callback
            self._schedule_flush()

    def flush(self) -> None:
        """The turn's call: write what waits, unless the transport has had enough."""
        self._is_dirty = False
        if self._has_overflowed:
            self._relieve()
        elif not self._is_paused:
            waiting = self._waiting
            if waiting is not None:  # as `_write_waiting`: a call less for each socket of a fan-out, 1 % of its cost
                counters.bytes_sent += self._waiting_bytes
                self.usage.bytes_out += self._waiting_bytes
                self._waiting, self._waiting_bytes = None, 0
                self.transport.write(waiting if isinstance(waiting, bytes) else b"".join(waiting))
            if self._drained is not None and not self._is_paused:
                drained, self._drained = self._drained, None
                drained()

    def _pass_limit(self) -> None:
        """More than the limit waits, so the next flush is to relieve this outbox."""
        if not self._has_overflowed:
            self._has_overflowed = True
            # If not, frames are lost from here, so the end is certain, even if the transport resumes before the flush.
            self.accepts = is_any_spare(self._waiting)
        elif self._waiting_bytes > self._allowed_bytes + self._max_waiting_bytes * OVERSHOOT_PART:
            self._thin()
        self._schedule_flush()

    def _relieve(self) -> None:
        """Leave out what is spare and write the rest; the slow consumer's end, if it is too much still."""
        if self.accepts:
            if not self.turn.may_thin():
                self._schedule_flush()
                return
            self._thin()
            if self.accepts:
                self.flush()
                return
        self.discard_waiting()
        self.outbox_overflowed()

    def _thin(self) -> None:
        """Leave out what is spare, if too much waits still; what is too much without it is not accepted any more."""
        if self._waiting is not None and self._waiting_bytes > self._allowed_bytes:
            waiting = self._waiting if isinstance(self._waiting, list) else [self._waiting]
            self._waiting = waiting = thin(waiting, self._waiting_bytes - int(self._allowed_bytes * THINNED_PART))
            self._waiting_bytes = sum(map(len, waiting))
            self.accepts = self._waiting_bytes <= max(self._allowed_bytes, GAPS_ROOM_BYTES)
        self._has_overflowed = not self.accepts

    def discard_waiting(self) -> None:
        """Forget what was not yet handed to the transport: whole frames, so that the stream stays readable."""
        self._waiting, self._waiting_bytes = None, 0

    def stop_sending(self, last: bytes) -> None:
        """Write what waits and `last`, now and whatever the transport's marks say; take no more frames."""
        self.accepts, self._drained = False, None
        self._write_waiting()
        counters.bytes_sent += len(last)
        self.usage.bytes_out += len(last)
        self.transport.write(last)

    def outbox_overflowed(self) -> None:
        """More than the limit waits: the slow consumer's end."""
        raise NotImplementedError

    def pause_writing(self) -> None:
        """The transport's call: it holds more than 64 KiB."""
        self._is_paused = True
        self._allowed_bytes = self._max_waiting_bytes - self.transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """The transport's call: it holds less than 16 KiB."""
        self._is_paused = False
        self._allowed_bytes = self._max_waiting_bytes
        self._schedule_flush()

    def _schedule_flush(self) -> None:
        if not self._is_dirty:
            self._is_dirty = True
            self.turn.add(self)

    def _write_waiting(self) -> None:
        waiting = self._waiting
        if waiting is not None:
            counters.bytes_sent += self._waiting_bytes
            self.usage.bytes_out += self._waiting_bytes
            self._waiting, self._waiting_bytes = None, 0
            self.transport.write(b"".join(waiting) if isinstance(waiting, list) else waiting)
