"""One tenant's rates on this node: its share of what the tenant may do on all nodes, and each user's part of that.

Counts are held cluster-wide in Redis; of a rate each node has a share, divided anew each second (`shares.py`).
"""

import math
import time
from typing import Final, NamedTuple

from service.protocol.errors import RateLimited
from service.tenants.limits import Appointments, Limits, TokenBucket

# A bucket holds one second's worth, so that a rate of N a second lets through N at once and no more: over 10 s that is
# 1.1 times the rate, on all nodes together.
BURST_SECONDS = 1.0
# With less than this part of a bucket left, users who share it are held to an even part of the rate each: whoever else
# comes finds something. A user alone has all of it, until the first attempt of another one.
SCARCE_PART: Final = 0.5
# What one user may take at once of a scarce bucket: never the rest of it.
USER_BURST_SECONDS: Final = 0.25
# Who took nothing of a scarce bucket for so long counts no more among those who share it.
USER_SECONDS: Final = 1.0
# Users of one scarce bucket that are remembered; with more, all begin anew.
MAX_USERS: Final = 10_000


class Rates(NamedTuple):
    """One number for each rate that a tenant has on all nodes together, in the order of `Limits`."""

    connects: float
    publishes: float
    deliveries: float
    requests: float


WHOLE: Final = Rates(1.0, 1.0, 1.0, 1.0)


class SharedBucket(TokenBucket):
    """A tenant's bucket of one rate on this node, and who takes from it. asked: since the last look, granted or not."""

    __slots__ = ("_checked_at", "_limit", "_scarce_below", "_users", "asked")

    def __init__(self, limit: str, rate_per_second: float | None, now: float) -> None:
        super().__init__(rate_per_second, burst_of(rate_per_second), now)
        self._limit = limit
        self._scarce_below = _scarce_below(rate_per_second)
        self._users: dict[str, tuple[TokenBucket, float]] = {}
        self._checked_at = now
        self.asked = 0

    def set_rate(self, rate_per_second: float | None) -> None:
        """Another rate from now on; what was used stays used."""
        self.reconfigure(rate_per_second, burst_of(rate_per_second))
        self._scarce_below = _scarce_below(rate_per_second)

    def take_for(self, user: str | None, cost: int, now: float, room: str | None = None) -> None:
        """Take `cost`; raises RateLimited, scope `tenant`, or `user` for a user that had its part of what is scarce.

        user: None for the tenant's servers, which have what the tenant has.
        """
        self.asked += cost
        wait_ms = self.take(cost, now)
        part_ms = 0
        if user is not None and self.tokens < self._scarce_below:
            part_ms = self._take_part(user, cost, now)
        if wait_ms:
            raise RateLimited(self._limit, "tenant", wait_ms, room=room)
        if part_ms:
            self.debit(-cost)
            raise RateLimited(self._limit, "user", part_ms, room=room)

    def _take_part(self, user: str, cost: int, now: float) -> int:
        """Take `cost` of the user's even part, or say in how many milliseconds it is there. One who is alone has all.

        Also for one whom the tenant's bucket refuses: from now on it counts among those who share.
        """
        users = self._users
        if now - self._checked_at > USER_SECONDS or len(users) > MAX_USERS:
            self._checked_at = now
            recent = {name: known for name, known in users.items() if now - known[1] < USER_SECONDS}
            self._users = users = recent if len(recent) <= MAX_USERS else {}
        known = users.pop(user, None)
        rate = (self.rate_per_second or 0.0) / (len(users) + 1)
        burst = max(1.0, rate * USER_BURST_SECONDS)
        bucket = TokenBucket(rate, burst, now) if known is None else known[0]
        bucket.reconfigure(rate, burst)
        is_alone = not users
        users[user] = (bucket, now)
        return 0 if is_alone else bucket.take(cost, now)


