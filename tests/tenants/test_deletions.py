import anyio
import pytest

from service.protocol.errors import NotFound
from service.tenants.audit import OPERATOR
from service.tenants.room_types import RoomType
from service.tenants.storage import Storage
from tests.tenants.clock import Clock

pytestmark = pytest.mark.anyio


async def test_a_deletion_waits_from_the_moment_the_tenant_is_gone_until_it_is_finished(
    storage: Storage, clock: Clock
) -> None:
    made = await storage.tenants.create(OPERATOR, "acme")
    await storage.tenants.create(OPERATOR, "other")
    assert await storage.deletions.pending() == []
    deletion = await storage.tenants.delete(OPERATOR, "acme")
    assert (deletion.tenant_id, deletion.name, deletion.asked_at_ms) == (made.tenant.id, "acme", clock.now_ms)
    assert (deletion.removed_keys, deletion.claimed_by, deletion.done_at_ms) == (0, None, None)
    assert await storage.deletions.pending() == [deletion]
    assert await storage.deletions.find("acme") == deletion
    assert await storage.deletions.claim(made.tenant.id, "n1", clock.now_ms + 1_000)
    await storage.deletions.note_progress(made.tenant.id, 700)
    await storage.deletions.note_progress(made.tenant.id, 30)
    (pending,) = await storage.deletions.pending()
    assert (pending.removed_keys, pending.claimed_by, pending.claimed_until_ms) == (730, "n1", clock.now_ms + 1_000)
    await storage.deletions.finish(made.tenant.id)
    await storage.deletions.finish(made.tenant.id)
    assert await storage.deletions.pending() == []
    found = await storage.deletions.find("acme")
    assert found is not None
    assert (found.done_at_ms, found.removed_keys) == (clock.now_ms, 730)
    assert not await storage.deletions.claim(made.tenant.id, "n1", clock.now_ms + 1_000)
    entries = await storage.audit.page(made.tenant.id, None, 2, None, None)
    assert [(entry.action, entry.actor_kind, entry.after) for entry in entries] == [
        ("tenant.purge", "system", {"removed_keys": 730, "node": "n1"}),
        ("tenant.delete", "operator", None),
    ]


async def test_one_node_has_it_until_its_claim_runs_out(storage: Storage, clock: Clock) -> None:
    tenant_id = (await storage.tenants.create(OPERATOR, "acme")).tenant.id
    await storage.tenants.delete(OPERATOR, "acme")
    got: list[str] = []

    async def claim(node: str) -> None:
        if await storage.deletions.claim(tenant_id, node, clock.now_ms + 1_000):
            got.append(node)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(claim, f"n{number}")
    assert len(got) == 1
    assert await storage.deletions.claim(tenant_id, got[0], clock.now_ms + 2_000)
    clock.now_ms += 1_999
    assert not await storage.deletions.claim(tenant_id, "another", clock.now_ms + 1_000)
    clock.now_ms += 1
    assert await storage.deletions.claim(tenant_id, "another", clock.now_ms + 1_000)
    assert not await storage.deletions.claim(tenant_id, got[0], clock.now_ms + 1_000)


async def test_a_name_made_again_is_another_tenant_and_may_be_deleted_again(storage: Storage, clock: Clock) -> None:
    first = (await storage.tenants.create(OPERATOR, "acme")).tenant.id
    await storage.room_types.put(OPERATOR, first, "chat", RoomType())
    await storage.tenants.delete(OPERATOR, "acme")
    clock.now_ms += 1
    second = (await storage.tenants.create(OPERATOR, "acme")).tenant
    assert second.id != first
    assert await storage.room_types.page(second.id, "", 10) == []
    assert [entry.tenant_id for entry in await storage.audit.page(second.id, None, 10, None, None)] == [second.id] * 3
    await storage.tenants.delete(OPERATOR, "acme")
    assert [each.tenant_id for each in await storage.deletions.pending()] == [first, second.id]
    latest = await storage.deletions.find("acme")
    assert latest is not None
    assert latest.tenant_id == second.id
    with pytest.raises(NotFound):
        await storage.deletions.finish("gone")
    assert not await storage.deletions.claim("gone", "n1", 1)
