import asyncio
from itertools import groupby

import anyio
import msgspec
import pytest
from joserfc.jwk import ECKey

from service.protocol.errors import Invalid, NotFound, TooMany
from service.tenants import stored_keys
from service.tenants.audit import OPERATOR
from service.tenants.keys import Sealer, hash_api_key
from service.tenants.limits import Limits
from service.tenants.records import SigningKeyRecord
from service.tenants.rows import read_signing_key_record, unix_time_ms
from service.tenants.storage import Storage
from service.tenants.tables import SigningKeyRow
from tests.tenants.clock import Clock

pytestmark = pytest.mark.anyio


async def make(storage: Storage, name: str = "acme", **limits: int | None) -> str:
    return (await storage.tenants.create(OPERATOR, name, Limits(**limits))).tenant.id


async def test_keys_are_listed_with_their_life_and_without_their_secrets(storage: Storage) -> None:
    acme = await make(storage)
    pair = ECKey.generate_key("P-256")
    in_a_day_ms = unix_time_ms() + 86_400_000
    signing, _ = await storage.keys.create_signing_key(
        OPERATOR, acme, "ES256", pair.as_pem(private=True), name="phone", kid="phone-1", expires_at_ms=in_a_day_ms
    )
    listed = {key.kid: key for key in await storage.keys.page_signing_keys(acme, "", 10)}
    assert len(listed) == 2
    assert listed["phone-1"] == signing
    assert (signing.name, signing.algorithm, signing.expires_at_ms) == ("phone", "ES256", in_a_day_ms)
    assert (signing.last_used_at_ms, signing.revoked_at_ms) == (None, None)
    assert signing.public is not None
    assert {name: signing.public[name] for name in ("kty", "crv", "x", "y")} == {
        name: pair.as_dict(private=False)[name] for name in ("kty", "crv", "x", "y")
    }
    assert "d" not in signing.public
    (first,) = [key for key in listed.values() if key is not signing and key.kid != "phone-1"]
    assert (first.algorithm, first.public, first.name) == ("HS256", None, "first")

    api, text = await storage.keys.create_api_key(OPERATOR, acme, "reader", ["read"], in_a_day_ms)
    snapshot = await storage.find_tenant("acme")
    assert snapshot is not None
    assert snapshot.api_keys[api.key_id].hash == hash_api_key(text)
    keys = await storage.keys.page_api_keys(acme, "", 10)
    assert api in keys
    assert text.rpartition("_")[2].encode() not in msgspec.json.encode([keys, list(listed.values())])


