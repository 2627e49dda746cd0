"""Handshakes in turns, so that a crowd at the door does not hold those who are in; and how long the queue may be."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from service.protocol.errors import Unavailable
from service.tenants.limits import Appointments

# A handshake costs 500 µs, most of it between the token and `welcome`: 2 ms of a loop turn.
ENTRIES_PER_TURN: Final = 4
# Clients give up a handshake after 5 s or so: who would wait longer than this is told when to come back.
MAX_WAIT_SECONDS: Final = 2.0
# Until a crowd has come: half of what this project's machine of 2026 lets in.
FIRST_RATE_PER_SECOND: Final = 1_000.0
LEAST_RATE_PER_SECOND: Final = 50.0
MEASURED_SECONDS: Final = 0.25
# What it costs to turn one away, in handshakes. In a storm most are: if only those who pass counted, the turns that go
# by with refusals would make the rate fall, and the times to come again lie ever farther apart.
REFUSAL_COST: Final = 0.5


class Gate:
    """Lets so many pass in each turn of the loop, first come first served.

    rate_per_second: how many could pass while others waited, as it was measured last; so it is what this node can take
    beside all else that it does.
    """

    __slots__ = ("_appointments", "_clock", "_crowd_since", "_left", "_passed", "_waiting", "rate_per_second")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate_per_second = FIRST_RATE_PER_SECOND
        self._clock = clock
        self._left = ENTRIES_PER_TURN
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._appointments = Appointments()
        self._crowd_since = 0.0
        self._passed = 0.0  # and refused, by their cost

    async def enter(self) -> None:
        """Pass when there is room in a turn: at once, as long as few come. Raises Unavailable when too many wait."""
        loop = asyncio.get_running_loop()
        if self._left == ENTRIES_PER_TURN:
            loop.call_soon(self._end_turn)
        if self._left:
            self._left -= 1
            return
        if len(self._waiting) >= self.rate_per_second * MAX_WAIT_SECONDS:
            raise Unavailable("more clients come than this node lets in", retry_after_ms=self.turn_away())
        if not self._waiting:
            self._crowd_since, self._passed = self._clock(), 0.0
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def turn_away(self) -> int:
        """In how many milliseconds one who can't come in may come again."""
        self._passed += REFUSAL_COST
        return self._appointments.make(self.rate_per_second, self._clock())

    def _end_turn(self) -> None:
        self._left = ENTRIES_PER_TURN
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():  # its client has gone
                turn.set_result(None)
                self._left -= 1
        if self._left < ENTRIES_PER_TURN:
            asyncio.get_running_loop().call_soon(self._end_turn)
        self._measure()

    def _measure(self) -> None:
        self._passed += ENTRIES_PER_TURN - self._left
        if self._waiting and (seconds := self._clock() - self._crowd_since) >= MEASURED_SECONDS:
            self.rate_per_second = max(LEAST_RATE_PER_SECOND, self._passed / seconds)
            self._crowd_since, self._passed = self._clock(), 0.0
