"""Contracts in SQL, on both databases."""

from typing import Any

import anyio
import pytest

from service.protocol.errors import BreakingChange, Conflict, Invalid, NotFound, TooLarge, TooMany
from service.tenants import stored_contracts
from service.tenants.audit import COMMAND_LINE, OPERATOR
from service.tenants.contract import Contract
from service.tenants.limits import Limits
from service.tenants.room_types import RoomType
from service.tenants.storage import Storage

pytestmark = pytest.mark.anyio

TEXT: dict[str, Any] = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
CHAT = RoomType(pattern="chat:*", messages={"said": TEXT}, state={"const": 1}, additional="refuse")


async def make(storage: Storage, name: str = "acme", **limits: int | None) -> str:
    return (await storage.tenants.create(OPERATOR, name, Limits(**limits))).tenant.id


def contract(version: int | None = None, **types: RoomType) -> Contract:
    return Contract(version=version, room_types=types)


async def test_a_contract_is_stored_whole_and_reaches_the_snapshot(storage: Storage) -> None:
    acme, other = await make(storage), await make(storage, "other")
    assert await storage.contracts.read(acme) == contract(0)
    answer = await storage.contracts.put(OPERATOR, acme, contract(chat=CHAT, news=RoomType()))
    assert (answer.version, [each.path for each in answer.changes]) == (1, ["$.room_types.chat", "$.room_types.news"])
    stored = contract(1, chat=CHAT, news=RoomType(pattern="news"))
    assert await storage.contracts.read(acme) == stored
    snapshot = await storage.find_tenant_by_id(acme)
    assert snapshot is not None
    assert snapshot.contract == stored
    assert snapshot.version == 2
    assert await storage.contracts.read(other) == contract(0)
    await storage.contracts.put(OPERATOR, acme, contract(chat=CHAT))
    assert await storage.contracts.read(acme) == contract(2, chat=CHAT)


async def test_the_same_again_changes_nothing_and_true_is_another_than_one(storage: Storage) -> None:
    acme = await make(storage)
    await storage.contracts.put(OPERATOR, acme, contract(chat=CHAT))
    before = await storage.audit.page(acme, None, 100, None, None)
    again = await storage.contracts.put(OPERATOR, acme, contract(1, chat=CHAT))
    assert (again.version, again.changes) == (1, [])
    assert await storage.audit.page(acme, None, 100, None, None) == before
    assert await storage.tenant_versions([acme]) == {acme: 2}
    other = RoomType(pattern="chat:*", messages={"said": TEXT}, state={"const": True}, additional="refuse")
    assert (await storage.contracts.put(OPERATOR, acme, contract(chat=other), breaking=True)).version == 2
    state = (await storage.contracts.read(acme)).room_types["chat"].state
    assert state is not None
    assert state["const"] is True


async def test_breaks_are_refused_and_leave_no_trace(storage: Storage) -> None:
    acme = await make(storage)
    await storage.contracts.put(OPERATOR, acme, contract(chat=CHAT))
    with pytest.raises(BreakingChange) as refused:
        await storage.contracts.put(OPERATOR, acme, contract())
    assert [each.path for each in refused.value.breaks] == ["$.room_types.chat"]
    assert await storage.contracts.read(acme) == contract(1, chat=CHAT)
    preview = await storage.contracts.preview(acme, contract())
    assert (preview.version, [each.breaking for each in preview.changes]) == (1, [True])
    with pytest.raises(BreakingChange):
        await storage.room_types.delete(OPERATOR, acme, "chat")
    await storage.room_types.delete(OPERATOR, acme, "chat", breaking=True)
    assert await storage.contracts.read(acme) == contract(2)