class Budgets:
    """The buckets of one tenant: publishes, deliveries, API requests and connects."""

    __slots__ = ("_appointments", "_connects", "_deliveries", "_limits", "_publishes", "_requests", "_shares")

    def __init__(self, limits: Limits, shares: Rates = WHOLE) -> None:
        now = time.monotonic()
        self._limits = limits
        self._shares = shares
        rates = _rates(limits, shares)
        self._appointments = Appointments()
        self._connects = SharedBucket("connects_per_second", rates[0], now)
        self._publishes = SharedBucket("publishes_per_second", rates[1], now)
        self._deliveries = SharedBucket("deliveries_per_second", rates[2], now)
        self._requests = SharedBucket("api_requests_per_second", rates[3], now)

    def reconfigure(self, limits: Limits, shares: Rates | None = None) -> None:
        """New limits, or other shares of them, are in force from now on; what was used stays used."""
        self._limits = limits
        self._shares = shares or self._shares
        for bucket, rate in zip(self._buckets, _rates(limits, self._shares), strict=True):
            bucket.set_rate(rate)

    def divide(self, shares: Rates) -> None:
        """This node has these shares of the rates from now on."""
        if shares != self._shares:
            self.reconfigure(self._limits, shares)

    def take_demand(self, seconds: float) -> Rates | None:
        """What was asked here since the last call, `seconds` ago, as parts of the limits; None: nothing."""
        asked = [bucket.asked for bucket in self._buckets]
        if not any(asked):
            return None
        for bucket in self._buckets:
            bucket.asked = 0
        limits = _rates(self._limits, WHOLE)
        return Rates(*(0.0 if rate is None else of / rate / seconds for of, rate in zip(asked, limits, strict=True)))

    def take_publish(self, members: int, room: str | None, user: str | None = None) -> None:
        """One publish to a room of so many members, by a user or (None) the tenant's server; raises RateLimited.

        A publish counts as one delivery at least.
        """
        now = time.monotonic()
        self._publishes.take_for(user, 1, now, room)
        try:
            self._deliveries.take_for(user, members or 1, now, room)
        except RateLimited:
            self._publishes.debit(-1)
            raise

    def charge_publishes(self, more: int) -> None:
        """A publish turned out to be as much work as so many more."""
        self._publishes.debit(more)

    def charge_deliveries(self, more: int) -> None:
        """A room had more members than was thought when its publish was let through."""
        if more > 0:
            self._deliveries.asked += more
            self._deliveries.debit(more)

    def take_request(self) -> None:
        """One API request; raises RateLimited."""
        self._requests.take_for(None, 1, time.monotonic())

    def charge_requests(self, more: int) -> None:
        """A request turned out to be as much work as so many more."""
        self._requests.debit(more)

    def take_connect(self, user: str | None = None) -> None:
        """One connect of a user; raises RateLimited."""
        now = time.monotonic()
        try:
            self._connects.take_for(user, 1, now)
        except RateLimited as error:
            if error.scope != "tenant":
                raise
            wait_ms = self._appointments.make(self._connects.rate_per_second or 1.0, now)
            raise RateLimited("connects_per_second", "tenant", wait_ms) from None

    @property
    def _buckets(self) -> tuple[SharedBucket, ...]:
        return self._connects, self._publishes, self._deliveries, self._requests


def burst_of(rate_per_second: float | None) -> float:
    """How much a bucket of this rate holds."""
    return 0.0 if rate_per_second is None else max(1.0, rate_per_second * BURST_SECONDS)


def _rates(limits: Limits, shares: Rates) -> list[float | None]:
    whole = (
        limits.connects_per_second,
        limits.publishes_per_second,
        limits.deliveries_per_second,
        limits.api_requests_per_second,
    )
    return [None if rate is None else rate * share for rate, share in zip(whole, shares, strict=True)]


def _scarce_below(rate_per_second: float | None) -> float:
    return -math.inf if rate_per_second is None else burst_of(rate_per_second) * SCARCE_PART
