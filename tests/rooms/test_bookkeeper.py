import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.brokers.control import TenantSize
from service.protocol.errors import Unavailable
from service.rooms import bookkeeper as bookkeeper_module
from service.rooms import usage as usage_module
from service.rooms.bookkeeper import DAY_MS, Bookkeeper
from service.rooms.usage import UsageBook
from service.tenants.audit import OPERATOR
from service.tenants.database import upgrade_database
from service.tenants.keys import Sealer
from service.tenants.minute_usage import MinuteUsage
from service.tenants.storage import Storage
from tests.rooms.simulated_broker import SimulatedNode, tenant, turns
from tests.rooms.surroundings import tick

pytestmark = pytest.mark.anyio

START = 1_000_000 * 60


class Tables:
    """SQL, as far as the bookkeeper sees it."""

    def __init__(self) -> None:
        self.is_away = False
        self.written: dict[tuple[str, int, str], MinuteUsage] = {}
        self.left = {"fold": 0, "prune": 0}
        self.asked: list[tuple[str, int]] = []

    async def write(self, rows: Sequence[MinuteUsage]) -> None:
        await asyncio.sleep(0)
        if self.is_away:
            raise Unavailable("the database is out of reach")
        self.written |= {(row.tenant_id, row.starts_at_ms, row.node): row for row in rows}

    async def fold(self, before_ms: int, most: int) -> int:
        return self._take("fold", before_ms, most)

    async def prune(self, before_ms: int, most: int) -> int:
        return self._take("prune", before_ms, most)

    def _take(self, what: str, before_ms: int, most: int) -> int:
        self.asked.append((what, before_ms))
        taken = min(most, self.left[what])
        self.left[what] -= taken
        return taken


@pytest.fixture
def node() -> SimulatedNode:
    node = SimulatedNode()
    node.usage = UsageBook("n1", START)
    return node


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
def books(node: SimulatedNode, tables: Tables) -> Bookkeeper:
    return Bookkeeper(node, tables, minutes_days=7, hours_days=400)


async def test_minutes_that_are_over_are_written_once(node: SimulatedNode, tables: Tables, books: Bookkeeper) -> None:
    node.usage.of("t1").deliveries += 1
    await books.write()
    assert tables.written == {}
    tick(node.usage, START + 60, [])
    await books.write()
    assert [row.deliveries for row in tables.written.values()] == [1]
    tables.written.clear()
    await books.write()
    assert tables.written == {}


async def test_while_sql_is_away_minutes_wait_and_the_log_has_it_once(
    node: SimulatedNode, tables: Tables, books: Bookkeeper
) -> None:
    tables.is_away = True
    with capture_logs() as logs:
        for number in range(12):
            node.usage.of("t1").deliveries += 1
            tick(node.usage, START + (number + 1) * 60, [])
            with pytest.raises(Unavailable):
                await books.write()
    assert [line["event"] for line in logs] == ["usage waits for SQL"]
    tables.is_away = False
    await books.write()
    assert [row.deliveries for row in tables.written.values()] == [1] * 12


async def test_a_node_that_ends_writes_the_minute_that_is_open(
    node: SimulatedNode, tables: Tables, books: Bookkeeper
) -> None:
    tick(node.usage, START + 5, [("t1", 2)])
    node.usage.of("t1").deliveries += 1
    await books.finish()
    (row,) = tables.written.values()
    assert (row.deliveries, row.connection_seconds) == (1, 10)


async def test_a_node_that_ends_without_sql_says_what_is_lost(
    node: SimulatedNode, tables: Tables, books: Bookkeeper
) -> None:
    tables.is_away = True
    node.usage.of("t1").deliveries += 1
    with capture_logs() as logs:
        await books.finish()
    assert logs[-1]["count"] == 1
    assert "lost" in logs[-1]["event"]


async def test_tenants_in_use_are_measured_unless_they_are_gone(node: SimulatedNode, books: Bookkeeper) -> None:
    node.broker.size = TenantSize(3, 4_096)
    node.usage.of("elsewhere").deliveries += 1
    manager = node.tenant_manager
    await books.measure()
    assert node.broker.asked == []  # nothing was used
    manager.usage.deliveries += 1
    await books.measure()
    assert (manager.usage.peak_rooms, manager.usage.history_bytes) == (3, 4_096)
    assert node.broker.asked == ["measure_tenant"]
    manager.update(tenant(2, active=False))
    await books.measure()
    assert node.broker.asked == ["measure_tenant"]


async def test_the_first_join_of_a_room_notes_how_many_rooms_there_are(node: SimulatedNode) -> None:
    alice = node.connect("alice")
    for room in ("one", "two", "three"):
        await node.join(alice, room)
    assert node.tenant_manager.usage.peak_rooms == 3


