import asyncio
import random
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from service.protocol.resources import UsagePoint
from service.tenants import usage_reading
from service.tenants.audit import OPERATOR
from service.tenants.minute_usage import MINUTE_MS, PEAKS, SUMS, MinuteUsage, pack_samples
from service.tenants.storage import Storage
from service.tenants.tables import UsageMinuteRow
from service.tenants.usage import HOUR_MS, UsageUnit
from service.tenants.usage_reading import Range

pytestmark = pytest.mark.anyio

DAY_MS = 24 * HOUR_MS
START_MS = 20_000 * DAY_MS
FOREVER = (0, 2**50)


def minute(
    tenant_id: str, number: int, *, node: str = "n1", samples: Any = (1,) * 60, refused: Any = (), **counts: int
) -> MinuteUsage:
    """The minute of this number after the start; `connection_seconds` follows from the samples."""
    values = dict.fromkeys((*SUMS, *PEAKS), 0) | {"connection_seconds": sum(samples)} | counts
    at_ms = START_MS + number * MINUTE_MS
    return MinuteUsage(
        tenant_id=tenant_id,
        starts_at_ms=at_ms,
        node=node,
        samples=pack_samples(samples),
        refused=dict(refused),
        **values,
    )


async def make_tenant(storage: Storage, name: str = "acme") -> str:
    return (await storage.tenants.create(OPERATOR, name)).tenant.id


async def read(storage: Storage, tenant_id: str, unit: UsageUnit = "minute", **options: Any) -> list[UsagePoint]:
    return await storage.usage.read(tenant_id, *FOREVER, unit, **options)


async def test_a_minute_is_the_sum_of_its_nodes(storage: Storage) -> None:
    acme = await make_tenant(storage)
    one = minute(
        acme, 0, deliveries=1, bytes_in=2, peak_rooms=7, history_bytes=100, refused={"invalid": 1, "schema": 2}
    )
    two = minute(
        acme, 0, node="n2", deliveries=10, bytes_in=20, peak_rooms=5, history_bytes=200, refused={"invalid": 4}
    )
    await storage.usage.write([one, two])
    (point,) = await read(storage, acme)
    assert (point.starts_at_ms, point.deliveries, point.bytes_in) == (START_MS, 11, 22)
    assert (point.peak_rooms, point.history_bytes) == (7, 200)  # each node saw the whole cluster's
    assert point.refused == {"invalid": 5, "schema": 2}
    assert (point.peak_connections, point.connection_minutes) == (2, 2.0)


