"""Rows to what the node works with, and back: the one place that knows both."""

import re
import time
from collections.abc import Iterable, Sequence

import msgspec
import structlog

from service.protocol.errors import Invalid
from service.tenants.keys import Sealer, SealingKeyError, load_signing_key, new_api_key, random_id
from service.tenants.limits import Limits
from service.tenants.snapshot import SCOPES, ApiKey, SigningKey, TenantSnapshot
from service.tenants.tables import ApiKeyRow, SigningKeyRow, TenantRow

# As browsers send it (RFC 6454, section 6.2): scheme and host in lower case, a port unless it is the default, no path.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@A-Z]{1,255}")
_KID = re.compile(r"[A-Za-z0-9_.:=-]{1,64}")

_log = structlog.get_logger(__name__)


class Tenant(msgspec.Struct, frozen=True):
    """A tenant as the operator sees it."""

    id: str
    name: str
    state: str
    limits: Limits
    origins: tuple[str, ...]
    version: int
    created_at_ms: int


def unix_time_ms() -> int:
    """Now, as it stands in the tables."""
    return time.time_ns() // 1_000_000


def read_tenant(row: TenantRow) -> Tenant:
    """A tenant's row without its keys."""
    return Tenant(
        id=row.id,
        name=row.name,
        state=row.state,
        limits=_read_limits(row),
        origins=tuple(row.origins),
        version=row.version,
        created_at_ms=row.created_at_ms,
    )


def _read_limits(row: TenantRow) -> Limits:
    # A node of the next version may have stored a limit that this one does not know yet.
    known = {name: value for name, value in row.limits.items() if name in Limits.__struct_fields__}
    return msgspec.convert(known, Limits)


def read_snapshot(
    row: TenantRow, signing_keys: Iterable[SigningKeyRow], api_keys: Iterable[ApiKeyRow], sealer: Sealer
) -> TenantSnapshot:
    """A tenant with its keys in force; one that does not open is left out and logged, the others serve on."""
    keys = (_read_signing_key(key, sealer) for key in signing_keys)
    return TenantSnapshot(
        id=row.id,
        name=row.name,
        active=row.state == "active",
        limits=_read_limits(row),
        origins=tuple(row.origins),
        signing_keys={key.kid: key for key in keys if key is not None},
        api_keys={
            key.key_id: ApiKey(key.key_id, bytes(key.hash), frozenset(key.scopes), key.expires_at_ms)
            for key in api_keys
        },
        version=row.version,
    )


def _read_signing_key(row: SigningKeyRow, sealer: Sealer) -> SigningKey | None:
    try:
        material = sealer.open(bytes(row.sealed), _sealing_context(row.tenant_id, row.kid))
        return SigningKey(row.kid, row.algorithm, load_signing_key(row.algorithm, material), row.expires_at_ms)
    except (SealingKeyError, Invalid) as error:
        _log.error("a signing key is left out", tenant_id=row.tenant_id, reason=f"{row.kid}: {error}")
        return None


def _sealing_context(tenant_id: str, kid: str) -> str:
    # The id has a fixed length, so no other pair gives the same text.
    return f"{tenant_id}/{kid}"


def make_signing_key(
    tenant_id: str,
    algorithm: str,
    material: bytes,
    sealer: Sealer,
    *,
    name: str,
    kid: str | None = None,
    expires_at_ms: int | None = None,
) -> SigningKeyRow:
    """A sealed key's row. Raises Invalid when the material is no key of the algorithm, or the kid no kid."""
    algorithm = "EdDSA" if algorithm == "Ed25519" else algorithm
    load_signing_key(algorithm, material)
    kid = random_id() if kid is None else kid
    if not _KID.fullmatch(kid):
        raise Invalid("a kid is 1 to 64 letters, digits and _ . : = -", "$.kid")
    return SigningKeyRow(
        tenant_id=tenant_id,
        kid=kid,
        name=name,
        algorithm=algorithm,
        sealed=sealer.seal(material, _sealing_context(tenant_id, kid)),
        created_at_ms=unix_time_ms(),
        expires_at_ms=expires_at_ms,
        last_used_at_ms=None,
        revoked_at_ms=None,
    )


def make_api_key(
    tenant_id: str, tenant_name: str, name: str, scopes: Iterable[str], expires_at_ms: int | None = None
) -> tuple[str, ApiKeyRow]:
    """A new key as (text, row). Raises Invalid for an unknown scope, or none."""
    chosen = sorted(set(scopes))
    if not chosen or not SCOPES.issuperset(chosen):
        raise Invalid(f"an API key has one or more of the scopes {', '.join(sorted(SCOPES))}", "$.scopes")
    text, key_id, key_hash = new_api_key(tenant_name)
    row = ApiKeyRow(
        tenant_id=tenant_id,
        key_id=key_id,
        name=name,
        hash=key_hash,
        scopes=chosen,
        created_at_ms=unix_time_ms(),
        expires_at_ms=expires_at_ms,
        last_used_at_ms=None,
        revoked_at_ms=None,
    )
    return text, row


def check_origins(origins: Sequence[str]) -> list[str]:
    """The origins, each once. Raises Invalid for one that no browser would send like that."""
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise Invalid(f"{origin!r} is no origin; write it as https://app.example.com, without a path", "$.origins")
    return list(dict.fromkeys(origins))