async def test_a_page_of_many_keys_leaves_the_loop_to_others(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    acme = await make(storage)
    for _ in range(9):
        await storage.keys.create_signing_key(OPERATOR, acme, "HS256")
    monkeypatch.setattr(stored_keys, "KEYS_OF_A_TURN", 4)
    done: list[str] = []

    def note_and_read(row: SigningKeyRow, sealer: Sealer) -> SigningKeyRecord:
        done.append("key")
        return read_signing_key_record(row, sealer)

    async def others() -> None:
        while True:
            done.append("turn")
            await asyncio.sleep(0)

    monkeypatch.setattr(stored_keys, "read_signing_key_record", note_and_read)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        page = await storage.keys.page_signing_keys(acme, "", 100)
        tasks.cancel_scope.cancel()
    assert len(page) == done.count("key") > 4
    assert max(len(list(run)) for what, run in groupby(done) if what == "key") == 4


async def test_pages_hold_every_key_of_the_tenant_once_and_no_other_ones(storage: Storage) -> None:
    acme, other = await make(storage), await make(storage, "other")
    made = {(await storage.keys.create_signing_key(OPERATOR, acme, "HS256"))[0].kid for _ in range(4)}
    theirs, _ = await storage.keys.create_signing_key(OPERATOR, other, "HS256", kid="theirs")
    paged: list[str] = []
    while page := await storage.keys.page_signing_keys(acme, paged[-1] if paged else "", 2):
        paged += [key.kid for key in page]
    assert len(paged) == len(set(paged)) == 5
    assert made < set(paged)
    assert theirs.kid not in paged
    # A cursor of another tenant's page gives one's own keys all the same.
    assert {key.kid for key in await storage.keys.page_signing_keys(acme, "theirs", 10)} <= set(paged)


@pytest.mark.parametrize("name", ["\0", "a\nb", "x" * 201, "\ud800"])
async def test_a_bad_name_of_a_key_is_refused(storage: Storage, name: str) -> None:
    acme = await make(storage)
    with pytest.raises(Invalid) as refused:
        await storage.keys.create_api_key(OPERATOR, acme, name, ["read"])
    assert refused.value.path == "$.name"
    with pytest.raises(Invalid):
        await storage.keys.create_signing_key(OPERATOR, acme, "HS256", name=name)
    assert await storage.tenant_versions([acme]) == {acme: 1}


@pytest.mark.parametrize("expires_at_ms", [-1, 0, 1_800_000_000, 2**53, 2**70])
async def test_an_expiry_that_does_not_lie_ahead_is_refused(storage: Storage, expires_at_ms: int) -> None:
    acme = await make(storage)
    with pytest.raises(Invalid) as refused:
        await storage.keys.create_api_key(OPERATOR, acme, "key", ["read"], expires_at_ms)
    assert refused.value.path == "$.expires_at_ms"
    with pytest.raises(Invalid):
        await storage.keys.create_signing_key(OPERATOR, acme, "HS256", expires_at_ms=expires_at_ms)


async def test_a_key_over_the_limit_is_refused_until_one_is_revoked(storage: Storage) -> None:
    acme = await make(storage, max_signing_keys=2, max_api_keys=2)
    second, _ = await storage.keys.create_signing_key(OPERATOR, acme, "HS256")
    api, _ = await storage.keys.create_api_key(OPERATOR, acme, "second", ["read"])
    with pytest.raises(TooMany) as refused:
        await storage.keys.create_signing_key(OPERATOR, acme, "HS256")
    assert (refused.value.limit, refused.value.scope) == ("max_signing_keys", "tenant")
    with pytest.raises(TooMany) as refused:
        await storage.keys.create_api_key(OPERATOR, acme, "third", ["read"])
    assert (refused.value.limit, refused.value.scope) == ("max_api_keys", "tenant")
    await storage.keys.revoke_signing_key(OPERATOR, acme, second.kid)
    await storage.keys.revoke_api_key(OPERATOR, acme, api.key_id)
    await storage.keys.create_signing_key(OPERATOR, acme, "HS256")
    await storage.keys.create_api_key(OPERATOR, acme, "third", ["read"])


async def test_keys_made_at_once_stay_within_the_limit(storage: Storage) -> None:
    acme = await make(storage, max_api_keys=4)
    refused: list[TooMany] = []

    async def create() -> None:
        try:
            await storage.keys.create_api_key(OPERATOR, acme, "key", ["read"])
        except TooMany as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(create)
    assert len(await storage.keys.page_api_keys(acme, "", 100)) == 4
    assert len(refused) == 5


async def test_an_expired_key_counts_no_more(storage: Storage, clock: Clock) -> None:
    acme = await make(storage, max_api_keys=2)
    await storage.keys.create_api_key(OPERATOR, acme, "short", ["read"], clock.now_ms + 1_000)
    with pytest.raises(TooMany):
        await storage.keys.create_api_key(OPERATOR, acme, "third", ["read"])
    clock.now_ms += 1_000
    await storage.keys.create_api_key(OPERATOR, acme, "third", ["read"])


async def test_no_limit_is_no_limit(storage: Storage) -> None:
    acme = await make(storage, max_api_keys=None)
    for _ in range(5):
        await storage.keys.create_api_key(OPERATOR, acme, "key", ["read"])


async def test_of_many_ended_keys_the_oldest_are_forgotten(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_keys, "KEPT_ENDED_KEYS", 2)
    acme = await make(storage)
    made = [(await storage.keys.create_api_key(OPERATOR, acme, f"{number}", ["read"]))[0] for number in range(5)]
    for number, key in enumerate(made[:4]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stored_keys, "unix_time_ms", lambda number=number: unix_time_ms() + number)
            await storage.keys.revoke_api_key(OPERATOR, acme, key.key_id)
    await storage.keys.create_api_key(OPERATOR, acme, "last", ["read"])
    assert sorted(key.name for key in await storage.keys.page_api_keys(acme, "", 10)) == [
        "2",
        "3",
        "4",
        "first",
        "last",
    ]


async def test_a_revoked_key_is_listed_with_its_end_and_is_revoked_once(storage: Storage) -> None:
    acme = await make(storage)
    key, _ = await storage.keys.create_signing_key(OPERATOR, acme, "HS256")
    revoked = await storage.keys.revoke_signing_key(OPERATOR, acme, key.kid)
    assert revoked.revoked_at_ms is not None
    assert await storage.keys.revoke_signing_key(OPERATOR, acme, key.kid) == revoked
    assert revoked in await storage.keys.page_signing_keys(acme, "", 10)
    assert await storage.tenant_versions([acme]) == {acme: 3}
    assert [entry.action for entry in await storage.audit.page(acme, None, 2, None, None)] == [
        "signing_key.revoke",
        "signing_key.create",
    ]


async def test_last_use_only_moves_forward_and_changes_nothing_else(storage: Storage) -> None:
    acme, other = await make(storage), await make(storage, "other")
    key, _ = await storage.keys.create_signing_key(OPERATOR, acme, "HS256", kid="same")
    await storage.keys.create_signing_key(OPERATOR, other, "HS256", kid="same")
    api, _ = await storage.keys.create_api_key(OPERATOR, acme, "reader", ["read"])
    versions = await storage.tenant_versions([acme, other])
    entries = await storage.audit.page(None, None, 100, None, None)
    await storage.keys.note_used(acme, {"same": 2_000, "gone": 1}, {api.key_id: 5_000})
    await storage.keys.note_used(acme, {"same": 1_000}, {api.key_id: 6_000})
    await storage.keys.note_used("gone", {"same": 9_000}, {})
    (used,) = [found for found in await storage.keys.page_signing_keys(acme, "", 10) if found.kid == "same"]
    assert used == msgspec.structs.replace(key, last_used_at_ms=2_000)
    (used_api,) = [found for found in await storage.keys.page_api_keys(acme, "", 10) if found.key_id == api.key_id]
    assert used_api.last_used_at_ms == 6_000
    assert {found.last_used_at_ms for found in await storage.keys.page_signing_keys(other, "", 10)} == {None}
    assert await storage.tenant_versions([acme, other]) == versions
    assert await storage.audit.page(None, None, 100, None, None) == entries


async def test_nodes_that_note_the_same_keys_at_once_all_succeed(storage: Storage) -> None:
    acme = await make(storage)
    kids = [(await storage.keys.create_signing_key(OPERATOR, acme, "HS256"))[0].kid for _ in range(10)]
    async with anyio.create_task_group() as group:
        for node in range(5):
            ordered = kids[node:] + kids[:node]
            group.start_soon(storage.keys.note_used, acme, dict.fromkeys(ordered, 100 + node), {})
    used = {key.kid: key.last_used_at_ms for key in await storage.keys.page_signing_keys(acme, "", 20)}
    assert {used[kid] for kid in kids} == {104}


async def test_a_tenant_may_be_deleted_while_its_keys_are_used(storage: Storage) -> None:
    for _ in range(5):
        acme = await make(storage)
        kids = [(await storage.keys.create_signing_key(OPERATOR, acme, "HS256"))[0].kid for _ in range(10)]
        async with anyio.create_task_group() as group:
            for at_ms in range(4):
                group.start_soon(storage.keys.note_used, acme, dict.fromkeys(kids, at_ms), {})
            group.start_soon(storage.tenants.delete, OPERATOR, "acme")
        assert await storage.find_tenant("acme") is None


async def test_a_key_of_one_tenant_cannot_be_reached_through_another(storage: Storage) -> None:
    acme, other = await make(storage), await make(storage, "other")
    key, _ = await storage.keys.create_api_key(OPERATOR, acme, "reader", ["read"])
    with pytest.raises(NotFound):
        await storage.keys.revoke_api_key(OPERATOR, other, key.key_id)
    assert key not in await storage.keys.page_api_keys(other, "", 100)
    assert key in await storage.keys.page_api_keys(acme, "", 100)
