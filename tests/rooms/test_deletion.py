import pytest
from msgspec.structs import replace

from service.protocol.errors import Unavailable
from service.rooms import deletion as deletion_module
from service.rooms.deletion import Deleter
from service.tenants.records import Deletion
from tests.rooms.simulated_broker import SimulatedBroker

pytestmark = pytest.mark.anyio


class Book:
    """SQL: deletions as they stand, and rows of usage."""

    def __init__(self) -> None:
        self.deletion = Deletion(
            tenant_id="t1",
            name="acme",
            asked_at_ms=0,
            removed_keys=0,
            claimed_by=None,
            claimed_until_ms=None,
            done_at_ms=None,
        )
        self.usage_rows = 1_200
        self.claims_left = 1_000
        self.is_away = False

    async def pending(self) -> list[Deletion]:
        if self.is_away:
            raise Unavailable("SQL is out of reach")
        return [] if self.deletion.done_at_ms else [self.deletion]

    async def claim(self, tenant_id: str, node: str, until_at_ms: int) -> bool:
        self.claims_left -= 1
        if self.claims_left < 0:
            return False
        self.deletion = replace(self.deletion, claimed_by=node, claimed_until_ms=until_at_ms)
        return True

    async def note_progress(self, tenant_id: str, removed_keys: int) -> None:
        self.deletion = replace(self.deletion, removed_keys=self.deletion.removed_keys + removed_keys)

    async def finish(self, tenant_id: str) -> None:
        assert self.usage_rows == 0
        self.deletion = replace(self.deletion, done_at_ms=1)

    async def remove(self, tenant_id: str, most: int) -> int:
        removed = min(most, self.usage_rows)
        self.usage_rows -= removed
        return removed


@pytest.fixture
def broker() -> SimulatedBroker:
    return SimulatedBroker()


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def deleter(broker: SimulatedBroker, book: Book, monkeypatch: pytest.MonkeyPatch) -> Deleter:
    monkeypatch.setattr(deletion_module, "SETTLE_SECONDS", 0)
    monkeypatch.setattr(deletion_module, "SLICE_PAUSE_SECONDS", 0)
    return Deleter("n1", broker.as_broker(), book, book)


async def test_a_deletion_goes_on_until_a_whole_pass_finds_nothing(
    deleter: Deleter, broker: SimulatedBroker, book: Book
) -> None:
    broker.purges = [(7, 100), (3, 0), (0, 50), (7, 0), (0, 1), (7, 0), (0, 0)]
    for left in (4, 2, 0):
        assert not book.deletion.done_at_ms
        await deleter.look()
        assert len(broker.purges) == left
    assert book.deletion.removed_keys == 151
    assert book.deletion.done_at_ms
    await deleter.look()
    assert len(broker.asked) == 7


async def test_nothing_is_removed_before_every_node_knows(
    deleter: Deleter, broker: SimulatedBroker, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion_module, "SETTLE_SECONDS", 60)
    await deleter.look()
    assert broker.asked == []
    assert book.deletion.claimed_by is None


async def test_another_nodes_deletion_is_left_to_it_while_it_lives(
    deleter: Deleter, broker: SimulatedBroker, book: Book
) -> None:
    book.deletion = replace(book.deletion, claimed_by="n2", claimed_until_ms=2**60)
    await deleter.look()
    assert broker.asked == []
    book.deletion = replace(book.deletion, claimed_until_ms=1)
    await deleter.look()
    assert book.deletion.done_at_ms


async def test_a_deletion_that_another_node_took_over_is_left_to_it(
    deleter: Deleter, broker: SimulatedBroker, book: Book
) -> None:
    book.claims_left = 1
    broker.purges = [(0, 5)]
    await deleter.look()
    assert book.deletion.removed_keys == 5
    assert not book.deletion.done_at_ms


async def test_what_redis_or_sql_refuse_goes_on_with_a_later_look(
    deleter: Deleter, broker: SimulatedBroker, book: Book
) -> None:
    broker.refuses["purge_tenant"] = Unavailable("Redis is out of reach")
    await deleter.look()
    assert not book.deletion.done_at_ms
    broker.refuses.clear()
    book.is_away = True
    with pytest.raises(Unavailable):
        await deleter.look()
    book.is_away = False
    await deleter.look()
    assert book.deletion.done_at_ms
