import sqlite3
from pathlib import Path

import anyio
import pytest
from joserfc.jwk import ECKey, OKPKey

from service.protocol.errors import Conflict, Invalid, NotFound, RoomcastError, Unavailable
from service.tenants.audit import OPERATOR
from service.tenants.keys import Sealer, SealingKeyError, hash_api_key
from service.tenants.limits import Limits
from service.tenants.rows import unix_time_ms
from service.tenants.snapshot import SCOPES, TenantSnapshot
from service.tenants.storage import NotMigrated, Storage, upgrade_database
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.anyio

IN_A_DAY_MS = unix_time_ms() + 86_400_000


async def find(storage: Storage, name: str) -> TenantSnapshot:
    snapshot = await storage.find_tenant(name)
    assert snapshot is not None
    return snapshot


async def test_a_new_tenant_has_a_signing_key_and_an_api_key_with_all_scopes(storage: Storage) -> None:
    made = await storage.tenants.create(OPERATOR, "acme", Limits(max_rooms=7), ["https://app.example.com"])
    snapshot = await find(storage, "acme")
    assert (snapshot.id, snapshot.name, snapshot.active, snapshot.version) == (made.tenant.id, "acme", True, 1)
    assert snapshot.limits == Limits(max_rooms=7)
    assert snapshot.origins == ("https://app.example.com",)
    assert snapshot.signing_keys[made.kid].key.get_op_key("verify") == made.secret.encode()
    assert len(made.secret) >= 43
    (api_key,) = snapshot.api_keys.values()
    assert api_key.hash == hash_api_key(made.api_key)
    assert api_key.scopes == SCOPES
    by_id = await storage.find_tenant_by_id(made.tenant.id)
    assert by_id is not None
    assert by_id.name == "acme"


async def test_the_database_holds_no_secret_in_the_clear(tmp_path: Path, sealer: Sealer) -> None:
    url = f"sqlite:///{tmp_path / 'roomcast.db'}"
    await anyio.to_thread.run_sync(upgrade_database, url)
    storage = await Storage.open(url, sealer)
    made = await storage.tenants.create(OPERATOR, "acme")
    await storage.close()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"acme" in files
    assert made.secret.encode() not in files
    assert made.api_key.rpartition("_")[2].encode() not in files


async def test_a_name_is_taken_once(storage: Storage) -> None:
    await storage.tenants.create(OPERATOR, "acme")
    with pytest.raises(Conflict):
        await storage.tenants.create(OPERATOR, "acme")
    assert [tenant.name for tenant in await storage.tenants.page("", 10)] == ["acme"]


async def test_of_two_at_once_one_gets_the_name(storage: Storage) -> None:
    outcomes: list[str] = []

    async def create() -> None:
        try:
            await storage.tenants.create(OPERATOR, "acme")
            outcomes.append("made")
        except Conflict:
            outcomes.append("conflict")

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(create)
    assert sorted(outcomes) == ["conflict"] * 4 + ["made"]


@pytest.mark.parametrize("name", ["", "Acme", "-a", "a_b", "acme\n", "a" * 64, "ä"])
async def test_a_bad_name_is_refused(storage: Storage, name: str) -> None:
    with pytest.raises(Invalid):
        await storage.tenants.create(OPERATOR, name)


@pytest.mark.parametrize(
    "origin", ["app.example.com", "https://app.example.com/", "https://App.example.com", "https://"]
)
async def test_an_origin_that_no_browser_sends_is_refused(storage: Storage, origin: str) -> None:
    with pytest.raises(Invalid):
        await storage.tenants.create(OPERATOR, "acme", origins=[origin])
    assert await storage.find_tenant("acme") is None


