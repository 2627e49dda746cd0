"""What tenants used: minutes by node as they were counted, hours once the minutes are old, and both read together.

A minute's row is written with absolute values under (tenant, minute, node): to write it again changes nothing, and no
two nodes, nor a node and the one started in its place, share a row.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, delete, select, tuple_, union
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from service.protocol.resources import MessagesIn, UsagePoint
from service.tenants.audit import SYSTEM
from service.tenants.minute_usage import MINUTE_MS, MINUTE_SECONDS, PEAKS, SUMS, MinuteUsage
from service.tenants.tables import TenantRow, UsageHourRow, UsageMinuteRow
from service.tenants.transactions import Transactions

HOUR_MS: Final = 60 * MINUTE_MS
UNITS_MS: Final = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": 24 * HOUR_MS}

UsageUnit = Literal["minute", "hour", "day"]

_WRITTEN_AT_ONCE: Final = 500
_UNTRACKED: Final = {"synchronize_session": False}
_START: Final = attrgetter("starts_at_ms")
_Table = type[UsageMinuteRow] | type[UsageHourRow]


class _Span:
    """What the parts of a span of time come to. peak_connections: of one second, over all nodes."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys((*SUMS, *PEAKS), 0)
        self.refused: dict[str, int] = {}
        self.peak_connections = 0

    def add_minute(self, parts: Iterable[Any]) -> None:
        """Add a minute's rows, one for each node: in each second all their connections were open together."""
        samples = []
        for part in parts:
            self._add(part)
            samples.append(_spread(part.samples))
        self.peak_connections = max(self.peak_connections, *map(sum, zip(*samples, strict=True)))

    def add_hour(self, hour: Any) -> None:
        """Add an hour's row."""
        self._add(hour)
        self.peak_connections = max(self.peak_connections, hour.peak_connections)

    def _add(self, part: Any) -> None:
        for name in SUMS:
            self.counts[name] += getattr(part, name)
        for name in PEAKS:
            self.counts[name] = max(self.counts[name], getattr(part, name))
        for code, count in part.refused.items():
            self.refused[code] = self.refused.get(code, 0) + count

    def values(self) -> dict[str, Any]:
        """The columns of an hour."""
        return {**self.counts, "refused": self.refused, "peak_connections": self.peak_connections}

    def point(self, starts_at_ms: int) -> UsagePoint:
        """The span as REST shows it."""
        counts = self.counts
        return UsagePoint(
            starts_at_ms=starts_at_ms,
            peak_connections=self.peak_connections,
            connection_minutes=counts["connection_seconds"] / 60,
            messages_in=MessagesIn(websocket=counts["messages_websocket"], http=counts["messages_http"]),
            deliveries=counts["deliveries"],
            bytes_in=counts["bytes_in"],
            bytes_out=counts["bytes_out"],
            api_requests=counts["api_requests"],
            refused=dict(sorted(self.refused.items())),
            peak_rooms=counts["peak_rooms"],
            history_bytes=counts["history_bytes"],
        )


