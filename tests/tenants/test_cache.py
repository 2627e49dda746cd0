import asyncio
from collections.abc import Iterable

import anyio
import msgspec
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from service.protocol.errors import Unavailable
from service.tenants.audit import OPERATOR
from service.tenants.cache import MISSES_BURST, UNKNOWN_NAMES, TenantCache
from service.tenants.keys import Sealer
from service.tenants.limits import Limits
from service.tenants.snapshot import TenantSnapshot
from service.tenants.storage import Storage, upgrade_database
from tests.support.postgres import PostgresServer
from tests.tenants.jwts import ACME, tenant

pytestmark = pytest.mark.anyio


class Source:
    """Tenants as SQL gives them; `gate` holds answers back, `down` and `fails_after` put SQL out of reach."""

    def __init__(self, *known: TenantSnapshot) -> None:
        self.known = {snapshot.id: snapshot for snapshot in known}
        self.queries: list[str] = []
        self.down = False
        self.fails_after: int | None = None
        self.unreadable: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def _answer(self, query: str) -> None:
        self.queries.append(query)
        await self.gate.wait()
        if self.down or (self.fails_after is not None and len(self.queries) > self.fails_after):
            raise Unavailable("down")

    async def find_tenant(self, name: str) -> TenantSnapshot | None:
        found = next((snapshot for snapshot in self.known.values() if snapshot.name == name), None)
        await self._answer(name)
        return found

    async def find_tenant_by_id(self, tenant_id: str) -> TenantSnapshot | None:
        found = self.known.get(tenant_id)
        await self._answer(tenant_id)
        if tenant_id in self.unreadable:
            raise msgspec.ValidationError("a limit of the next version")
        return found

    async def tenant_versions(self, tenant_ids: Iterable[str]) -> dict[str, int]:
        await self._answer("versions")
        return {known: self.known[known].version for known in tenant_ids if known in self.known}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_tenant_is_asked_for_once() -> None:
    source = Source(ACME)
    cache = TenantCache(source)
    assert await cache.find("acme") is ACME
    assert await cache.find("acme") is ACME
    assert await cache.find_by_id(ACME.id) is ACME
    assert cache.known(ACME.id) is ACME
    assert source.queries == ["acme"]


async def test_a_thousand_at_once_share_one_query_even_if_some_give_up() -> None:
    source = Source(ACME)
    source.gate.clear()
    cache = TenantCache(source)
    waiting = [asyncio.create_task(cache.find("acme")) for _ in range(1_000)]
    await anyio.wait_all_tasks_blocked()
    for task in waiting[:10]:
        task.cancel()
    source.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert source.queries == ["acme"]
    assert found[10:] == [ACME] * 990


async def test_an_unknown_name_is_remembered_for_a_second() -> None:
    source, clock = Source(), Clock()
    cache = TenantCache(source, clock)
    assert await cache.find("acme") is None
    source.known[ACME.id] = ACME
    clock.now = 0.99
    assert await cache.find("acme") is None
    assert source.queries == ["acme"]
    clock.now = 1.0
    assert await cache.find("acme") is ACME


async def test_a_flood_of_made_up_names_is_bounded_and_known_tenants_do_not_notice() -> None:
    source, clock = Source(ACME), Clock()
    cache = TenantCache(source, clock)
    await cache.find("acme")
    refused = 0
    for number in range(3 * MISSES_BURST):
        try:
            assert await cache.find(f"made-up-{number}") is None
        except Unavailable as error:
            refused += bool(error.retry_after_ms)
    assert refused == 2 * MISSES_BURST + 1
    assert len(source.queries) == MISSES_BURST
    assert await cache.find("acme") is ACME
    for second in range(1, 100):
        clock.now = float(second)
        for number in range(200):
            await cache.find(f"more-{second}-{number}")
    assert len(cache._unknown) == UNKNOWN_NAMES


async def test_a_refresh_asks_once_and_tells_what_changed() -> None:
    source = Source(ACME, tenant("other"), tenant("gone"))
    cache = TenantCache(source)
    assert await cache.refresh() == []
    for name in ("acme", "other", "gone"):
        await cache.find(name)
    source.queries.clear()
    assert await cache.refresh() == []
    assert source.queries == ["versions"]
    suspended = replace(ACME, active=False, version=2)
    source.known[ACME.id] = suspended
    gone = source.known.pop(tenant("gone").id)
    changes = await cache.refresh()
    assert [(change.tenant_id, change.name, change.snapshot) for change in changes] == [
        (ACME.id, "acme", suspended),
        (gone.id, "gone", None),
    ]
    assert await cache.find("acme") is suspended
    assert await cache.find("gone") is None
    assert cache.known(gone.id) is None
    assert await cache.refresh() == []


async def test_a_name_made_again_is_another_tenant() -> None:
    source = Source(ACME)
    cache = TenantCache(source)
    await cache.find("acme")
    again = replace(ACME, id="another-id--")
    source.known = {again.id: again}
    (change,) = await cache.refresh()
    assert (change.tenant_id, change.snapshot) == (ACME.id, None)
    assert await cache.find("acme") is again


async def test_a_new_tenant_of_the_name_outlives_the_news_that_the_old_one_is_gone() -> None:
    source = Source(ACME)
    cache = TenantCache(source)
    await cache.find("acme")
    again = replace(ACME, id="another-id--")
    source.known = {again.id: again}
    assert await cache.find_by_id(again.id) is again
    (change,) = await cache.refresh()
    assert change.tenant_id == ACME.id
    assert await cache.find("acme") is again
    assert source.queries.count("acme") == 1