@pytest.mark.parametrize("unit", ["minute", "hour"])
async def test_what_is_written_or_folded_during_a_reading_is_no_part_of_it(
    storage: Storage, unit: UsageUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = await make_tenant(storage)
    await storage.usage.write([minute(acme, number, deliveries=1) for number in (0, 180)])
    before = await read(storage, acme, unit)
    count = usage_reading._add_counts

    async def count_while_others_write(session: AsyncSession, asked: Range, table: Any, *rest: Any) -> None:
        if table is UsageMinuteRow:
            await storage.usage.write([minute(acme, 90, node="n2", deliveries=1)])
        else:
            await storage.usage.fold(START_MS + HOUR_MS, 10)
        await count(session, asked, table, *rest)

    monkeypatch.setattr(usage_reading, "_add_counts", count_while_others_write)
    assert await read(storage, acme, unit) == before
    monkeypatch.undo()
    assert sum(point.deliveries for point in await read(storage, acme, unit)) == 3


async def test_the_peak_is_of_connections_that_were_open_in_one_second(storage: Storage) -> None:
    acme = await make_tenant(storage)
    falls = [100] * 30 + [0] * 30
    rises = [0] * 30 + [90] * 30
    both = [*falls[:29], 100, 5, *[0] * 29]
    await storage.usage.write([minute(acme, 0, samples=falls), minute(acme, 0, node="n2", samples=rises)])
    await storage.usage.write([minute(acme, 1, samples=both), minute(acme, 1, node="n2", samples=[3] * 60)])
    assert [point.peak_connections for point in await read(storage, acme)] == [100, 103]
    (hour,) = await read(storage, acme, "hour")
    assert hour.peak_connections == 103


async def test_to_write_a_minute_again_changes_nothing_and_a_later_state_takes_its_place(storage: Storage) -> None:
    acme = await make_tenant(storage)
    rows = [minute(acme, number, deliveries=3) for number in range(3)]
    await storage.usage.write(rows)
    await storage.usage.write(rows[1:])
    await storage.usage.write([minute(acme, 2, deliveries=4)])
    assert [point.deliveries for point in await read(storage, acme)] == [3, 3, 4]


async def test_a_nodes_own_rows_stand_in_place_of_what_sql_has_of_them(storage: Storage) -> None:
    acme = await make_tenant(storage)
    await storage.usage.write([minute(acme, 0, deliveries=1), minute(acme, 0, node="n2", deliveries=10)])
    own = [minute(acme, 0, deliveries=2), minute(acme, 1, deliveries=5), minute(acme, 90, deliveries=7)]
    assert [point.deliveries for point in await read(storage, acme, unwritten=own)] == [12, 5, 7]
    assert [point.deliveries for point in await read(storage, acme, "hour", unwritten=own)] == [17, 7]
    assert [point.deliveries for point in await read(storage, acme, limit=2, unwritten=own)] == [12, 5]
    nothing = await storage.usage.read(acme, START_MS + DAY_MS, START_MS + 2 * DAY_MS, "day", unwritten=own)
    assert nothing == []


async def test_points_are_those_that_the_time_touches(storage: Storage) -> None:
    acme = await make_tenant(storage)
    await storage.usage.write([minute(acme, number, deliveries=1) for number in range(0, 300, 30)])

    async def starts(from_ms: int, to_ms: int, unit: UsageUnit, limit: int | None = None) -> list[int]:
        points = await storage.usage.read(acme, START_MS + from_ms, START_MS + to_ms, unit, limit)
        return [(point.starts_at_ms - START_MS) // MINUTE_MS for point in points]

    assert await starts(0, 61 * MINUTE_MS, "minute") == [0, 30, 60]
    assert await starts(1, 60 * MINUTE_MS, "minute") == [0, 30]
    assert await starts(MINUTE_MS, 60 * MINUTE_MS + 1, "minute") == [30, 60]
    assert await starts(90 * MINUTE_MS, 121 * MINUTE_MS, "hour") == [60, 120]
    assert await starts(0, DAY_MS, "hour", 2) == [0, 60]
    assert await starts(0, 1, "day") == [0]
    assert await starts(5, 5, "minute") == [0]


async def test_tenants_never_see_each_others_usage(storage: Storage) -> None:
    acme, globex = await make_tenant(storage), await make_tenant(storage, "globex")
    await storage.usage.write([minute(acme, 0, deliveries=1), minute(globex, 0, deliveries=2)])
    assert [point.deliveries for point in await read(storage, globex)] == [2]
    await storage.usage.remove(acme, 100)
    assert await read(storage, acme) == []
    assert len(await read(storage, globex)) == 1


async def test_folding_minutes_into_hours_changes_no_hour_and_no_day(storage: Storage) -> None:
    draw = random.Random(4)
    acme, globex = await make_tenant(storage), await make_tenant(storage, "globex")
    rows = [
        minute(
            tenant_id,
            number,
            node=node,
            samples=[draw.randrange(50) for _ in range(60)],
            refused={draw.choice(["invalid", "forbidden"]): draw.randrange(5)},
            **{name: draw.randrange(1_000) for name in (*SUMS[1:], *PEAKS)},
        )
        for tenant_id in (acme, globex)
        for number in (0, 1, 59, 60, 61, 1_439, 1_440, 1_500, 4_000)
        for node in ("n1", "n2")
    ]
    await storage.usage.write(rows)
    units: tuple[UsageUnit, ...] = ("hour", "day")
    before = {(each, unit): await read(storage, each, unit) for each in (acme, globex) for unit in units}
    assert await storage.usage.fold(START_MS + 1_445 * MINUTE_MS, 100) == 6  # the hour of 1,440 has not ended by then
    assert await storage.usage.fold(START_MS + 1_445 * MINUTE_MS, 100) == 0
    assert {(each, unit): await read(storage, each, unit) for each in (acme, globex) for unit in units} == before
    left = [(point.starts_at_ms - START_MS) // MINUTE_MS for point in await read(storage, acme)]
    assert left == [1_440, 1_500, 4_000]


async def test_a_row_that_comes_after_its_hour_was_folded_is_added(storage: Storage) -> None:
    acme = await make_tenant(storage)
    await storage.usage.write([minute(acme, 0, deliveries=1, samples=[9] * 60)])
    await storage.usage.fold(START_MS + HOUR_MS, 1)
    await storage.usage.write([minute(acme, 1, node="n2", deliveries=2, refused={"schema": 1})])
    await storage.usage.fold(START_MS + HOUR_MS, 1)
    (hour,) = await read(storage, acme, "hour")
    assert (hour.deliveries, hour.peak_connections, hour.connection_minutes) == (3, 9, 10.0)
    assert hour.refused == {"schema": 1}


async def test_nodes_that_fold_at_once_count_nothing_twice(storage: Storage) -> None:
    acme = await make_tenant(storage)
    await storage.usage.write([minute(acme, number, deliveries=1) for number in range(0, 600, 20)])
    await asyncio.gather(*[storage.usage.fold(START_MS + DAY_MS, 100) for _ in range(4)], return_exceptions=True)
    while await storage.usage.fold(START_MS + DAY_MS, 100):
        pass
    assert [point.deliveries for point in await read(storage, acme, "hour")] == [3] * 10


async def test_old_hours_are_forgotten_in_slices(storage: Storage) -> None:
    acme = await make_tenant(storage)
    await storage.usage.write([minute(acme, number) for number in range(0, 600, 60)])
    await storage.usage.fold(START_MS + DAY_MS, 100)
    before_ms = START_MS + 7 * HOUR_MS
    assert [await storage.usage.prune(before_ms, 4) for _ in range(3)] == [4, 3, 0]
    assert len(await read(storage, acme, "hour")) == 3


async def test_a_deleted_tenants_rows_go_in_slices_and_none_comes_after(storage: Storage) -> None:
    acme = await make_tenant(storage)
    await storage.usage.write([minute(acme, number) for number in range(0, 300, 10)])
    await storage.usage.fold(START_MS + 2 * HOUR_MS, 100)
    await storage.tenants.delete(OPERATOR, "acme")
    assert [await storage.usage.remove(acme, 10) for _ in range(4)] == [10, 8, 2, 0]
    again = await make_tenant(storage)
    await storage.usage.write([minute(acme, 1), minute(again, 1)])  # a node did not know yet
    assert await read(storage, acme, "day") == []
    assert len(await read(storage, again)) == 1


async def test_many_rows_are_written_and_read(storage: Storage) -> None:
    acme = await make_tenant(storage)
    await storage.usage.write([minute(acme, number, deliveries=number) for number in range(1_300)])
    points = await read(storage, acme)
    assert [point.deliveries for point in points] == list(range(1_300))
    assert sum(point.deliveries for point in await read(storage, acme, "day")) == sum(range(1_300))
