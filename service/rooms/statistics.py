"""What this node did in each of the last seconds, in all and by tenant: for people who look, kept in memory alone.

All comes from integers that are counted anyway, read once a second; only delays are new: up to `DELAYS_A_SECOND` of a
tenant's deliveries a second are timed (`turns.py`), 0.2 µs each, 0.06 µs the others.
"""

import os
import resource
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from service.rooms.usage import Usage, UsageBook
from service.telemetry import counters, refusals

KEPT_SECONDS: Final = 900
# Tenants with points of their own: 200 bytes a point, 36 MB in all and 1 ms a second. Who is asked about is kept.
TENANTS_KEPT: Final = 200
# Where the buckets of delays end; the last one has no end.
BOUNDS_MS: Final = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 5000)
_STATM: Final = Path("/proc/self/statm")
_NOTHING: Final = (0, 0, 0, 0)
_decode_question: Final = msgspec.json.Decoder(tuple[str | None, int]).decode


class Point(msgspec.Struct, array_like=True, gc=False):
    """One second: what was open, what was counted, refusals by code, and how many deliveries were how late.

    second: Unix time. delays: by bucket of `BOUNDS_MS`.
    """

    second: int
    connections: int = 0
    publishes: int = 0
    deliveries: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    refused: dict[str, int] = {}
    delays: dict[int, int] = {}

    def percentile(self, part: float) -> float | None:
        """The bound in ms below which this part (0-1) of the delays lies; None where none was taken."""
        left = sum(self.delays.values()) * part
        for bucket in sorted(self.delays):
            left -= self.delays[bucket]
            if left <= 0:
                return BOUNDS_MS[min(bucket, len(BOUNDS_MS) - 1)]
        return None


class _Track:
    """Points of one tenant, or of the node; what was counted and refused up to the last one."""

    __slots__ = ("counted", "points", "refused", "usage")

    def __init__(self, usage: Usage | None = None) -> None:
        self.points: deque[Point] = deque(maxlen=KEPT_SECONDS)
        self.begin(usage)

    def begin(self, usage: Usage | None) -> None:
        self.usage = usage
        self.counted: tuple[int, ...] = _NOTHING
        self.refused: dict[str, int] = {}

    def add(
        self, second: int, connections: int, counted: tuple[int, ...], refused: dict[str, int], delays: dict[int, int]
    ) -> None:
        fresh = {code: count - self.refused.get(code, 0) for code, count in refused.items()}
        codes = {code: count for code, count in fresh.items() if count}
        publishes, deliveries, read, written = (now - before for now, before in zip(counted, self.counted, strict=True))
        self.points.append(Point(second, connections, publishes, deliveries, read, written, codes, delays))
        self.counted, self.refused = counted, dict(refused)


class Statistics:
    """One node's. book: where its tenants' use is counted."""

    def __init__(self, book: UsageBook) -> None:
        self._book = book
        self._node = _Track()
        self._node.counted = _counted_by_node()
        self._node.refused = dict(refusals)
        self._tenants: dict[str, _Track] = {}  # the one that was asked about last comes last
        #: By how much Redis' clock is ahead of this machine's, in ms.
        self.clock_ahead_ms = 0.0
        #: How late the last tick was: about the worst that a socket waits.
        self.loop_lag_ms = 0.0

    def tick(self, second: int, connections: Iterable[tuple[str, int]]) -> None:
        """Once a second: `connections` are those of this node, by tenant id."""
        by_tenant = dict(connections)
        self._choose()
        delays: Counter[int] = Counter()
        for tenant_id, track in list(self._tenants.items()):
            usage = self._book.open.get(tenant_id)
            if usage is None:
                self._forget_old(tenant_id, track, second)
                continue
            if usage is not track.usage:
                track.begin(usage)
            taken = self._take_delays(usage)
            delays.update(taken)
            track.add(second, by_tenant.get(tenant_id, 0), usage.counted(), usage.refused_so_far(), taken)
        self._node.add(second, sum(by_tenant.values()), _counted_by_node(), refusals, dict(delays))

    def points(self, tenant_id: str | None, since: int) -> list[Point]:
        """Those of a tenant, or (None) of the whole node, from a second of Unix time on, ascending."""
        track = self._node if tenant_id is None else self._asked(tenant_id)
        return [point for point in track.points if point.second >= since]

    def answer(self, question: bytes) -> bytes:
        """The same as another node asks for it; raises msgspec.MsgspecError."""
        return msgspec.json.encode(self.points(*_decode_question(question)))

    def _choose(self) -> None:
        """Keep points of whom there is room for."""
        if len(self._tenants) < min(TENANTS_KEPT, len(self._book.open)):
            for tenant_id, usage in self._book.open.items():
                if tenant_id not in self._tenants:
                    self._tenants[tenant_id] = _Track(usage)
                    if len(self._tenants) == TENANTS_KEPT:
                        return

    def _asked(self, tenant_id: str) -> _Track:
        track = self._tenants.pop(tenant_id, None)
        if track is None:
            track = _Track(self._book.open.get(tenant_id))
            if len(self._tenants) >= TENANTS_KEPT:
                del self._tenants[next(iter(self._tenants))]
                if track.usage is not None:  # what it used before it got this place is no second's
                    track.counted, track.refused = track.usage.counted(), track.usage.refused_so_far()
        self._tenants[tenant_id] = track
        return track

    def _forget_old(self, tenant_id: str, track: _Track, second: int) -> None:
        if not track.points or track.points[-1].second < second - KEPT_SECONDS:
            del self._tenants[tenant_id]

    def _take_delays(self, usage: Usage) -> dict[int, int]:
        if not usage.delays_ms:
            return {}
        ahead = self.clock_ahead_ms - 0.5  # the stamps are whole milliseconds, cut off
        taken = Counter(bisect_left(BOUNDS_MS, delay + ahead) for delay in usage.delays_ms)
        usage.delays_ms.clear()
        return dict(taken)


def merge(parts: Iterable[list[Point]], first: int, last: int) -> list[Point]:
    """The nodes' points added up: one for each second from `first` to `last`, also where nothing was."""
    merged = {second: Point(second, refused={}, delays={}) for second in range(first, last + 1)}
    for point in (point for points in parts for point in points if first <= point.second <= last):
        into = merged[point.second]
        for name in ("connections", "publishes", "deliveries", "bytes_in", "bytes_out"):
            setattr(into, name, getattr(into, name) + getattr(point, name))
        for code, count in point.refused.items():
            into.refused[code] = into.refused.get(code, 0) + count
        for bucket, count in point.delays.items():
            into.delays[bucket] = into.delays.get(bucket, 0) + count
    return list(merged.values())


def memory_bytes() -> int:
    """What this process has in memory; where the system does not tell, the most that it had."""
    with suppress(OSError):
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _counted_by_node() -> tuple[int, ...]:
    return counters.messages_published, counters.messages_fanned_out, counters.bytes_received, counters.bytes_sent
