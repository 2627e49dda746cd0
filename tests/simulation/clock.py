"""Virtual time: an event loop whose clock jumps to the next timer, and the same clock for the code under test.

One real second is thousands of virtual ones, and a run depends on its seed alone.
"""

import asyncio
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from heapq import heappop, heappush
from types import ModuleType
from typing import Final, TypeVarTuple

# What wall clocks show at the loop's 0: an instant that Unix time in ms of the wire contract can hold.
_Ts = TypeVarTuple("_Ts")

BEGAN_AT: Final = 1_800_000_000
MAX_TURNS: Final = 10_000  # in one instant


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs what is ready, and when nothing is, jumps to the next timer. It has no sockets and no threads.

    Timers of one instant run in the order in which they were made, so that a run depends on nothing but its seed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._turns = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timers_made = 0

    def time(self) -> float:
        """Virtual seconds since this loop was made, or cleared."""
        return self._now

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See `AbstractEventLoop.call_at`."""
        self._timers_made += 1
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._timers, (when, self._timers_made, timer))
        return timer

    def _run_once(self) -> None:
        """`run_forever` calls this. Raises RuntimeError if all waits for ever, or if nobody ever waits."""
        ready: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]
        self._turns += 1
        if not ready:
            if not self._timers:
                raise RuntimeError("everything waits for ever")
            self._turns = 0
            self._now = max(self._now, self._timers[0][0])
            while self._timers and self._timers[0][0] <= self._now:
                ready.append(heappop(self._timers)[2])
        elif self._turns > MAX_TURNS:
            raise RuntimeError("something runs for ever")
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def clear(self) -> None:
        """Cancel every task, drop every timer, begin at 0 again: another history begins."""
        while tasks := asyncio.all_tasks(self):  # a cancelled task may begin others as it ends
            self._timers.clear()
            self.run_until_complete(asyncio.sleep(0))  # so that all have begun: else their coroutines warn
            for task in tasks:
                task.cancel()
            self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._ready.clear()  # type: ignore[attr-defined]
        self._timers.clear()
        self._now = 0.0


class _Clock(ModuleType):
    """What modules under test have for `time`. `perf_counter` stands still: work takes no virtual time."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__("time")
        self.monotonic = loop.time
        self._loop = loop

    def time(self) -> float:
        """The wall clock."""
        return BEGAN_AT + self._loop.time()

    def time_ns(self) -> int:
        """The wall clock in ns."""
        return int(self.time() * 1_000_000_000)

    def perf_counter(self) -> float:
        """A constant."""
        return 0.0


@contextmanager
def virtual_time() -> Iterator[VirtualLoop]:
    """Give every loaded module of `service` the clock of a new loop."""
    loop = VirtualLoop()
    clock, state = _Clock(loop), random.getstate()
    timed = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("service.") and getattr(module, "time", None) is time
    ]
    for module in timed:
        module.__dict__["time"] = clock
    try:
        yield loop
    finally:
        for module in timed:
            module.__dict__["time"] = time
        random.setstate(state)
        loop.close()