async def test_what_is_old_goes_in_slices(tables: Tables, books: Bookkeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookkeeper_module, "PAUSE_SECONDS", 0)
    tables.left = {"fold": 50, "prune": 700}
    await books.retain(1_000 * DAY_MS)
    assert tables.left == {"fold": 0, "prune": 0}
    assert tables.asked == [("fold", 993 * DAY_MS)] * 4 + [("prune", 600 * DAY_MS)] * 3


async def test_the_clockwork_goes_on_after_every_failure(
    node: SimulatedNode, tables: Tables, books: Bookkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ROUND_SECONDS", "SPREAD_SECONDS", "PAUSE_SECONDS"):
        monkeypatch.setattr(bookkeeper_module, name, 0)
    node.usage.of("t1").deliveries += 1
    tick(node.usage, START + 60, [])
    failures = iter([Unavailable("away"), RuntimeError("a mistake")])
    write = tables.write

    async def fail_first(rows: Sequence[MinuteUsage]) -> None:
        for failure in failures:
            raise failure
        await write(rows)

    monkeypatch.setattr(tables, "write", fail_first)
    clockwork = asyncio.create_task(books.keep_written())
    while not tables.written:
        await turns()
    clockwork.cancel()
    with suppress(asyncio.CancelledError):
        await clockwork


async def test_a_node_that_ends_while_a_minute_is_cut_loses_none_of_it(
    node: SimulatedNode, tables: Tables, books: Bookkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_module, "TENANTS_CUT_AT_ONCE", 1)
    monkeypatch.setattr(bookkeeper_module, "INTO_A_SECOND", -1)  # as if each second ended at once
    for number in range(5):
        node.usage.of(f"t{number}").deliveries += 1
    clockwork = asyncio.create_task(books.keep_samples())
    while not (cut := node.usage.waiting(10)):
        await asyncio.sleep(0)
    assert len(cut) < 5
    for number in range(5):
        node.usage.of(f"t{number}").deliveries += 1
    clockwork.cancel()
    await asyncio.gather(clockwork, return_exceptions=True)
    await books.finish()
    assert sum(row.deliveries for row in tables.written.values()) == 10


async def test_a_minute_is_written_as_soon_as_it_is_over(
    node: SimulatedNode, tables: Tables, books: Bookkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bookkeeper_module, "SPREAD_SECONDS", 0)
    monkeypatch.setattr(bookkeeper_module, "INTO_A_SECOND", -1)  # as if each second ended at once
    node.usage.of("t1").deliveries += 1  # of a minute long ago: the next tick is in another
    clockwork = [asyncio.create_task(work) for work in (books.keep_samples(), books.keep_written())]
    async with asyncio.timeout(5):  # a round is longer
        while not tables.written:
            await turns()
    for task in clockwork:
        task.cancel()
    await asyncio.gather(*clockwork, return_exceptions=True)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    url = f"sqlite:///{tmp_path / 'roomcast.db'}"
    await asyncio.to_thread(upgrade_database, url)
    storage = await Storage.open(url, Sealer(bytes(32)))
    yield storage
    await storage.close()


async def test_a_node_killed_within_a_minute_loses_its_part_of_that_alone_and_nothing_counts_twice(
    storage: Storage,
) -> None:
    acme = (await storage.tenants.create(OPERATOR, "acme")).tenant.id
    nodes = []
    for name, started_at in (("n1", START), ("n2", START), ("n1-again", START + 100)):
        node = SimulatedNode()
        node.usage = UsageBook(name, started_at)
        nodes.append((node.usage, Bookkeeper(node, storage.usage, minutes_days=7, hours_days=400)))
    (killed, killed_books), (other, other_books), (restarted, restarted_books) = nodes
    for second in range(START + 1, START + 150):  # two minutes and a half
        if second < START + 90:
            killed.of(acme).deliveries += 100
            tick(killed, second, [(acme, 10)])
        elif second > START + 100:
            restarted.of(acme).deliveries += 100
            tick(restarted, second, [(acme, 10)])
        other.of(acme).deliveries += 1
        tick(other, second, [(acme, 1)])
        if second % 10 == 0:
            for books in (killed_books, other_books, restarted_books):
                await books.write()
    for books in (other_books, restarted_books):
        await books.finish()
        await books.finish()
    points = await storage.usage.read(acme, START * 1_000, (START + 180) * 1_000, "minute")
    # The second in which a minute ends is counted before its tick: in the minute before.
    assert [point.deliveries for point in points] == [60 * 101, 60 + 20 * 100, 29 + 29 * 100]
    assert [point.peak_connections for point in points] == [11, 11, 11]
    (day,) = await storage.usage.read(acme, START * 1_000, (START + 180) * 1_000, "day")
    assert day.deliveries == sum(point.deliveries for point in points)
