"""Reading what a tenant used: SQL adds up, and only the minutes that may hold a peak are looked into.

A week of four nodes is 40,000 rows, of which Python would take 1.4 s.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, TableValuedAlias, cast, func, or_, select, true, union
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from service.protocol.resources import UsagePoint
from service.tenants.minute_usage import MINUTE_MS, PEAKS, SUMS, MinuteUsage, peak_of
from service.tenants.tables import UsageHourRow, UsageMinuteRow
from service.tenants.usage_span import Span

DAY_MS: Final = 86_400_000
# Minutes that are looked into at once, those of four nodes in 2 ms.
_MINUTES_AT_ONCE: Final = 100
_Table = type[UsageMinuteRow] | type[UsageHourRow]


@dataclass(slots=True)
class Range:
    """Whose usage is read, and of which time.

    own: rows of one node, ascending: they count, and what SQL has of that node from the first of them on does not.
    """

    tenant_id: str
    from_ms: int
    to_ms: int
    unit_ms: int
    own: Sequence[MinuteUsage]


async def read_points(session: AsyncSession, asked: Range, limit: int | None) -> list[UsagePoint]:
    """The first `limit` points, ascending; the time begins and ends with a unit."""
    tables = (UsageMinuteRow,) if asked.unit_ms == MINUTE_MS else (UsageMinuteRow, UsageHourRow)
    asked.own = [row for row in asked.own if asked.from_ms <= row.starts_at_ms < asked.to_ms]
    starts = {_start(asked, row.starts_at_ms) for row in asked.own} | set(await _starts(session, asked, tables))
    spans = {start: Span() for start in sorted(starts)[:limit]}
    if not spans:
        return []
    asked.from_ms, asked.to_ms = min(spans), max(spans) + asked.unit_ms
    asked.own = [row for row in asked.own if row.starts_at_ms < asked.to_ms]
    for table in tables:
        await _add_counts(session, asked, table, spans)
    for row in asked.own:
        spans[_start(asked, row.starts_at_ms)].add_row(row)
    await _add_peaks(session, asked, spans)
    return [span.point(start) for start, span in spans.items()]


async def _starts(session: AsyncSession, asked: Range, tables: Iterable[_Table]) -> Sequence[int]:
    """The starts of the spans in which something was used."""
    every = [select(_start(asked, table.starts_at_ms)).where(*_within(asked, table)).distinct() for table in tables]
    return (await session.scalars(union(*every))).all()


async def _add_counts(session: AsyncSession, asked: Range, table: _Table, spans: dict[int, Span]) -> None:
    start = _start(asked, table.starts_at_ms)
    where = _within(asked, table)
    sums = [func.sum(getattr(table, name)).label(name) for name in SUMS]
    peaks = [func.max(getattr(table, name)).label(name) for name in (*PEAKS, "peak_connections")]
    for found, *counts in await session.execute(select(start, *sums, *peaks).where(*where).group_by(start)):
        spans[found].add_counts(dict(zip((*SUMS, *PEAKS), map(int, counts), strict=False)))
        if table is UsageHourRow:
            spans[found].note_peak(counts[-1])
    for column, add in ((table.refused, Span.add_refused), (table.refused_by_schema, Span.add_refused_by_schema)):
        each = _each_count(session, column)
        total = func.sum(cast(each.c.value, BigInteger))
        refused = select(start, each.c.key, total).select_from(table).join(each, true()).where(*where)
        for found, key, count in await session.execute(refused.group_by(start, each.c.key)):
            add(spans[found], key, int(count))


async def _add_peaks(session: AsyncSession, asked: Range, spans: dict[int, Span]) -> None:
    own: dict[int, list[bytes]] = {}
    for row in asked.own:
        own.setdefault(row.starts_at_ms, []).append(row.samples)
    for minute, samples in (await _samples(session, asked, list(own))).items():
        own[minute] += samples
    for minute, samples in own.items():
        spans[_start(asked, minute)].note_peak(peak_of(samples))
    for day_ms in sorted({start - start % DAY_MS for start in spans}):
        await _add_peaks_of_day(session, asked, spans, day_ms)


async def _add_peaks_of_day(session: AsyncSession, asked: Range, spans: dict[int, Span], day_ms: int) -> None:
    """Look into minutes, those first in which most connections may have been open, until no other can have had more."""
    row = UsageMinuteRow
    where = (*_within(asked, row), row.starts_at_ms >= day_ms, row.starts_at_ms < day_ms + DAY_MS)
    bound = func.sum(row.peak_connections).label("bound")
    minutes = select(row.starts_at_ms, bound, func.count()).where(*where).group_by(row.starts_at_ms).order_by(bound)
    candidates: dict[int, list[tuple[int, int]]] = {}
    for minute, at_most, nodes in await session.execute(minutes):
        if nodes == 1:  # what it may have been is what it was
            spans[_start(asked, minute)].note_peak(int(at_most))
        else:
            candidates.setdefault(_start(asked, minute), []).append((int(at_most), minute))
    each = max(1, _MINUTES_AT_ONCE // max(1, len(candidates)))
    while wanted := [minute for start, found in candidates.items() for minute in _next(spans[start], found, each)]:
        for minute, samples in (await _samples(session, asked, wanted)).items():
            spans[_start(asked, minute)].note_peak(peak_of(samples))


def _next(span: Span, candidates: list[tuple[int, int]], most: int) -> list[int]:
    """Take the next minutes that may be above what is known."""
    taken: list[int] = []
    while len(taken) < most and candidates and candidates[-1][0] > span.peak_connections:
        taken.append(candidates.pop()[1])
    return taken


async def _samples(session: AsyncSession, asked: Range, minutes: Sequence[int]) -> dict[int, list[bytes]]:
    """Each of these minutes with its nodes' samples."""
    row = UsageMinuteRow
    found: dict[int, list[bytes]] = {}
    for index in range(0, len(minutes), _MINUTES_AT_ONCE):
        some = row.starts_at_ms.in_(minutes[index : index + _MINUTES_AT_ONCE])
        # Without the range, for which SQLite would go through all of it.
        where = (row.tenant_id == asked.tenant_id, some, *_others(asked))
        for minute, samples in await session.execute(select(row.starts_at_ms, row.samples).where(*where)):
            found.setdefault(minute, []).append(samples)
    return found


def _within(asked: Range, table: _Table) -> tuple[ColumnElement[bool], ...]:
    span = (table.starts_at_ms >= asked.from_ms, table.starts_at_ms < asked.to_ms)
    others = _others(asked) if table is UsageMinuteRow else ()
    return (table.tenant_id == asked.tenant_id, *span, *others)


def _others(asked: Range) -> tuple[ColumnElement[bool], ...]:
    """Rows that the own ones do not stand in place of."""
    if not asked.own:
        return ()
    first = asked.own[0]
    return (or_(UsageMinuteRow.node != first.node, UsageMinuteRow.starts_at_ms < first.starts_at_ms),)


def _start(asked: Range, at_ms: Any) -> Any:
    """The start of the span of an instant, or of a column's."""
    return at_ms - at_ms % asked.unit_ms


def _each_count(session: AsyncSession, column: InstrumentedAttribute[dict[str, int]]) -> TableValuedAlias:
    """A row for each key of a row's counts."""
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    each = func.jsonb_each_text(column) if is_postgresql else func.json_each(column)
    return each.table_valued("key", "value")
