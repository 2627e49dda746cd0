"""What tenants used: minutes by node as they were counted, hours once the minutes are old, and both read together.

A minute's row is written with absolute values under (tenant, minute, node): to write it again changes nothing, and no
two nodes, nor a node and the one started in its place, share a row.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from service.protocol.resources import UsagePoint
from service.tenants.audit import SYSTEM
from service.tenants.minute_usage import MINUTE_MS, MinuteUsage, peak_of
from service.tenants.tables import TenantRow, UsageHourRow, UsageMinuteRow
from service.tenants.transactions import Transactions
from service.tenants.usage_reading import Range, read_points
from service.tenants.usage_span import Span, by_minute

HOUR_MS: Final = 60 * MINUTE_MS
UNITS_MS: Final = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": 24 * HOUR_MS}

UsageUnit = Literal["minute", "hour", "day"]

_WRITTEN_AT_ONCE: Final = 500
_UNTRACKED: Final = {"synchronize_session": False}
_Table = type[UsageMinuteRow] | type[UsageHourRow]


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
        asked = Range(tenant_id, _floor(from_ms, unit_ms), -_floor(-to_ms, unit_ms), unit_ms, unwritten)
        async with self._transactions.read() as session:
            return await read_points(session, asked, limit)

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
        minute, hour = UsageMinuteRow, UsageHourRow
        within = (minute.starts_at_ms >= starts_at_ms, minute.starts_at_ms < starts_at_ms + HOUR_MS)
        taken = delete(minute).where(minute.tenant_id == tenant_id, *within).returning(*minute.__table__.c)
        before = select(*hour.__table__.c).where(hour.tenant_id == tenant_id, hour.starts_at_ms == starts_at_ms)
        async with self._transactions.write(SYSTEM) as write:
            minutes = (await write.session.execute(taken, execution_options=_UNTRACKED)).all()
            span = Span()
            if (folded := (await write.session.execute(before.with_for_update())).first()) is not None:
                span.add_row(folded)
                span.note_peak(folded.peak_connections)
            for parts in by_minute(minutes):
                for part in parts:
                    span.add_row(part)
                span.note_peak(peak_of(part.samples for part in parts))
            values = {"tenant_id": tenant_id, "starts_at_ms": starts_at_ms, **span.values()}
            await _upsert(write.session, hour, [values] if minutes else [])

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


async def _upsert(session: AsyncSession, table: _Table, values: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with these values, in place of what stands under their keys."""
    if not values:
        return
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    key = [column.name for column in table.__table__.primary_key]
    new = {name: statement.excluded[name] for name in values[0] if name not in key}
    await session.execute(statement.on_conflict_do_update(index_elements=key, set_=new), values)


def _values(row: MinuteUsage) -> dict[str, Any]:
    return msgspec.structs.asdict(row) | {"peak_connections": peak_of([row.samples])}


def _floor(at_ms: int, unit_ms: int) -> int:
    return at_ms - at_ms % unit_ms
