"""The rates that room types set: messages and signals a second in one room, on all nodes together.

No round trip to Redis is needed: a node with members in the room hears of every message, so what other nodes let
through comes off its own bucket too. A node without members counts what it publishes itself.
"""

import time
from collections import OrderedDict

from service.protocol.errors import RateLimited
from service.rooms.budgets import burst_of
from service.tenants.limits import TokenBucket

# Rooms of one tenant that are remembered, the last ones; one that was forgotten begins with a full burst. About 2 MB.
MAX_ROOMS = 10_000


class RoomRate:
    """One room's bucket on this node. `own`: what was let through here and has not come around yet."""

    __slots__ = ("bucket", "own")

    def __init__(self, rate_per_second: int) -> None:
        self.bucket = TokenBucket(rate_per_second, burst_of(rate_per_second), time.monotonic())
        self.own = 0

    def hear(self, count: int) -> None:
        """So many came around: those of other nodes count now, one's own did when they were let through."""
        mine = min(self.own, count)
        self.own -= mine
        if count > mine:
            self.bucket.take(0, time.monotonic())  # filled first: what was idle long ago is no credit for these
            self.bucket.debit(count - mine)
            # What others had too much is not paid back here for ever.
            self.bucket.tokens = max(self.bucket.tokens, -burst_of(self.bucket.rate_per_second))

    def ends(self) -> None:
        """One that was let through here will not come around."""
        self.own = max(0, self.own - 1)

    def take_back(self) -> None:
        """One that was let through here was refused for something else: it never was."""
        self.bucket.debit(-1)
        self.ends()


class RoomRates:
    """One tenant's rooms that have a rate, on this node."""

    __slots__ = ("_by_room",)

    def __init__(self) -> None:
        self._by_room: OrderedDict[str, RoomRate] = OrderedDict()

    def of(self, room: str, rate_per_second: int) -> RoomRate:
        """The room's rate, made when there is none; another rate than before is in force from now on."""
        rate = self._by_room.get(room)
        if rate is None:
            if len(self._by_room) >= MAX_ROOMS:
                self._by_room.popitem(last=False)
            rate = self._by_room[room] = RoomRate(rate_per_second)
        else:
            self._by_room.move_to_end(room)
            rate.bucket.reconfigure(rate_per_second, burst_of(rate_per_second))
        return rate

    def take(self, room: str, rate_per_second: int) -> RoomRate:
        """Let one message or signal through; raises RateLimited (`messages_per_second`, scope room)."""
        rate = self.of(room, rate_per_second)
        wait_ms = rate.bucket.take(1, time.monotonic())
        if wait_ms:
            raise RateLimited("messages_per_second", "room", wait_ms, room=room)
        rate.own += 1
        return rate