async def test_with_sql_down_known_tenants_stay_and_unknown_ones_are_unavailable() -> None:
    source = Source(ACME)
    cache = TenantCache(source)
    await cache.find("acme")
    source.down = True
    for failed in (1, 2, 3):
        assert await cache.refresh() == []
        assert cache.failed_refreshes == failed
    assert await cache.find("acme") is ACME
    with pytest.raises(Unavailable):
        await cache.find("other")
    source.down = False
    source.known[ACME.id] = replace(ACME, version=2)
    assert len(await cache.refresh()) == 1
    assert cache.failed_refreshes == 0
    assert await cache.find("other") is None


async def test_what_changed_is_always_told_even_if_questions_overtake_each_other() -> None:
    source = Source(ACME)
    cache = TenantCache(source)
    source.gate.clear()
    slow = asyncio.create_task(cache.find("acme"))
    await anyio.wait_all_tasks_blocked()
    suspended = replace(ACME, active=False, version=2)
    source.known[ACME.id] = suspended
    fast = asyncio.create_task(cache.find_by_id(ACME.id))
    await anyio.wait_all_tasks_blocked()
    source.gate.set()
    assert [await slow, await fast] == [ACME, ACME]
    assert [change.snapshot for change in await cache.refresh()] == [suspended]


async def test_of_two_reloads_at_once_one_tells_the_change() -> None:
    source = Source(ACME)
    cache = TenantCache(source)
    await cache.find("acme")
    source.known[ACME.id] = replace(ACME, version=2)
    told = await asyncio.gather(cache.reload(ACME.id), cache.reload(ACME.id))
    assert [change is not None for change in told] == [True, False]


async def test_what_was_found_before_sql_failed_is_told() -> None:
    source = Source(ACME, tenant("other"))
    cache = TenantCache(source)
    await cache.find("acme")
    await cache.find("other")
    for known in list(source.known.values()):
        source.known[known.id] = replace(known, version=2)
    source.fails_after = len(source.queries) + 2
    assert [change.name for change in await cache.refresh()] == ["acme"]
    assert cache.failed_refreshes == 1
    source.fails_after = None
    assert [change.name for change in await cache.refresh()] == ["other"]


async def test_a_tenant_that_can_not_be_read_keeps_no_news_from_the_others() -> None:
    broken, others = tenant("broken"), [tenant("before"), tenant("behind")]
    source = Source(others[0], broken, others[1])
    cache = TenantCache(source)
    for snapshot in (others[0], broken, others[1]):
        await cache.find(snapshot.name)
        source.known[snapshot.id] = replace(snapshot, version=2)
    source.unreadable = {broken.id}
    with capture_logs() as logs:
        changes = await cache.refresh()
    assert [change.name for change in changes] == ["before", "behind"]
    assert [(line["tenant"], line["log_level"]) for line in logs] == [("broken", "error")]
    assert cache.known(broken.id) is broken
    assert cache.failed_refreshes == 0
    source.unreadable = set()
    assert [change.name for change in await cache.refresh()] == ["broken"]


async def test_another_nodes_word_reloads_one_tenant_at_once() -> None:
    source = Source(ACME)
    cache = TenantCache(source)
    assert await cache.reload(ACME.id) is None
    await cache.find("acme")
    source.queries.clear()
    assert await cache.reload(ACME.id) is None
    assert source.queries == ["versions"]
    source.known[ACME.id] = replace(ACME, limits=Limits(max_rooms=1), version=2)
    change = await cache.reload(ACME.id)
    assert change is not None
    assert change.snapshot is cache.known(ACME.id)
    assert (await cache.find("acme") or ACME).limits.max_rooms == 1


async def test_changes_in_sql_reach_the_cache_and_a_dead_database_does_not_empty_it(storage: Storage) -> None:
    cache = TenantCache(storage)
    assert await cache.find("acme") is None
    made = await storage.tenants.create(OPERATOR, "other")
    found = await cache.find("other")
    assert found is not None
    assert await cache.refresh() == []
    await storage.keys.revoke_signing_key(OPERATOR, made.tenant.id, made.kid)
    (change,) = await cache.refresh()
    assert change.snapshot is not None
    assert change.snapshot.signing_keys == {}
    await storage.tenants.delete(OPERATOR, "other")
    assert [change.snapshot for change in await cache.refresh()] == [None]


async def test_known_tenants_outlive_their_database(postgres_server: PostgresServer, sealer: Sealer) -> None:
    url = postgres_server.create_database()
    await anyio.to_thread.run_sync(upgrade_database, url)
    storage = await Storage.open(url, sealer)
    made = await storage.tenants.create(OPERATOR, "acme")
    cache = TenantCache(storage)
    await cache.find("acme")
    postgres_server.stop()
    assert await cache.refresh() == []
    assert cache.failed_refreshes == 1
    assert cache.known(made.tenant.id) is await cache.find("acme") is not None
    with pytest.raises(Unavailable):
        await cache.find("other")
    postgres_server.start()
    await storage.tenants.set_state(OPERATOR, made.tenant.id, "suspended")
    (change,) = await cache.refresh()
    assert change.snapshot is not None
    assert not change.snapshot.active
    await storage.close()