async def test_versions_are_kept_up_to_a_number(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_contracts, "KEPT_VERSIONS", 3)
    acme, other = await make(storage), await make(storage, "other")
    for most in range(1, 6):
        actor = COMMAND_LINE if most % 2 else OPERATOR
        await storage.contracts.put(actor, acme, contract(chat=RoomType(max_members=most)))
    page = await storage.contracts.page(acme, "", 100)
    assert [(each.version, each.actor_kind) for each in page] == [
        (5, "command_line"), (4, "operator"), (3, "command_line"),
    ]  # fmt: skip
    assert [each.version for each in await storage.contracts.page(acme, "5", 1)] == [4]
    assert await storage.contracts.page(other, "", 100) == []
    read = await storage.contracts.read_version(acme, 4)
    assert read == contract(4, chat=RoomType(pattern="chat", max_members=4))
    for tenant_id, version in ((acme, 2), (acme, 6), (acme, 0), (acme, 2**63), (other, 4)):
        with pytest.raises(NotFound):
            await storage.contracts.read_version(tenant_id, version)
    with pytest.raises(Invalid):
        await storage.contracts.page(acme, "five", 1)


async def test_what_two_write_at_once_is_one_after_the_other(storage: Storage) -> None:
    acme = await make(storage)
    outcomes: list[str] = []

    async def put(most: int) -> None:
        try:
            await storage.contracts.put(OPERATOR, acme, contract(0, chat=RoomType(max_members=most)))
            outcomes.append("put")
        except Conflict:
            outcomes.append("conflict")

    async with anyio.create_task_group() as group:
        for most in range(1, 4):
            group.start_soon(put, most)
    assert sorted(outcomes) == ["conflict", "conflict", "put"]
    assert (await storage.contracts.read(acme)).version == 1


async def test_types_change_their_patterns_with_each_other(storage: Storage) -> None:
    acme = await make(storage)
    one, two = RoomType(pattern="one:*"), RoomType(pattern="two:*")
    await storage.contracts.put(OPERATOR, acme, contract(a=one, b=two))
    await storage.contracts.put(OPERATOR, acme, contract(a=two, b=one))
    assert (await storage.contracts.read(acme)).room_types == {"a": two, "b": one}


async def test_a_contract_is_held_to_the_limits_and_its_schemas_are_looked_at(storage: Storage) -> None:
    acme = await make(storage, max_room_types=2, max_contract_bytes=1_000)
    with pytest.raises(TooMany):
        await storage.contracts.put(OPERATOR, acme, contract(a=RoomType(), b=RoomType(), c=RoomType()))
    large = RoomType(messages={"said": {"description": "a" * 1_000}})
    with pytest.raises(TooLarge) as refused:
        await storage.contracts.put(OPERATOR, acme, contract(a=large))
    assert refused.value.limit == "max_contract_bytes"
    with pytest.raises(TooLarge):
        await storage.room_types.put(OPERATOR, acme, "a", large)
    with pytest.raises(Invalid) as invalid:
        await storage.contracts.put(OPERATOR, acme, contract(a=RoomType(state={"type": "strin"})))
    assert invalid.value.path == "$.room_types.a.state.type"
    with pytest.raises(Invalid) as invalid:
        await storage.room_types.put(OPERATOR, acme, "a", RoomType(state={"type": "strin"}))
    assert invalid.value.path == "$.state.type"
    with pytest.raises(Invalid) as invalid:
        await storage.contracts.put(OPERATOR, acme, Contract(room_types={"no name!": RoomType()}))
    assert invalid.value.path == '$.room_types["no name!"].name'
    assert await storage.contracts.read(acme) == contract(0)


async def test_the_audit_names_schemas_and_keeps_no_copy_of_them(storage: Storage) -> None:
    acme = await make(storage)
    await storage.room_types.put(OPERATOR, acme, "chat", CHAT)
    (entry,) = await storage.audit.page(acme, None, 1, None, None)
    assert entry.after == {"pattern": "chat:*", "messages": ["said"], "state": True, "additional": "refuse"}


async def test_a_tenant_that_is_gone_takes_its_versions_along(storage: Storage) -> None:
    acme = await make(storage)
    await storage.contracts.put(OPERATOR, acme, contract(chat=CHAT))
    await storage.tenants.delete(OPERATOR, "acme")
    assert await storage.contracts.page(acme, "", 10) == []
    with pytest.raises(NotFound):
        await storage.contracts.put(OPERATOR, acme, contract())