class UsageStorage:
    """The tables of usage (`storage.usage`). All methods raise Unavailable."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def write(self, rows: Sequence[MinuteUsage]) -> None:
        """Write minutes, or write them again. Those of tenants that are gone are left out."""
        for start in range(0, len(rows), _WRITTEN_AT_ONCE):
            some = rows[start : start + _WRITTEN_AT_ONCE]
            async with self._transactions.write(SYSTEM) as write:
                # Locked against deletion: the deleter could be through meanwhile, and these rows stay for ever.
                named = select(TenantRow.id).where(TenantRow.id.in_({row.tenant_id for row in some}))
                there = set(await write.session.scalars(named.with_for_update(read=True, key_share=True)))
                values = [_values(row) for row in some if row.tenant_id in there]
                await _upsert(write.session, UsageMinuteRow, values)

    async def read(
        self,
        tenant_id: str,
        from_ms: int,
        to_ms: int,
        unit: UsageUnit,
        limit: int | None = None,
        unwritten: Sequence[MinuteUsage] = (),
    ) -> list[UsagePoint]:
        """The first `limit` points, ascending, of the spans that the time from `from_ms` to before `to_ms` touches;
        empty spans are left out. unwritten: a node's own rows, in place of what SQL may have of them.
        """
        unit_ms = UNITS_MS[unit]
        from_ms, to_ms = _floor(from_ms, unit_ms), -_floor(-to_ms, unit_ms)
        own = [row for row in unwritten if from_ms <= row.starts_at_ms < to_ms]
        tables = (UsageMinuteRow,) if unit == "minute" else (UsageMinuteRow, UsageHourRow)
        async with self._transactions.read() as session:
            starts = await _starts(session, tables, tenant_id, from_ms, to_ms, unit_ms)
            starts = sorted({*starts, *(_floor(row.starts_at_ms, unit_ms) for row in own)})[:limit]
            spans = {start: _Span() for start in starts}
            if starts:
                end_ms = starts[-1] + unit_ms
                own = [row for row in own if row.starts_at_ms < end_ms]
                async for parts in _minutes(session, tenant_id, starts[0], end_ms, own):
                    spans[_floor(parts[0].starts_at_ms, unit_ms)].add_minute(parts)
                if unit != "minute":
                    hours = select(*UsageHourRow.__table__.c).where(
                        *_within(UsageHourRow, tenant_id, starts[0], end_ms)
                    )
                    for hour in await session.execute(hours):
                        spans[_floor(hour.starts_at_ms, unit_ms)].add_hour(hour)
        return [span.point(start) for start, span in spans.items()]

    async def fold(self, before_ms: int, most: int) -> int:
        """Fold minutes before an instant into their hours, at most so many hours, of all tenants; how many there were.

        Several nodes may do it at once: each row is taken by one of them, and a row that comes late is added.
        """
        hour = UsageMinuteRow.starts_at_ms - UsageMinuteRow.starts_at_ms % HOUR_MS
        old = select(UsageMinuteRow.tenant_id, hour).where(UsageMinuteRow.starts_at_ms < _floor(before_ms, HOUR_MS))
        async with self._transactions.read() as session:
            hours = (await session.execute(old.distinct().limit(most))).all()
        for tenant_id, starts_at_ms in hours:
            await self._fold_hour(tenant_id, starts_at_ms)
        return len(hours)

    async def _fold_hour(self, tenant_id: str, starts_at_ms: int) -> None:
        async with self._transactions.write(SYSTEM) as write:
            session = write.session
            taken = (
                delete(UsageMinuteRow)
                .where(*_within(UsageMinuteRow, tenant_id, starts_at_ms, starts_at_ms + HOUR_MS))
                .returning(*UsageMinuteRow.__table__.c)
            )
            minutes = (await session.execute(taken, execution_options=_UNTRACKED)).all()
            same = _within(UsageHourRow, tenant_id, starts_at_ms, starts_at_ms + HOUR_MS)
            before = (await session.execute(select(*UsageHourRow.__table__.c).where(*same).with_for_update())).first()
            span = _Span()
            if before is not None:
                span.add_hour(before)
            for parts in _by_minute(minutes):
                span.add_minute(parts)
            values = {"tenant_id": tenant_id, "starts_at_ms": starts_at_ms, **span.values()}
            await _upsert(session, UsageHourRow, [values] if minutes else [])

    async def prune(self, before_ms: int, most: int) -> int:
        """Forget hours before an instant, at most so many, of all tenants; how many there were."""
        return await self._remove(UsageHourRow, UsageHourRow.starts_at_ms < before_ms, most)

    async def remove(self, tenant_id: str, most: int) -> int:
        """Remove rows of a deleted tenant, at most so many; how many there were, 0: none is left.

        Nothing is written once the tenant's own row is gone, so nothing can come after the last of them.
        """
        removed = await self._remove(UsageMinuteRow, UsageMinuteRow.tenant_id == tenant_id, most)
        return removed or await self._remove(UsageHourRow, UsageHourRow.tenant_id == tenant_id, most)

    async def _remove(self, table: _Table, which: ColumnElement[bool], most: int) -> int:
        key = list(table.__table__.primary_key)
        some = delete(table).where(tuple_(*key).in_(select(*key).where(which).limit(most)))
        async with self._transactions.write(SYSTEM) as write:
            removed = await write.session.execute(some.returning(table.starts_at_ms), execution_options=_UNTRACKED)
            return len(removed.all())


async def _starts(
    session: AsyncSession, tables: Iterable[_Table], tenant_id: str, from_ms: int, to_ms: int, unit_ms: int
) -> Sequence[int]:
    """The starts of the spans in which something was used."""
    every = [
        select((table.starts_at_ms - table.starts_at_ms % unit_ms).label("start"))
        .where(*_within(table, tenant_id, from_ms, to_ms))
        .distinct()
        for table in tables
    ]
    return (await session.scalars(union(*every))).all()


async def _minutes(
    session: AsyncSession, tenant_id: str, from_ms: int, to_ms: int, own: Sequence[MinuteUsage]
) -> AsyncIterator[Sequence[Any]]:
    """Each minute's rows, read an hour at a time, so that many rows hold neither the loop nor memory."""
    kept = {(row.starts_at_ms, row.node) for row in own}
    hours = await _starts(session, [UsageMinuteRow], tenant_id, from_ms, to_ms, HOUR_MS)
    for hour in sorted({*hours, *(_floor(row.starts_at_ms, HOUR_MS) for row in own)}):
        first, end = max(hour, from_ms), min(hour + HOUR_MS, to_ms)
        found = select(*UsageMinuteRow.__table__.c).where(*_within(UsageMinuteRow, tenant_id, first, end))
        rows = [row for row in await session.execute(found) if (row.starts_at_ms, row.node) not in kept]
        for parts in _by_minute([*rows, *(row for row in own if first <= row.starts_at_ms < end)]):
            yield parts


def _by_minute(rows: Iterable[Any]) -> Iterator[Sequence[Any]]:
    for _, parts in groupby(sorted(rows, key=_START), _START):
        yield list(parts)


async def _upsert(session: AsyncSession, table: _Table, values: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with these values, in place of what stands under their keys."""
    if not values:
        return
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    key = [column.name for column in table.__table__.primary_key]
    new = {name: statement.excluded[name] for name in values[0] if name not in key}
    await session.execute(statement.on_conflict_do_update(index_elements=key, set_=new), values)


def _within(table: _Table, tenant_id: str, from_ms: int, to_ms: int) -> tuple[ColumnElement[bool], ...]:
    return table.tenant_id == tenant_id, table.starts_at_ms >= from_ms, table.starts_at_ms < to_ms


def _values(row: MinuteUsage) -> dict[str, Any]:
    samples = row.samples[:1] if len(set(row.samples)) == 1 else row.samples
    return msgspec.structs.asdict(row) | {"samples": list(samples)}


def _spread(samples: Sequence[int]) -> Sequence[int]:
    """The minute's 60 samples of what is kept of them."""
    return samples if len(samples) == MINUTE_SECONDS else (samples[0] if samples else 0,) * MINUTE_SECONDS


def _floor(at_ms: int, unit_ms: int) -> int:
    return at_ms - at_ms % unit_ms
