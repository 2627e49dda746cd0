import anyio
import pytest

from service.protocol.errors import Conflict, Invalid, NotFound
from service.tenants.audit import OPERATOR
from service.tenants.limits import Limits
from service.tenants.storage import Storage

pytestmark = pytest.mark.anyio


async def test_tenants_are_paged_by_name_and_by_what_they_begin_with(storage: Storage) -> None:
    for name in ("b1", "a", "b3", "c", "b2", "b-4"):
        await storage.tenants.create(OPERATOR, name)
    names = [tenant.name for tenant in await storage.tenants.page("", 10)]
    assert sorted(names) == ["a", "b-4", "b1", "b2", "b3", "c"]
    paged: list[str] = []
    while page := await storage.tenants.page(paged[-1] if paged else "", 2):
        paged += [tenant.name for tenant in page]
    assert paged == names
    assert {tenant.name for tenant in await storage.tenants.page("", 10, "b")} == {"b1", "b2", "b3", "b-4"}
    assert [tenant.name for tenant in await storage.tenants.page("b1", 1, "b")] == ["b2"]
    # `_` and `%` mean nothing, capitals are others, also on SQLite.
    for prefix in ("B", "_", "%", "b%", "\0", "\ud800", "x" * 200):
        assert await storage.tenants.page("", 10, prefix) == []


@pytest.mark.parametrize("after", ["\0", "a\0", "\ud800"])
async def test_a_cursor_that_no_page_gave_is_invalid(storage: Storage, after: str) -> None:
    tenant_id = (await storage.tenants.create(OPERATOR, "acme")).tenant.id
    with pytest.raises(Invalid):
        await storage.tenants.page(after, 10)
    with pytest.raises(Invalid):
        await storage.room_types.page(tenant_id, after, 10)
    with pytest.raises(Invalid):
        await storage.keys.page_signing_keys(tenant_id, after, 10)
    with pytest.raises(Invalid):
        await storage.keys.page_api_keys(tenant_id, after, 10)


@pytest.mark.parametrize("name", ["gone", "Acme", "\u0430cme", "acme\0", "\ud800", "a" * 64])
async def test_a_name_that_no_tenant_has_is_not_found(storage: Storage, name: str) -> None:
    tenant_id = (await storage.tenants.create(OPERATOR, "acme")).tenant.id
    assert await storage.find_tenant(name) is None
    assert await storage.deletions.find(name) is None
    with pytest.raises(NotFound):
        await storage.tenants.read(name)
    with pytest.raises(NotFound):
        await storage.tenants.delete(OPERATOR, name)
    for refuse in (
        storage.room_types.read(tenant_id, name),
        storage.room_types.delete(OPERATOR, tenant_id, name),
        storage.keys.revoke_api_key(OPERATOR, tenant_id, name),
        storage.keys.revoke_signing_key(OPERATOR, tenant_id, name),
    ):
        with pytest.raises(NotFound):
            await refuse


async def test_a_change_leaves_alone_what_it_does_not_name(storage: Storage) -> None:
    made = await storage.tenants.create(OPERATOR, "acme", Limits(max_rooms=7), ["https://a.example"])
    changed = await storage.tenants.change(OPERATOR, made.tenant.id, limit_changes={"max_connections": None})
    assert changed.limits == Limits(max_rooms=7, max_connections=None)
    assert changed.origins == ("https://a.example",)
    changed = await storage.tenants.change(OPERATOR, made.tenant.id, origins=[])
    assert (changed.limits, changed.origins) == (Limits(max_rooms=7, max_connections=None), ())
    assert changed == await storage.tenants.read("acme")
    changed = await storage.tenants.change(OPERATOR, made.tenant.id, limits=Limits())
    assert changed.limits == Limits()