async def test_a_deleted_tenant_is_gone_with_its_keys_and_its_name_is_free_for_another_id(storage: Storage) -> None:
    first = await storage.tenants.create(OPERATOR, "acme")
    assert (await storage.tenants.delete(OPERATOR, "acme")).tenant_id == first.tenant.id
    assert await storage.find_tenant("acme") is None
    assert await storage.find_tenant_by_id(first.tenant.id) is None
    with pytest.raises(NotFound):
        await storage.tenants.delete(OPERATOR, "acme")
    with pytest.raises(NotFound):
        await storage.keys.revoke_signing_key(OPERATOR, first.tenant.id, first.kid)
    second = await storage.tenants.create(OPERATOR, "acme")
    assert second.tenant.id != first.tenant.id
    assert set((await find(storage, "acme")).signing_keys) == {second.kid}


async def test_every_change_raises_the_version_of_its_tenant_alone(storage: Storage) -> None:
    acme = (await storage.tenants.create(OPERATOR, "acme")).tenant.id
    other = (await storage.tenants.create(OPERATOR, "other")).tenant.id
    key, _ = await storage.keys.create_api_key(OPERATOR, acme, "reader", ["read"])
    signing, _ = await storage.keys.create_signing_key(OPERATOR, acme, "HS256")
    await storage.keys.revoke_api_key(OPERATOR, acme, key.key_id)
    await storage.keys.revoke_signing_key(OPERATOR, acme, signing.kid)
    await storage.tenants.set_state(OPERATOR, acme, "suspended")
    await storage.tenants.change(OPERATOR, acme, limits=Limits(max_connections=None))
    await storage.tenants.change(OPERATOR, acme, origins=["https://a.example"])
    assert await storage.tenant_versions([acme, other, "gone"]) == {acme: 8, other: 1}
    snapshot = await find(storage, "acme")
    assert (snapshot.version, snapshot.active, snapshot.limits.max_connections) == (8, False, None)
    assert snapshot.origins == ("https://a.example",)


async def test_changes_at_once_are_all_counted(storage: Storage) -> None:
    acme = (await storage.tenants.create(OPERATOR, "acme")).tenant.id
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(storage.keys.create_api_key, OPERATOR, acme, "reader", ["read"])
    assert await storage.tenant_versions([acme]) == {acme: 11}
    assert len((await find(storage, "acme")).api_keys) == 11


async def test_one_tenant_cannot_revoke_another_ones_keys(storage: Storage) -> None:
    acme = await storage.tenants.create(OPERATOR, "acme")
    other = await storage.tenants.create(OPERATOR, "other")
    (theirs,) = (await find(storage, "other")).api_keys
    with pytest.raises(NotFound):
        await storage.keys.revoke_api_key(OPERATOR, acme.tenant.id, theirs)
    with pytest.raises(NotFound):
        await storage.keys.revoke_signing_key(OPERATOR, acme.tenant.id, other.kid)
    assert set((await find(storage, "other")).api_keys) == {theirs}
    assert await storage.tenant_versions([acme.tenant.id]) == {acme.tenant.id: 1}


async def test_two_tenants_may_use_the_same_kid(storage: Storage) -> None:
    for name in ("acme", "other"):
        made = await storage.tenants.create(OPERATOR, name)
        await storage.keys.create_signing_key(OPERATOR, made.tenant.id, "HS256", name.encode() * 32, kid="main")
        with pytest.raises(Conflict):
            await storage.keys.create_signing_key(OPERATOR, made.tenant.id, "HS256", kid="main")
    keys = [(await find(storage, name)).signing_keys["main"] for name in ("acme", "other")]
    assert [key.key.get_op_key("verify") for key in keys] == [b"acme" * 32, b"other" * 32]


