from typing import Any

import pytest
from joserfc.jwk import ECKey
from msgspec import Raw
from msgspec.structs import replace

from service.protocol.errors import Conflict, Invalid, Unauthenticated
from service.tenants.keys import hash_api_key, new_api_key
from service.tenants.snapshot import ApiKey, TenantSnapshot
from service.tenants.tokens import authenticate_api_key, sign_token, verify, verify_token
from tests.tenants.jwts import ACME, NOW_MS, claims, hs256, tenant


class KnownTenants:
    """Tenants by name, as the cache finds them."""

    def __init__(self, *known: TenantSnapshot) -> None:
        self._known = {snapshot.name: snapshot for snapshot in known}

    async def find(self, name: str) -> TenantSnapshot | None:
        return self._known.get(name)


# Tokens that we sign.


def test_a_signed_token_grants_what_was_asked_for() -> None:
    token = sign_token(
        ACME,
        user="alice",
        rooms={"chat:*": ["join", "publish"]},
        join=["lobby"],
        send=True,
        info={"name": "Alice"},
        ttl_seconds=60,
        now_ms=NOW_MS + 1,
    )
    grant = verify_token(ACME, token, NOW_MS)
    assert (grant.user, grant.join, grant.send, grant.info) == ("alice", ("lobby",), True, b'{"name":"Alice"}')
    assert grant.expires_at_ms == NOW_MS + 61_000
    assert grant.jti
    assert grant.allows("chat:1", "publish")


def test_info_may_be_raw_json_and_falsy() -> None:
    for info, kept in ((Raw(b'{"a": 1}'), b'{"a": 1}'), (0, b"0"), ("", b'""'), (None, None)):
        token = sign_token(ACME, user="alice", info=info, now_ms=NOW_MS)
        assert verify_token(ACME, token, NOW_MS).info == kept


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"user": "a/b"}, "$.user"),
        ({"user": "alice\n"}, "$.user"),
        ({"rooms": {"a b": ["join"]}}, "$.rooms"),
        ({"rooms": {"a": ["shout"]}}, "$.rooms"),
        ({"join": ["chat\n"]}, "$.join"),
        ({"info": "x" * 1_023}, "$.info"),
        ({"info": Raw(b"1e999")}, "$.info"),
        ({"ttl_seconds": 0}, "$.ttl_seconds"),
        ({"ttl_seconds": 86_401}, "$.ttl_seconds"),
        ({"rooms": {f"room-{number}": ["*"] for number in range(300)}}, "$.rooms"),
    ],
)
def test_no_token_is_signed_that_would_not_verify(changes: dict[str, Any], path: str) -> None:
    arguments: dict[str, Any] = {"user": "alice", "now_ms": NOW_MS} | changes
    with pytest.raises(Invalid) as refused:
        sign_token(ACME, **arguments)
    assert refused.value.path == path


def test_the_longest_life_is_granted() -> None:
    token = sign_token(ACME, user="alice", ttl_seconds=86_400, now_ms=NOW_MS + 999)
    verify_token(ACME, token, NOW_MS)


def test_a_tenant_without_an_hs256_key_in_force_signs_itself() -> None:
    pair = ECKey.generate_key("P-256")
    both = tenant(es=("ES256", pair.as_pem(private=False)))
    only_public = replace(both, signing_keys={"es": both.signing_keys["es"]})
    for snapshot in (only_public, tenant(expires_at_ms=NOW_MS)):
        with pytest.raises(Conflict):
            sign_token(snapshot, user="alice", now_ms=NOW_MS)


def test_a_private_key_signs_for_its_public_one() -> None:
    pair = ECKey.generate_key("P-256")
    signer = tenant(es=("ES256", pair.as_pem(private=True))).signing_keys["es"]
    token = sign_token(ACME, user="alice", key=signer, now_ms=NOW_MS)
    assert verify_token(tenant(es=("ES256", pair.as_pem(private=False))), token, NOW_MS).kid == "es"


# Tenants found by what a token or key says.


@pytest.mark.anyio
async def test_a_token_finds_its_tenant() -> None:
    other = tenant("other", b"o" * 43)
    tenants = KnownTenants(ACME, other)
    snapshot, grant = await verify(tenants, hs256(claims(tid="other"), b"o" * 43), NOW_MS)
    assert snapshot is other
    assert grant.tenant_id == other.id


@pytest.mark.anyio
async def test_unknown_tenant_kid_and_signature_say_the_same() -> None:
    tenants = KnownTenants(ACME)
    said = set()
    for token in (
        hs256(claims(tid="nobody"), b"s" * 43),
        hs256(claims(), b"s" * 43, kid="nothing"),
        hs256(claims(), b"x" * 43),
        "nonsense",
    ):
        with pytest.raises(Unauthenticated) as refused:
            await verify(tenants, token, NOW_MS)
        said.add((refused.value.code, refused.value.message, refused.value.path))
    assert said == {("unauthenticated", "the token is not valid", None)}


def with_api_key(snapshot: TenantSnapshot, expires_at_ms: int | None = None) -> tuple[TenantSnapshot, str]:
    text, key_id, key_hash = new_api_key(snapshot.name)
    key = ApiKey(key_id, key_hash, frozenset({"read"}), expires_at_ms)
    return replace(snapshot, api_keys={key_id: key}), text


@pytest.mark.anyio
async def test_an_api_key_finds_its_tenant_and_scopes() -> None:
    acme, text = with_api_key(ACME)
    snapshot, key = await authenticate_api_key(KnownTenants(acme), text, NOW_MS)
    assert snapshot is acme
    assert key.scopes == {"read"}


@pytest.mark.anyio
async def test_no_other_text_is_the_api_key() -> None:
    acme, text = with_api_key(ACME)
    other, _ = with_api_key(tenant("other"))
    stranger = new_api_key("acme")[0]
    prefix, name, key_id, secret = text.split("_")
    said = set()
    for wrong in (
        stranger,
        f"rck_{name}_{key_id}_{stranger.split('_')[3]}",
        f"rck_other_{key_id}_{secret}",
        f"rck_nobody_{key_id}_{secret}",
        f"{prefix}_{name}_{key_id}_{secret}\n",
        f" {text}",
        text[:-1],
        f"{text}_",
        "",
        "\ud800",
        hash_api_key(text).hex(),
    ):
        with pytest.raises(Unauthenticated) as refused:
            await authenticate_api_key(KnownTenants(acme, other), wrong, NOW_MS)
        said.add(refused.value.message)
    assert said == {"the API key is not valid"}


@pytest.mark.anyio
async def test_an_expired_api_key_is_told_so() -> None:
    acme, text = with_api_key(ACME, expires_at_ms=NOW_MS)
    with pytest.raises(Unauthenticated, match="expired"):
        await authenticate_api_key(KnownTenants(acme), text, NOW_MS)
    await authenticate_api_key(KnownTenants(acme), text, NOW_MS - 1)
