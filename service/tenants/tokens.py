"""Tokens (JWT, RFC 7519) of a tenant's users, and the API keys of its servers.

The law: the tenant that a token names is believed only after the signature verified under a key of that tenant, and
the stored key fixes the algorithm, never the token (RFC 8725, sections 3.1 and 3.2). Before that, every refusal says
the same and, for one `alg`, costs the same, whether tenant, key or signature is wrong.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
from joserfc.jwk import ECKey, OKPKey
from joserfc.jws import JWSRegistry

from service.protocol.errors import Conflict, Invalid, Unauthenticated
from service.tenants.claims import MAX_TTL_SECONDS, Grant, read_claims
from service.tenants.keys import is_api_key, load_signing_key, new_hs256_secret, parse_api_key, random_id
from service.tenants.rights import BadClaim
from service.tenants.snapshot import ApiKey, SigningKey, TenantSnapshot, VerificationKey

MAX_TOKEN_BYTES = 4_096
__all__ = [
    "MAX_TOKEN_BYTES",
    "Grant",
    "authenticate_api_key",
    "claimed_tenant",
    "is_revoked",
    "sign_token",
    "verify",
    "verify_token",
]

_NOT_VALID = "the token is not valid"

# Both names of EdDSA are one algorithm here: joserfc's RFC 9864 model, which takes Ed25519 keys alone.
_CANONICAL = {"HS256": "HS256", "ES256": "ES256", "EdDSA": "EdDSA", "Ed25519": "EdDSA"}
_MODELS = {
    name: JWSRegistry.algorithms[model] for name, model in (("HS256",) * 2, ("ES256",) * 2, ("EdDSA", "Ed25519"))
}
_DECOYS: dict[str, VerificationKey] = {
    "HS256": load_signing_key("HS256", new_hs256_secret().encode()),
    "ES256": ECKey.generate_key("P-256"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
}
# Members that bring a key or a rule of the token's own (RFC 7515, section 4.1; RFC 7797), or say that it is no JWS.
_REFUSED_HEADERS = frozenset({"jku", "jwk", "crit", "b64", "enc", "zip"})
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class _Tenant(msgspec.Struct):
    tid: str


_header_decoder = msgspec.json.Decoder(dict[str, Any])
_tenant_decoder = msgspec.json.Decoder(_Tenant)


class _Unverified(NamedTuple):
    """A token taken apart; nothing in it is believed."""

    algorithm: str | None  # None: one that is not served
    kid: str
    tid: str
    signing_input: bytes
    claims: str
    signature: bytes


class Tenants(Protocol):
    """Where tenants are found by name (`cache.TenantCache`)."""

    async def find(self, name: str) -> TenantSnapshot | None:
        """The tenant, None if there is none. Raises Unavailable."""


def verify_token(snapshot: TenantSnapshot, token: str, now_ms: int) -> Grant:
    """What `token` gives in the tenant `snapshot`. Raises Unauthenticated; measured 25 µs for HS256.

    A suspended tenant's tokens verify: the caller looks at `snapshot.active` and raises Forbidden.
    """
    return _verify(_take_apart(token), snapshot, now_ms)


def claimed_tenant(token: str) -> str:
    """The tenant that a token says it is for, true or forged: enough to refuse it. Raises Unauthenticated."""
    return _take_apart(token).tid


def is_revoked(snapshot: TenantSnapshot, grant: Grant, now_ms: int) -> bool:
    """Whether the tenant has revoked this token, or all of its user's, until later than `now_ms`."""
    if snapshot.revoked_users.get(grant.user, 0) > now_ms:
        return True
    return grant.jti is not None and snapshot.revoked_jtis.get(grant.jti, 0) > now_ms


async def verify(tenants: Tenants, token: str, now_ms: int) -> tuple[TenantSnapshot, Grant]:
    """The tenant that a token names, and what it gives there. Raises Unauthenticated, and Unavailable (SQL).

    A suspended tenant's tokens verify: the caller looks at `snapshot.active` and raises Forbidden.
    """
    unverified = _take_apart(token)
    snapshot = await tenants.find(unverified.tid)
    grant = _verify(unverified, snapshot, now_ms)
    if snapshot is None:
        raise Unauthenticated(_NOT_VALID)
    return snapshot, grant


def _take_apart(token: str) -> _Unverified:
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated(f"the token is larger than {MAX_TOKEN_BYTES} bytes")
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise Unauthenticated(_NOT_VALID)
    try:
        header = _header_decoder.decode(_decode_segment(match[1]))
        claims = _decode_segment(match[2]).decode()
        tid = _tenant_decoder.decode(claims).tid
        signature = _decode_segment(match[3])
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError, RecursionError):
        raise Unauthenticated(_NOT_VALID) from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if not (isinstance(algorithm, str) and isinstance(kid, str)) or any(map(_is_refused, header)):
        raise Unauthenticated(_NOT_VALID)
    return _Unverified(_CANONICAL.get(algorithm), kid, tid, token[: match.end(2)].encode(), claims, signature)