async def test_public_keys_are_stored_under_their_algorithm(storage: Storage) -> None:
    acme = (await storage.tenants.create(OPERATOR, "acme")).tenant.id
    elliptic, edwards = ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")
    first, none = await storage.keys.create_signing_key(OPERATOR, acme, "ES256", elliptic.as_pem(private=False))
    second, _ = await storage.keys.create_signing_key(
        OPERATOR, acme, "Ed25519", edwards.as_pem(private=False), expires_at_ms=IN_A_DAY_MS
    )
    keys = (await find(storage, "acme")).signing_keys
    assert none is None
    assert (keys[first.kid].algorithm, keys[first.kid].key.thumbprint()) == ("ES256", elliptic.thumbprint())
    assert (keys[second.kid].algorithm, keys[second.kid].expires_at_ms) == ("EdDSA", IN_A_DAY_MS)
    for algorithm, material in (("EdDSA", elliptic.as_pem(private=False)), ("ES256", None), ("RS256", b"x" * 64)):
        with pytest.raises(Invalid):
            await storage.keys.create_signing_key(OPERATOR, acme, algorithm, material)


async def test_a_key_needs_known_scopes(storage: Storage) -> None:
    acme = (await storage.tenants.create(OPERATOR, "acme")).tenant.id
    for scopes in ([], ["read", "write"]):
        with pytest.raises(Invalid):
            await storage.keys.create_api_key(OPERATOR, acme, "bad", scopes)
    record, text = await storage.keys.create_api_key(OPERATOR, acme, "reader", ["read"], expires_at_ms=IN_A_DAY_MS)
    key = (await find(storage, "acme")).api_keys[record.key_id]
    assert (key.hash, key.scopes, key.expires_at_ms) == (hash_api_key(text), frozenset({"read"}), IN_A_DAY_MS)


async def test_another_sealing_key_is_found_at_start(storage: Storage, database_url: str) -> None:
    with pytest.raises(SealingKeyError, match="not the sealing key"):
        await Storage.open(database_url, Sealer(b"\1" * 32))
    again = await Storage.open(database_url, Sealer(bytes(range(32))))
    assert again.database_id() == storage.database_id() != ""
    await again.close()


async def test_first_starts_at_once_agree_on_one_sealing_key(database_url: str) -> None:
    outcomes: list[str] = []

    async def start(number: int) -> None:
        try:
            opened = await Storage.open(database_url, Sealer(bytes([number]) * 32))
            await opened.close()
            outcomes.append("open")
        except SealingKeyError:
            outcomes.append("refused")

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(start, number)
    assert sorted(outcomes) == ["open", "refused", "refused", "refused"]


async def test_a_database_without_tables_says_what_to_do(empty_database_url: str, sealer: Sealer) -> None:
    with pytest.raises(NotMigrated, match="roomcast db upgrade"):
        await Storage.open(empty_database_url, sealer)


async def test_a_database_that_cannot_be_opened_is_unavailable(sealer: Sealer, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database" * 100)
    for url in (
        f"postgresql://postgres@/x?host={tmp_path}",
        f"sqlite:///{tmp_path}/no/such/folder/x.db",
        f"sqlite:///{tmp_path}/text.db",
    ):
        with pytest.raises(Unavailable):
            await Storage.open(url, sealer)


async def test_a_locked_sqlite_is_unavailable_for_changes_and_readable(sealer: Sealer, tmp_path: Path) -> None:
    path = tmp_path / "roomcast.db"
    await anyio.to_thread.run_sync(upgrade_database, f"sqlite:///{path}")
    storage = await Storage.open(f"sqlite:///{path}", sealer)
    await storage.tenants.create(OPERATOR, "acme")
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable):
        await storage.tenants.create(OPERATOR, "other")
    assert (await find(storage, "acme")).name == "acme"
    locker.execute("ROLLBACK")
    locker.close()
    await storage.tenants.create(OPERATOR, "other")
    await storage.close()


async def test_postgresql_may_be_restarted(postgres_server: PostgresServer, sealer: Sealer) -> None:
    url = postgres_server.create_database()
    await anyio.to_thread.run_sync(upgrade_database, url)
    storage = await Storage.open(url, sealer)
    await storage.tenants.create(OPERATOR, "acme")
    postgres_server.stop()
    with pytest.raises(RoomcastError) as refused:
        await storage.find_tenant("acme")
    assert refused.value.code == "unavailable"
    postgres_server.start()
    assert (await find(storage, "acme")).name == "acme"
    await storage.close()