async def test_a_change_that_changes_nothing_raises_no_version_and_is_not_in_the_audit(storage: Storage) -> None:
    made = await storage.tenants.create(OPERATOR, "acme", Limits(max_rooms=7), ["https://a.example"])
    before = await storage.audit.page(None, None, 100, None, None)
    tenant_id = made.tenant.id
    await storage.tenants.change(OPERATOR, tenant_id)
    await storage.tenants.change(OPERATOR, tenant_id, limits=Limits(max_rooms=7), origins=["https://a.example"])
    await storage.tenants.change(OPERATOR, tenant_id, limit_changes={"max_rooms": 7})
    await storage.tenants.set_state(OPERATOR, tenant_id, "active")
    with pytest.raises(Invalid):
        await storage.tenants.change(
            OPERATOR, tenant_id, origins=["https://b.example"], limit_changes={"max_rooms": -1}
        )
    assert await storage.tenants.read("acme") == made.tenant
    assert await storage.audit.page(None, None, 100, None, None) == before


@pytest.mark.parametrize(
    "changes", [{"max_roms": 5}, {"max_rooms": -1}, {"publishes_per_second": 0}, {"max_rooms": 2**53}]
)
async def test_a_limit_that_is_none_is_refused(storage: Storage, changes: dict[str, int | None]) -> None:
    made = await storage.tenants.create(OPERATOR, "acme")
    with pytest.raises(Invalid) as refused:
        await storage.tenants.change(OPERATOR, made.tenant.id, limit_changes=changes)
    assert refused.value.path == f"$.limits.{next(iter(changes))}"
    assert await storage.tenants.read("acme") == made.tenant


@pytest.mark.parametrize(
    "origin", ["https://app.example.com/", "https://\0", "https://a\ud800", "https://ex\u0430mple.com", "https://a b"]
)
async def test_an_origin_that_no_browser_sends_changes_nothing(storage: Storage, origin: str) -> None:
    made = await storage.tenants.create(OPERATOR, "acme")
    for origins in ([origin], [f"https://{number}.example" for number in range(101)]):
        with pytest.raises(Invalid):
            await storage.tenants.change(OPERATOR, made.tenant.id, origins=origins)
    assert await storage.tenants.read("acme") == made.tenant


async def test_of_two_writers_at_one_version_one_gets_a_conflict(storage: Storage) -> None:
    made = await storage.tenants.create(OPERATOR, "acme")
    outcomes: list[str] = []

    async def change(number: int) -> None:
        try:
            await storage.tenants.change(OPERATOR, made.tenant.id, version=1, limit_changes={"max_rooms": number})
            outcomes.append("changed")
        except Conflict:
            outcomes.append("conflict")

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(change, number)
    assert sorted(outcomes) == ["changed"] + ["conflict"] * 4
    assert (await storage.tenants.read("acme")).version == 2
    with pytest.raises(Conflict):
        await storage.tenants.set_state(OPERATOR, made.tenant.id, "suspended", version=1)
    assert (await storage.tenants.set_state(OPERATOR, made.tenant.id, "suspended", version=2)).state == "suspended"


async def test_writers_at_once_who_change_different_limits_lose_none(storage: Storage) -> None:
    made = await storage.tenants.create(OPERATOR, "acme")
    names = ["max_rooms", "max_connections", "max_api_keys", "publishes_per_second"]

    async def change(name: str) -> None:
        await storage.tenants.change(OPERATOR, made.tenant.id, limit_changes={name: 3})

    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(change, name)
    limits = (await storage.tenants.read("acme")).limits
    assert [getattr(limits, name) for name in names] == [3, 3, 3, 3]


async def test_a_tenant_that_is_gone_is_not_found(storage: Storage) -> None:
    made = await storage.tenants.create(OPERATOR, "acme")
    await storage.tenants.delete(OPERATOR, "acme")
    with pytest.raises(NotFound):
        await storage.tenants.change(OPERATOR, made.tenant.id, origins=[])
    with pytest.raises(NotFound):
        await storage.tenants.set_state(OPERATOR, made.tenant.id, "suspended")
    with pytest.raises(NotFound):
        await storage.keys.create_api_key(OPERATOR, made.tenant.id, "late", ["read"])