def _is_refused(name: str) -> bool:
    return name in _REFUSED_HEADERS or name.startswith("x5")


def _decode_segment(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _verify(token: _Unverified, snapshot: TenantSnapshot | None, now_ms: int) -> Grant:
    key: SigningKey | None = None
    if snapshot is not None and snapshot.name == token.tid:
        key = snapshot.signing_keys.get(token.kid)
    if key is not None and key.algorithm != token.algorithm:
        key = None
    # A decoy of the algorithm that the token asks for: what a refusal costs tells nothing about tenants and keys.
    algorithm = token.algorithm or "HS256"
    checked = _DECOYS[algorithm] if key is None else key.key
    verified = _MODELS[algorithm].verify(token.signing_input, token.signature, checked)
    if not verified or key is None or snapshot is None:
        raise Unauthenticated(_NOT_VALID)
    if not key.is_current(now_ms):
        raise Unauthenticated("the token's signing key has expired")
    try:
        grant = read_claims(token.claims, snapshot, key, now_ms)
    except BadClaim as error:
        raise Unauthenticated(error.message) from None
    if is_revoked(snapshot, grant, now_ms):
        raise Unauthenticated("the token is revoked")
    return grant


def sign_token(
    snapshot: TenantSnapshot,
    *,
    user: str,
    rooms: Mapping[str, Sequence[str]] | None = None,
    join: Sequence[str] = (),
    send: bool = False,
    info: Any = None,
    ttl_seconds: int = 3_600,
    now_ms: int,
    key: SigningKey | None = None,
) -> str:
    """A token for `user`, signed with `key` or the tenant's HS256 key. `info` is a JSON value, `msgspec.Raw` included.

    Raises Invalid for claims that would not verify, Conflict when the tenant has no HS256 key to sign with, or revoked
    the user's tokens.
    """
    if not 1 <= ttl_seconds <= MAX_TTL_SECONDS:
        raise Invalid(f"a token lives 1 to {MAX_TTL_SECONDS} seconds", "$.ttl_seconds")
    if snapshot.revoked_users.get(user, 0) > now_ms:
        raise Conflict("the user's tokens are revoked")
    key = key or _signing_key(snapshot, now_ms)
    now_seconds = now_ms // 1000
    claims: dict[str, Any] = {"tid": snapshot.name, "sub": user, "iat": now_seconds, "jti": random_id()}
    # Rounded up: a token of one second lives at least that long.
    claims["exp"] = -(-now_ms // 1000) + ttl_seconds
    optional = {"rooms": rooms, "join": list(join) or None, "send": send or None, "info": info}
    claims.update((name, value) for name, value in optional.items() if value is not None)
    payload = msgspec.json.encode(claims)
    try:
        read_claims(payload.decode(), snapshot, key, now_ms)
    except BadClaim as error:
        raise Invalid(error.message, "$.user" if error.path == "$.sub" else error.path) from None
    header = msgspec.json.encode({"alg": key.algorithm, "kid": key.kid, "typ": "JWT"})
    signing_input = _encode_segment(header) + b"." + _encode_segment(payload)
    signature = _MODELS[key.algorithm].sign(signing_input, key.key)
    token = (signing_input + b"." + _encode_segment(signature)).decode()
    if len(token) > MAX_TOKEN_BYTES:
        raise Invalid(f"the token would be larger than {MAX_TOKEN_BYTES} bytes; use prefixes in rooms", "$.rooms")
    return token


def _encode_segment(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _signing_key(snapshot: TenantSnapshot, now_ms: int) -> SigningKey:
    for key in snapshot.signing_keys.values():
        if key.algorithm == "HS256" and key.is_current(now_ms):
            return key
    raise Conflict(
        f"the tenant {snapshot.name} has no HS256 signing key in force; make one, or sign its tokens yourself"
    )


async def authenticate_api_key(tenants: Tenants, text: str, now_ms: int) -> tuple[TenantSnapshot, ApiKey]:
    """The tenant and key of an API key. Raises Unauthenticated, the same for an unknown tenant, key id and secret.

    A suspended tenant's keys authenticate: the caller looks at `snapshot.active` and raises Forbidden.
    """
    parts = parse_api_key(text)
    snapshot = None if parts is None else await tenants.find(parts.tenant)
    key = None if snapshot is None or parts is None else snapshot.api_keys.get(parts.key_id)
    if not is_api_key(text, key) or snapshot is None or key is None:
        raise Unauthenticated("the API key is not valid")
    if not key.is_current(now_ms):
        raise Unauthenticated("the API key has expired")
    return snapshot, key
