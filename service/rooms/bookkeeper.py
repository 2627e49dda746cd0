"""The clock of the node's usage: samples once a second, minutes written to SQL, old ones folded into hours."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

import structlog

from service.protocol.errors import RoomcastError, Unavailable
from service.rooms.node import Node
from service.telemetry import counters, new_incident
from service.tenants.minute_usage import MinuteUsage

log = structlog.get_logger()

# A sample is taken so far into each second, so that a timer that is a little early takes none twice.
INTO_A_SECOND: Final = 0.02
# A minute is written within this after its end, not by all nodes at once: a node that is killed later loses none of it.
SPREAD_SECONDS: Final = 1.0
# How often tenants are measured in Redis, 0.1 ms each, and what SQL did not take is tried again.
ROUND_SECONDS: Final = 15.0
ROWS_AT_ONCE: Final = 500
# Minutes and hours that are no longer kept are looked for so often, by each node; that changes few rows at a time.
RETENTION_SECONDS: Final = 3600.0
HOURS_AT_ONCE: Final = 20
PAUSE_SECONDS: Final = 0.05
# For the last minute's rows when the node ends.
FINISH_SECONDS: Final = 2.0
DAY_MS: Final = 86_400_000


class UsageTables(Protocol):
    """Where usage is kept (`tenants.usage`); each raises Unavailable."""

    async def write(self, rows: Sequence[MinuteUsage]) -> None:
        """Write minutes, or write them again."""

    async def fold(self, before_ms: int, most: int) -> int:
        """Fold minutes before an instant into at most so many hours; how many there were."""

    async def prune(self, before_ms: int, most: int) -> int:
        """Forget at most so many hours before an instant; how many there were."""


class Bookkeeper:
    """One node's. minutes_days, hours_days: how long minutes, and the hours they are folded into, are kept."""

    def __init__(self, node: Node, tables: UsageTables, *, minutes_days: int, hours_days: int) -> None:
        self._node = node
        self._tables = tables
        self._minutes_ms = minutes_days * DAY_MS
        self._hours_ms = hours_days * DAY_MS
        self._is_away = False
        self._minute_ended = asyncio.Event()

    async def keep_samples(self) -> None:
        """Count connections each second, until cancelled."""
        while True:
            await asyncio.sleep(1 + INTO_A_SECOND - time.time() % 1)
            minute = self._node.usage.minute
            slices = self._node.usage.tick(int(time.time()), self._node.connection_counts())
            try:
                for _ in slices:
                    await asyncio.sleep(0)
            finally:  # also when the node ends: half a cut would be written over by the last one
                deque(slices, maxlen=0)
            if self._node.usage.minute > minute:
                self._minute_ended.set()

    async def keep_written(self) -> None:
        """Write what minutes came to, measure tenants, and let go of what is old, until cancelled."""
        retained_at = time.monotonic() - random.uniform(0, RETENTION_SECONDS)  # noqa: S311 - nodes in turn, no secret
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(ROUND_SECONDS):
                    await self._minute_ended.wait()
            self._minute_ended.clear()
            await asyncio.sleep(random.uniform(0, SPREAD_SECONDS))  # noqa: S311
            try:
                await self.write()
                await self.measure()
                if time.monotonic() - retained_at >= RETENTION_SECONDS:
                    await self.retain(time.time_ns() // 1_000_000)
                    retained_at = time.monotonic()
            except RoomcastError:
                pass  # told by `write`; all of it comes again
            except Exception:  # a mistake in the books must not end the node
                counters.faults += 1
                log.exception("usage could not be kept", incident=new_incident())

    async def write(self) -> None:
        """Write the minutes that are over. What SQL can't take now waits. Raises Unavailable."""
        book = self._node.usage
        if book.dropped:
            log.warning("usage is lost: too much waited for SQL", count=book.dropped)
            book.dropped = 0
        try:
            while rows := book.waiting(ROWS_AT_ONCE):
                await self._tables.write(rows)
                book.written(rows)
        except Unavailable as error:
            if not self._is_away:
                log.warning("usage waits for SQL", reason=error.message)
            self._is_away = True
            raise
        self._is_away = False

    async def measure(self) -> None:
        """Ask Redis for what only the whole cluster knows of tenants that are in use here. Raises Unavailable."""
        for tenant_id, usage in self._node.usage.active:
            # Of a tenant that is gone nothing may be touched while its keys are removed.
            if self._node.serves(tenant_id):
                rooms, history_bytes = await self._node.broker.measure_tenant(tenant_id)
                usage.note_rooms(rooms)
                usage.note_history(history_bytes)

    async def retain(self, now_ms: int) -> None:
        """Fold minutes that are old into hours, and forget hours that are, in slices. Raises Unavailable."""
        hours = rows = 1
        while hours:
            hours = await self._tables.fold(now_ms - self._minutes_ms, HOURS_AT_ONCE)
            await asyncio.sleep(PAUSE_SECONDS)
        while rows:
            rows = await self._tables.prune(now_ms - self._hours_ms, ROWS_AT_ONCE)
            await asyncio.sleep(PAUSE_SECONDS)

    async def finish(self) -> None:
        """The node ends, its sockets are gone: write all that there is, the open minute too."""
        deque(self._node.usage.close_minute(), maxlen=0)
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                await self.write()
        except (RoomcastError, TimeoutError):
            log.warning("usage is lost: SQL was away when the node ended", count=len(self._node.usage.waiting(10**9)))
