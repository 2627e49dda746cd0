import anyio
import pytest

from service.protocol.errors import Conflict, Invalid, NotFound, TooMany
from service.tenants.audit import OPERATOR
from service.tenants.limits import Limits
from service.tenants.room_types import RoomType
from service.tenants.snapshot import TenantSnapshot
from service.tenants.storage import Storage
from service.tenants.tables import RoomTypeRow

pytestmark = pytest.mark.anyio


async def make(storage: Storage, name: str = "acme", **limits: int | None) -> str:
    return (await storage.tenants.create(OPERATOR, name, Limits(**limits))).tenant.id


async def snapshot_of(storage: Storage, tenant_id: str) -> TenantSnapshot:
    snapshot = await storage.find_tenant_by_id(tenant_id)
    assert snapshot is not None
    return snapshot


async def test_a_type_is_put_read_replaced_and_deleted(storage: Storage) -> None:
    acme = await make(storage)
    record, created = await storage.room_types.put(OPERATOR, acme, "chat", RoomType(pattern="chat-*"))
    assert created
    assert record.room_type.pattern == "chat-*"
    assert await storage.room_types.read(acme, "chat") == record
    replaced, created = await storage.room_types.put(OPERATOR, acme, "chat", RoomType(history_messages=0))
    assert not created
    assert replaced.room_type == RoomType(pattern="chat", history_messages=0)
    await storage.room_types.delete(OPERATOR, acme, "chat")
    with pytest.raises(NotFound):
        await storage.room_types.read(acme, "chat")
    with pytest.raises(NotFound):
        await storage.room_types.delete(OPERATOR, acme, "chat")
    assert await storage.tenant_versions([acme]) == {acme: 4}
    entries = await storage.audit.page(acme, None, 3, None, None)
    assert [(entry.action, entry.subject, entry.before, entry.after) for entry in entries] == [
        ("room_type.delete", "chat", {"pattern": "chat", "history_messages": 0}, None),
        ("room_type.put", "chat", {"pattern": "chat-*"}, {"pattern": "chat", "history_messages": 0}),
        ("room_type.put", "chat", None, {"pattern": "chat-*"}),
    ]


async def test_what_is_put_is_in_the_snapshot_and_gone_from_it_when_deleted(storage: Storage) -> None:
    acme, other = await make(storage), await make(storage, "other")
    rules = RoomType(pattern="chat-*", slow_consumer="latest_by_name", max_members=5, presence_grace_seconds=1.5)
    await storage.room_types.put(OPERATOR, acme, "chat", rules)
    assert (await snapshot_of(storage, acme)).room_types.find("chat-1") == ("chat", rules)
    assert (await snapshot_of(storage, other)).room_types.find("chat-1")[0] == "default"
    await storage.room_types.delete(OPERATOR, acme, "chat")
    assert (await snapshot_of(storage, acme)).room_types.find("chat-1")[0] == "default"


async def test_the_same_type_put_again_changes_nothing(storage: Storage) -> None:
    acme = await make(storage)
    record, _ = await storage.room_types.put(OPERATOR, acme, "chat", RoomType())
    again, created = await storage.room_types.put(OPERATOR, acme, "chat", RoomType(pattern="chat", presence=True))
    assert (again, created) == (record, False)
    assert await storage.tenant_versions([acme]) == {acme: 2}


async def test_two_types_never_share_a_pattern_however_they_are_put(storage: Storage) -> None:
    acme = await make(storage)
    await storage.room_types.put(OPERATOR, acme, "one", RoomType(pattern="chat-*"))
    with pytest.raises(Conflict):
        await storage.room_types.put(OPERATOR, acme, "two", RoomType(pattern="chat-*"))
    outcomes: list[str] = []

    async def put(name: str) -> None:
        try:
            await storage.room_types.put(OPERATOR, acme, name, RoomType(pattern="news-*"))
            outcomes.append("put")
        except Conflict:
            outcomes.append("conflict")

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(put, f"news{number}")
    assert sorted(outcomes) == ["conflict"] * 3 + ["put"]
    # Another tenant has its own.
    await storage.room_types.put(OPERATOR, await make(storage, "other"), "two", RoomType(pattern="chat-*"))


async def test_a_type_that_cannot_be_is_refused_and_nothing_is_changed(storage: Storage) -> None:
    acme = await make(storage, max_history_messages=50)
    for name, room_type in (
        ("chat", RoomType(history_messages=51)),
        ("", RoomType()),
        ("a b", RoomType(pattern="chat")),
        ("\u0441hat", RoomType(pattern="chat")),
        ("x" * 65, RoomType(pattern="chat")),
        ("chat", RoomType(pattern="a/b")),
        ("chat", RoomType(pattern="x" * 202)),
    ):
        with pytest.raises(Invalid):
            await storage.room_types.put(OPERATOR, acme, name, room_type)
    assert await storage.room_types.page(acme, "", 10) == []
    assert await storage.tenant_versions([acme]) == {acme: 1}


async def test_a_type_over_the_limit_is_refused_and_a_known_one_may_still_be_replaced(storage: Storage) -> None:
    acme = await make(storage, max_room_types=2)
    for name in ("one", "two"):
        await storage.room_types.put(OPERATOR, acme, name, RoomType())
    with pytest.raises(TooMany) as refused:
        await storage.room_types.put(OPERATOR, acme, "three", RoomType())
    assert (refused.value.limit, refused.value.scope) == ("max_room_types", "tenant")
    await storage.room_types.put(OPERATOR, acme, "two", RoomType(presence=False))
    await storage.room_types.delete(OPERATOR, acme, "one")
    await storage.room_types.put(OPERATOR, acme, "three", RoomType())


async def test_a_type_that_only_the_next_version_knows_leaves_the_others_alone(storage: Storage) -> None:
    acme = await make(storage)
    await storage.room_types.put(OPERATOR, acme, "chat", RoomType(history_messages=0))
    for name, rules in (("new", {"slow_consumer": "teleport"}), ("newer", {"history_messages": 5, "colour": "red"})):
        async with storage.transactions.change(OPERATOR, acme) as change:
            row = RoomTypeRow(tenant_id=acme, name=name, pattern=name, rules=rules | {"pattern": name}, changed_at_ms=1)
            change.session.add(row)
    types = (await snapshot_of(storage, acme)).room_types
    assert set(types.types) == {"chat", "newer"}
    assert types.find("newer")[1].history_messages == 5
    await storage.room_types.put(OPERATOR, acme, "chat", RoomType(history_messages=1))


async def test_types_are_paged_by_name_and_by_tenant(storage: Storage) -> None:
    acme, other = await make(storage), await make(storage, "other")
    for name in ("b", "a", "c"):
        await storage.room_types.put(OPERATOR, acme, name, RoomType())
    await storage.room_types.put(OPERATOR, other, "d", RoomType())
    assert [record.name for record in await storage.room_types.page(acme, "", 2)] == ["a", "b"]
    assert [record.name for record in await storage.room_types.page(acme, "b", 2)] == ["c"]
    with pytest.raises(NotFound):
        await storage.room_types.read(other, "a")
    with pytest.raises(NotFound):
        await storage.room_types.delete(OPERATOR, other, "a")
