import pytest

from service.protocol.errors import Invalid, NotFound, TooMany
from service.tenants import revocations
from service.tenants.audit import OPERATOR, Actor
from service.tenants.records import Revocation
from service.tenants.rows import unix_time_ms
from service.tenants.snapshot import TenantSnapshot
from service.tenants.storage import Storage
from service.tenants.tables import RevocationRow
from tests.tenants.clock import Clock

pytestmark = pytest.mark.anyio

AHEAD_MS = unix_time_ms() + 3_600_000


async def make(storage: Storage, name: str = "acme") -> str:
    return (await storage.tenants.create(OPERATOR, name)).tenant.id


async def snapshot_of(storage: Storage, tenant_id: str) -> TenantSnapshot:
    snapshot = await storage.find_tenant_by_id(tenant_id)
    assert snapshot is not None
    return snapshot


async def test_revoked_users_and_tokens_are_in_the_snapshot_of_their_tenant(storage: Storage) -> None:
    acme, other = await make(storage), await make(storage, "other")
    assert await storage.revocations.add(OPERATOR, acme, user="alice", until_at_ms=AHEAD_MS) == Revocation(
        "alice", None, AHEAD_MS
    )
    assert await storage.revocations.add(OPERATOR, acme, jti="alice", until_at_ms=AHEAD_MS + 1) == Revocation(
        None, "alice", AHEAD_MS + 1
    )
    snapshot = await snapshot_of(storage, acme)
    assert snapshot.revoked_users == {"alice": AHEAD_MS}
    assert snapshot.revoked_jtis == {"alice": AHEAD_MS + 1}
    assert snapshot.version == 3
    untouched = await snapshot_of(storage, other)
    assert (untouched.revoked_users, untouched.revoked_jtis, untouched.version) == ({}, {}, 1)


async def test_said_again_the_later_end_counts(storage: Storage) -> None:
    acme = await make(storage)
    for until_at_ms in (AHEAD_MS, AHEAD_MS - 1_000, AHEAD_MS):
        revocation = await storage.revocations.add(OPERATOR, acme, user="alice", until_at_ms=until_at_ms)
        assert revocation.until_at_ms == AHEAD_MS
    assert (await snapshot_of(storage, acme)).version == 2
    await storage.revocations.add(Actor("api_key", "k1"), acme, user="alice", until_at_ms=AHEAD_MS + 5)
    snapshot = await snapshot_of(storage, acme)
    assert (snapshot.version, snapshot.revoked_users) == (3, {"alice": AHEAD_MS + 5})
    (entry,) = await storage.audit.page(acme, None, 1, None, None)
    assert (entry.actor_kind, entry.actor_id, entry.action, entry.subject) == (
        "api_key",
        "k1",
        "revocation.add",
        "alice",
    )
    assert entry.before == {"kind": "user", "until_at_ms": AHEAD_MS}
    assert entry.after == {"kind": "user", "until_at_ms": AHEAD_MS + 5}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"user": "alice", "jti": "t1"},
        {"user": ""},
        {"user": "a/b"},
        {"user": "a\0"},
        {"user": "\ud800"},
        {"user": "x" * 129},
        {"jti": ""},
        {"jti": "t\0"},
        {"jti": "x" * 257},
        {"jti": "\udfff"},
    ],
)
async def test_it_names_exactly_one_user_or_token(storage: Storage, wrong: dict[str, str]) -> None:
    acme = await make(storage)
    with pytest.raises(Invalid):
        await storage.revocations.add(OPERATOR, acme, until_at_ms=AHEAD_MS, **wrong)
    assert (await snapshot_of(storage, acme)).version == 1


@pytest.mark.parametrize("until_at_ms", [-1, 0, 1_795_530_000, 2**53, 2**64])
async def test_its_end_lies_ahead_in_milliseconds(storage: Storage, until_at_ms: int) -> None:
    acme = await make(storage)
    with pytest.raises(Invalid) as refused:
        await storage.revocations.add(OPERATOR, acme, user="alice", until_at_ms=until_at_ms)
    assert refused.value.path == "$.until_at_ms"


async def test_the_longest_names_fit(storage: Storage) -> None:
    acme = await make(storage)
    await storage.revocations.add(OPERATOR, acme, user="ä" * 128, until_at_ms=AHEAD_MS)
    await storage.revocations.add(OPERATOR, acme, jti="𝄞" * 256, until_at_ms=2**53 - 1)
    assert (await snapshot_of(storage, acme)).revoked_jtis == {"𝄞" * 256: 2**53 - 1}


async def test_ended_ones_are_forgotten_and_make_room(
    storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "MAX_REVOCATIONS", 3)
    acme, other = await make(storage), await make(storage, "other")
    await storage.revocations.add(OPERATOR, other, user="alice", until_at_ms=clock.now_ms + 1)
    for number in range(3):
        await storage.revocations.add(OPERATOR, acme, jti=f"t{number}", until_at_ms=clock.now_ms + 1_000 + number)
    with pytest.raises(TooMany) as refused:
        await storage.revocations.add(OPERATOR, acme, user="alice", until_at_ms=clock.now_ms + 5_000)
    assert (refused.value.limit, refused.value.scope) == ("max_revocations", "tenant")
    # One that is there already may last longer.
    await storage.revocations.add(OPERATOR, acme, jti="t2", until_at_ms=clock.now_ms + 5_000)
    clock.now_ms += 1_001
    assert (await snapshot_of(storage, acme)).revoked_jtis.keys() == {"t2"}
    await storage.revocations.add(OPERATOR, acme, user="alice", until_at_ms=clock.now_ms + 5_000)
    async with storage.transactions.read() as session:
        rows = await session.scalars(RevocationRow.__table__.select().with_only_columns(RevocationRow.subject))
        assert sorted(rows) == ["alice", "alice", "t2"]


async def test_a_deleted_tenant_takes_its_revocations_along(storage: Storage) -> None:
    acme = await make(storage)
    await storage.revocations.add(OPERATOR, acme, user="alice", until_at_ms=AHEAD_MS)
    await storage.tenants.delete(OPERATOR, "acme")
    with pytest.raises(NotFound):
        await storage.revocations.add(OPERATOR, acme, user="alice", until_at_ms=AHEAD_MS)
    assert (await snapshot_of(storage, await make(storage))).revoked_users == {}
