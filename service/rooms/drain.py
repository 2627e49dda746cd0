"""How a node leaves: its sockets are closed bit by bit, each when its commands are answered."""

import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from service.protocol.errors import CloseCode
from service.rooms.connection import RETURN_SPREAD_MS, Connection

# At most max(1, 2 %) of the closes come within any 100 ms (RELIABILITY.md).
WINDOW_SECONDS: Final = 0.1
SHARE_OF_A_WINDOW: Final = 0.02
# In parts of the time that was set: what the share of a small number, cut to a whole one, may add to it.
LONGEST: Final = 1.2
# An operation of Redis ends within 1.5 s, and so does the wait for a message that comes around.
ANSWER_SECONDS: Final = 2.0
# The closes are spread already; this only keeps what closes together from coming back together.
PACED_SPREAD_MS: Final = 1_000
REASONS: Final = {
    CloseCode.RESTART: "the node restarts",
    CloseCode.GOING_AWAY: "the node is going away",
}


class Drain:
    """Closes all of `connections()`, those that still come too. Pure: `step` it every 10 ms or so, until it is done.

    seconds: how long the closes take, if there are many. More than 2 % of them come within 100 ms only where this is
    less than 5 s. Few sockets take 100 ms each, none take no time.
    """

    def __init__(
        self, connections: Callable[[], Iterable[Connection]], seconds: float, code: CloseCode, now: float
    ) -> None:
        self._connections = connections
        self._code = code
        self._started_at = now
        self._coming = list(connections())
        random.shuffle(self._coming)  # all tenants alike
        count = len(self._coming)
        self._window = max(1, int(SHARE_OF_A_WINDOW * count))
        if count / self._window * WINDOW_SECONDS > LONGEST * seconds:
            self._window = math.ceil(WINDOW_SECONDS * count / seconds)
        self._pause_seconds = min(WINDOW_SECONDS, seconds / max(1, count))
        self._ending: deque[tuple[Connection, float]] = deque()
        self._closed_at: deque[float] = deque(maxlen=self._window)
        self._taken = 0

    def step(self, now: float) -> bool:
        """Close what is due; whether all are closed. `now`: monotonic, in seconds."""
        while self._coming and self._taken * self._pause_seconds <= now - self._started_at:
            self._taken += 1
            connection = self._coming.pop()
            connection.is_leaving = True
            self._ending.append((connection, now + ANSWER_SECONDS))
        for _ in range(len(self._ending)):
            connection, latest = self._ending.popleft()
            if self._may_close(now) and (not connection.awaits_answers or now >= latest):
                self._closed_at.append(now)
                self._close(connection, PACED_SPREAD_MS)
            else:
                self._ending.append((connection, latest))
        if not self._coming:
            self._coming += [one for one in self._connections() if not one.is_leaving]
        return not self._coming and not self._ending

    def hurry(self) -> None:
        """Close all that is left, now."""
        self._coming.clear()
        self._ending.clear()
        for connection in list(self._connections()):
            connection.is_leaving = True
            self._close(connection, RETURN_SPREAD_MS)

    def _may_close(self, now: float) -> bool:
        return len(self._closed_at) < self._window or now - self._closed_at[0] >= WINDOW_SECONDS

    def _close(self, connection: Connection, spread_ms: int) -> None:
        connection.close(self._code, REASONS[self._code], spread_ms=spread_ms)
