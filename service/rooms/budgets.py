"""One tenant's rates on this node. Counts are held cluster-wide in Redis; rates are per node."""

import time

from service.protocol.errors import RateLimited
from service.tenants.limits import Limits, TokenBucket

# A bucket holds one second's worth, so that a rate of N a second lets through N at once and no more.
BURST_SECONDS = 1.0


class Budgets:
    """The buckets of one tenant: publishes, deliveries, API requests and connects."""

    __slots__ = ("_connects", "_deliveries", "_publishes", "_requests")

    def __init__(self, limits: Limits) -> None:
        now = time.monotonic()
        self._publishes = _bucket(limits.publishes_per_second, now)
        self._deliveries = _bucket(limits.deliveries_per_second, now)
        self._requests = _bucket(limits.api_requests_per_second, now)
        self._connects = _bucket(limits.connects_per_second, now)

    def reconfigure(self, limits: Limits) -> None:
        """New limits are in force from now on; what was used stays used."""
        for bucket, rate in (
            (self._publishes, limits.publishes_per_second),
            (self._deliveries, limits.deliveries_per_second),
            (self._requests, limits.api_requests_per_second),
            (self._connects, limits.connects_per_second),
        ):
            bucket.reconfigure(rate, burst_of(rate))

    def take_publish(self, members: int, room: str | None) -> None:
        """One publish to a room of so many members; raises RateLimited. A publish counts as one delivery at least."""
        now = time.monotonic()
        wait_ms = self._publishes.take(1, now)
        if wait_ms:
            raise RateLimited("publishes_per_second", "tenant", wait_ms, room=room)
        wait_ms = self._deliveries.take(max(members, 1), now)
        if wait_ms:
            raise RateLimited("deliveries_per_second", "tenant", wait_ms, room=room)

    def charge_deliveries(self, more: int) -> None:
        """A room had more members than was thought when its publish was let through."""
        if more > 0:
            self._deliveries.debit(more)

    def take_request(self) -> None:
        """One API request; raises RateLimited."""
        wait_ms = self._requests.take(1, time.monotonic())
        if wait_ms:
            raise RateLimited("api_requests_per_second", "tenant", wait_ms)

    def charge_requests(self, more: int) -> None:
        """A request turned out to be as much work as so many more."""
        self._requests.debit(more)

    def take_connect(self) -> None:
        """One connect; raises RateLimited."""
        wait_ms = self._connects.take(1, time.monotonic())
        if wait_ms:
            raise RateLimited("connects_per_second", "tenant", wait_ms)


def burst_of(rate_per_second: int | None) -> float:
    """How much a bucket of this rate holds."""
    return 0.0 if rate_per_second is None else max(1.0, rate_per_second * BURST_SECONDS)


def _bucket(rate_per_second: int | None, now: float) -> TokenBucket:
    return TokenBucket(rate_per_second, burst_of(rate_per_second), now)
