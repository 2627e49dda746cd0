import json

import msgspec
import pytest
import structlog
from sqlalchemy import func, select

from service.protocol.errors import Conflict, Invalid, NotFound, TooMany
from service.tenants import transactions
from service.tenants.audit import OPERATOR, Actor
from service.tenants.limits import Limits
from service.tenants.room_types import RoomType
from service.tenants.rows import unix_time_ms
from service.tenants.storage import Storage
from service.tenants.tables import AuditRow
from tests.tenants.clock import Clock

pytestmark = pytest.mark.anyio

SERVER = Actor("api_key", "k00000000001")
AHEAD_MS = unix_time_ms() + 3_600_000


async def write_everything(storage: Storage) -> tuple[str, list[str]]:
    """Every kind of write once; gives the tenant's id and all secrets that were shown."""
    made = await storage.tenants.create(OPERATOR, "acme", Limits(max_rooms=7))
    acme = made.tenant.id
    await storage.tenants.change(OPERATOR, acme, limit_changes={"max_rooms": 8}, origins=["https://a.example"])
    signing, secret = await storage.keys.create_signing_key(SERVER, acme, "HS256", name="second")
    api, text = await storage.keys.create_api_key(SERVER, acme, "reader", ["read"], AHEAD_MS)
    await storage.keys.revoke_signing_key(SERVER, acme, signing.kid)
    await storage.keys.revoke_api_key(SERVER, acme, api.key_id)
    await storage.room_types.put(SERVER, acme, "chat", RoomType())
    await storage.room_types.delete(SERVER, acme, "chat")
    await storage.revocations.add(SERVER, acme, user="alice", until_at_ms=AHEAD_MS)
    await storage.tenants.set_state(Actor("command_line"), acme, "suspended")
    await storage.tenants.set_state(Actor("command_line"), acme, "active")
    await storage.tenants.delete(OPERATOR, "acme")
    await storage.deletions.finish(acme)
    return acme, [made.secret, made.api_key, secret or "", text]


ACTIONS = [
    "tenant.create",
    "signing_key.create",
    "api_key.create",
    "tenant.change",
    "signing_key.create",
    "api_key.create",
    "signing_key.revoke",
    "api_key.revoke",
    "room_type.put",
    "room_type.delete",
    "revocation.add",
    "tenant.suspend",
    "tenant.resume",
    "tenant.delete",
    "tenant.purge",
]


async def test_every_write_is_told_with_its_actor_and_outlives_its_tenant(storage: Storage) -> None:
    acme, _ = await write_everything(storage)
    entries = (await storage.audit.page(acme, None, 100, None, None))[::-1]
    assert [entry.action for entry in entries] == ACTIONS
    assert {(entry.tenant_id, entry.tenant) for entry in entries} == {(acme, "acme")}
    assert [entry.actor_kind for entry in entries] == [
        *["operator"] * 4,
        *["api_key"] * 7,
        *["command_line"] * 2,
        "operator",
        "system",
    ]
    assert {entry.actor_id for entry in entries} == {"", "k00000000001"}
    changed = entries[3]
    assert changed.before == {"limits": {"max_rooms": 7}, "origins": []}
    assert changed.after == {"limits": {"max_rooms": 8}, "origins": ["https://a.example"]}
    assert entries[0].after == {"state": "active", "limits": {"max_rooms": 7}, "origins": []}
    assert (entries[11].before, entries[11].after) == ({"state": "active"}, {"state": "suspended"})
    assert entries[5].after == {"name": "reader", "scopes": ["read"], "expires_at_ms": AHEAD_MS}


async def test_no_secret_is_in_it(storage: Storage) -> None:
    _, secrets = await write_everything(storage)
    text = msgspec.json.encode(await storage.audit.page(None, None, 100, None, None)).decode()
    assert not [secret for secret in secrets if secret in text or secret.rpartition("_")[2] in text]


async def test_each_is_a_log_line_after_its_commit_and_a_refused_write_is_none(storage: Storage) -> None:
    with structlog.testing.capture_logs() as lines:
        acme, secrets = await write_everything(storage)
    assert [line["action"] for line in lines] == ACTIONS
    assert {line["event"] for line in lines} == {"audit"}
    assert {(line["tenant"], line["tenant_id"]) for line in lines} == {("acme", acme)}
    assert lines[3]["after"] == {"limits": {"max_rooms": 8}, "origins": ["https://a.example"]}
    assert not [secret for secret in secrets if secret in json.dumps(lines)]
    made = await storage.tenants.create(OPERATOR, "acme", Limits(max_api_keys=1))
    written = await storage.audit.page(None, None, 100, None, None)
    with structlog.testing.capture_logs() as lines:
        with pytest.raises(Conflict):
            await storage.tenants.create(OPERATOR, "acme")
        with pytest.raises(Conflict):
            await storage.tenants.change(OPERATOR, made.tenant.id, version=9, origins=["https://a.example"])
        with pytest.raises(Invalid):
            await storage.keys.create_api_key(OPERATOR, made.tenant.id, "key", ["everything"])
        with pytest.raises(TooMany):
            await storage.keys.create_api_key(OPERATOR, made.tenant.id, "key", ["read"])
        with pytest.raises(NotFound):
            await storage.tenants.delete(OPERATOR, "gone")
    assert lines == []
    assert await storage.audit.page(None, None, 100, None, None) == written


async def test_it_is_paged_newest_first_by_tenant_and_time(storage: Storage, clock: Clock) -> None:
    started_ms = clock.now_ms
    acme = (await storage.tenants.create(OPERATOR, "acme")).tenant.id
    await storage.tenants.create(OPERATOR, "other")
    for number in range(4):
        clock.now_ms = started_ms + 1_000 + number
        await storage.tenants.change(OPERATOR, acme, limit_changes={"max_rooms": number})
    everything = await storage.audit.page(None, None, 100, None, None)
    assert [entry.id for entry in everything] == sorted((entry.id for entry in everything), reverse=True)
    assert len(everything) == 10
    mine = await storage.audit.page(acme, None, 100, None, None)
    assert len(mine) == 7
    paged: list[int] = []
    while page := await storage.audit.page(acme, paged[-1] if paged else None, 2, None, None):
        paged += [entry.id for entry in page]
    assert paged == [entry.id for entry in mine]
    some = await storage.audit.page(acme, None, 100, started_ms + 1_001, started_ms + 1_003)
    assert [entry.at_ms for entry in some] == [started_ms + 1_002, started_ms + 1_001]
    assert await storage.audit.page(acme, 2**80, 1, -5, 2**60) == mine[:1]
    assert await storage.audit.page("gone", None, 100, None, None) == []


async def test_rows_end_with_the_retention_and_their_ids_are_not_used_again(
    storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "_PRUNED_WITH_A_WRITE", 2)
    acme = (await storage.tenants.create(OPERATOR, "acme")).tenant.id
    (newest, *_) = await storage.audit.page(None, None, 1, None, None)
    clock.now_ms += 365 * 86_400_000 + 1
    assert await storage.audit.page(None, None, 100, None, None) == []
    for number in range(3):
        await storage.tenants.change(OPERATOR, acme, limit_changes={"max_rooms": number})
    async with storage.transactions.read() as session:
        assert await session.scalar(select(func.count()).select_from(AuditRow)) == 3
    assert [entry.id for entry in await storage.audit.page(acme, None, 100, None, None)] == [
        newest.id + 3,
        newest.id + 2,
        newest.id + 1,
    ]
