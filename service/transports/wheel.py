"""One timer for a whole node: what thousands of sockets wait for, in buckets of a second."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

# Fractions of the golden ratio fall evenly into an interval, however many are drawn: a storm of reconnects
# does not ping in one second for ever after.
_GOLDEN: Final = 0.618033988749895


class Alarm:
    """One callback at one time. `cancel` may be called at any time, also from within the callback, and again."""

    __slots__ = ("_callback", "_tick", "_wheel")

    def __init__(self, wheel: "Wheel", tick: int, callback: Callable[[], None]) -> None:
        self._wheel = wheel
        self._tick = tick
        self._callback = callback

    def cancel(self) -> None:
        """The callback won't be called; its memory is given back at once, not when its time comes."""
        self._wheel.forget(self, self._tick)

    def ring(self) -> None:
        """The wheel's call: run the callback. What it raises is a bug of its own and stops no other's alarm."""
        try:
            self._callback()
        except Exception as error:
            log.error("alarm failed: %s", type(error).__name__)


class Wheel:
    """Alarms of one event loop, up to `tick_seconds` late and never early.

    Holds one `call_later` while there are alarms, none otherwise. `at` costs 1 µs and some 250 bytes.
    """

    __slots__ = ("_alarms", "_loop", "_next_tick", "_phase", "_tick_seconds", "_timer", "is_late")

    def __init__(self, loop: asyncio.AbstractEventLoop, tick_seconds: float = 1.0) -> None:
        self._loop = loop
        self._tick_seconds = tick_seconds
        self._alarms: dict[int, set[Alarm]] = {}
        self._next_tick = 0
        self._timer: asyncio.TimerHandle | None = None
        self._phase = 0.0
        #: Within an alarm: whether the loop stood still (a stopped process, a blocking call), so that what a peer sent
        #: in time may still be unread.
        self.is_late = False

    def at(self, deadline_monotonic: float, callback: Callable[[], None]) -> Alarm:
        """Call back once, at or after `deadline_monotonic` (seconds of `loop.time()`, which is `time.monotonic()`)."""
        tick = math.ceil(deadline_monotonic / self._tick_seconds)
        if self._timer is None:
            self._next_tick = int(self._loop.time() / self._tick_seconds) + 1
            self._wait()
        tick = max(tick, self._next_tick)
        alarm = Alarm(self, tick, callback)
        self._alarms.setdefault(tick, set()).add(alarm)
        return alarm

    def after(self, delay_seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call back once, `delay_seconds` from now."""
        return self.at(self._loop.time() + delay_seconds, callback)

    def spread(self, interval_seconds: float) -> float:
        """A delay within the interval, so that those who draw one do not ring together."""
        self._phase = (self._phase + _GOLDEN) % 1.0
        return self._phase * interval_seconds

    def forget(self, alarm: Alarm, tick: int) -> None:
        """An alarm's own call: drop it."""
        alarms = self._alarms.get(tick)
        if alarms is not None:
            alarms.discard(alarm)
            if not alarms:
                del self._alarms[tick]

    def _wait(self) -> None:
        self._timer = self._loop.call_at(self._next_tick * self._tick_seconds, self._turn)

    def _turn(self) -> None:
        now_tick = int(self._loop.time() / self._tick_seconds)
        self.is_late = now_tick - self._next_tick >= 2
        while self._next_tick <= now_tick:
            tick = self._next_tick
            self._next_tick += 1
            while alarms := self._alarms.get(tick):
                alarm = alarms.pop()
                if not alarms:
                    del self._alarms[tick]
                alarm.ring()
        self.is_late = False
        if self._alarms:
            self._wait()
        else:
            self._timer = None
