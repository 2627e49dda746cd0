"""Rows to what the node works with, and back: the one place that knows both."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import structlog

from service.protocol.errors import Invalid
from service.protocol.identifiers import SAFE_INTEGER
from service.tenants.keys import Sealer, SealingKeyError, load_signing_key, new_api_key, random_id
from service.tenants.limits import Limits
from service.tenants.records import ApiKeyRecord, Deletion, RoomTypeRecord, SigningKeyRecord, Tenant
from service.tenants.room_types import RoomType, RoomTypes
from service.tenants.snapshot import SCOPES, ApiKey, SigningKey, TenantSnapshot
from service.tenants.tables import ApiKeyRow, DeletionRow, RoomTypeRow, SigningKeyRow, TenantRow

# As browsers send it (RFC 6454, section 6.2): scheme and host in lower case, a port unless it is the default, no path.
# All of it is ASCII: a host in other letters arrives as xn--.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[!$-.0->\[-~]{1,255}")
_MAX_ORIGINS = 100  # each handshake from a browser is compared with them
_KID = re.compile(r"[A-Za-z0-9_.:=-]{1,64}")
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*")
_MAX_KEY_NAME = 200  # characters

_log = structlog.get_logger(__name__)

_rules = msgspec.json.Decoder(dict[str, dict[str, Any]])
_revoked = msgspec.json.Decoder(dict[str, int])

Known = TypeVar("Known", Limits, RoomType)


def unix_time_ms() -> int:
    """Now, as it stands in the tables."""
    return time.time_ns() // 1_000_000


def read_tenant(row: TenantRow) -> Tenant:
    """A tenant's row without its keys."""
    return Tenant(
        id=row.id,
        name=row.name,
        state=row.state,
        limits=read_limits(row),
        origins=tuple(row.origins),
        version=row.version,
        created_at_ms=row.created_at_ms,
    )


def read_limits(row: TenantRow) -> Limits:
    """A tenant's limits."""
    return _convert_known(row.limits, Limits)


def _convert_known(stored: dict[str, Any], kind: type[Known]) -> Known:
    # A node of the next version may have stored a limit or a rule that this one does not know yet.
    return msgspec.convert({name: value for name, value in stored.items() if name in kind.__struct_fields__}, kind)


def read_room_type(row: RoomTypeRow) -> RoomTypeRecord:
    """A room type's row."""
    return RoomTypeRecord(row.name, _convert_known(row.rules, RoomType), row.changed_at_ms)


def read_room_types(rows: Iterable[RoomTypeRow]) -> RoomTypes:
    """All room types of a tenant that this version can read."""
    return make_room_types({row.name: row.rules for row in rows})


def make_room_types(rules: Mapping[str, dict[str, Any]]) -> RoomTypes:
    """Room types as they are stored, name to rules: those that this version can read."""
    types: dict[str, RoomType] = {}
    for name, stored in rules.items():
        try:
            types[name] = _convert_known(stored, RoomType)
        except msgspec.ValidationError as error:  # of the next version; the tenant's others serve on
            _log.error("a room type is left out", reason=f"{name}: {error}")
    return RoomTypes(types)


def read_deletion(row: DeletionRow) -> Deletion:
    """A deletion's row."""
    return Deletion(**{name: getattr(row, name) for name in Deletion.__struct_fields__})


def read_snapshot(
    row: TenantRow,
    signing_keys: Iterable[SigningKeyRow],
    api_keys: Iterable[ApiKeyRow],
    sealer: Sealer,
    *,
    room_types: str,
    revoked_users: str,
    revoked_jtis: str,
    contract_version: int,
) -> TenantSnapshot:
    """A tenant with its keys in force; one that does not open is left out and logged, the others serve on.

    room_types: a JSON object, name to rules. revoked_users, revoked_jtis: JSON objects, subject to until_at_ms.
    """
    keys = (_read_signing_key(key, sealer) for key in signing_keys)
    return TenantSnapshot(
        id=row.id,
        name=row.name,
        active=row.state == "active",
        limits=read_limits(row),
        origins=tuple(row.origins),
        signing_keys={key.kid: key for key in keys if key is not None},
        api_keys={
            key.key_id: ApiKey(key.key_id, bytes(key.hash), frozenset(key.scopes), key.expires_at_ms)
            for key in api_keys
        },
        version=row.version,
        room_types=make_room_types(_rules.decode(room_types)),
        revoked_users=_revoked.decode(revoked_users),
        revoked_jtis=_revoked.decode(revoked_jtis),
        contract_version=contract_version,
    )


def _read_signing_key(row: SigningKeyRow, sealer: Sealer) -> SigningKey | None:
    try:
        material = sealer.open(bytes(row.sealed), _sealing_context(row.tenant_id, row.kid))
        return SigningKey(row.kid, row.algorithm, load_signing_key(row.algorithm, material), row.expires_at_ms)
    except (SealingKeyError, Invalid) as error:
        _log.error("a signing key is left out", tenant_id=row.tenant_id, reason=f"{row.kid}: {error}")
        return None


def read_signing_key_record(row: SigningKeyRow, sealer: Sealer) -> SigningKeyRecord:
    """A signing key's row for people; the secret of HS256 stays sealed, of a private key only the public half is read.

    A key that does not open is listed without its public half, so that it can be revoked.
    """
    known = None if row.algorithm == "HS256" else _read_signing_key(row, sealer)
    return SigningKeyRecord(
        kid=row.kid,
        name=row.name,
        algorithm=row.algorithm,
        public=None if known is None else dict(known.key.as_dict(private=False)),
        created_at_ms=row.created_at_ms,
        last_used_at_ms=row.last_used_at_ms,
        expires_at_ms=row.expires_at_ms,
        revoked_at_ms=row.revoked_at_ms,
    )


def read_api_key_record(row: ApiKeyRow) -> ApiKeyRecord:
    """An API key's row for people."""
    return ApiKeyRecord(
        key_id=row.key_id,
        name=row.name,
        scopes=tuple(row.scopes),
        created_at_ms=row.created_at_ms,
        last_used_at_ms=row.last_used_at_ms,
        expires_at_ms=row.expires_at_ms,
        revoked_at_ms=row.revoked_at_ms,
    )


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
    """A sealed key's row. Raises Invalid when the material is no key of the algorithm; bad kid, name or expiry."""
    _check_key(name, expires_at_ms)
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
    """A new key as (text, row). Raises Invalid for an unknown scope, or none, and for a bad name or expiry."""
    _check_key(name, expires_at_ms)
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


def signing_key_facts(row: SigningKeyRow) -> dict[str, Any]:
    """What the audit says of a new signing key."""
    return {"name": row.name, "algorithm": row.algorithm, "expires_at_ms": row.expires_at_ms}


def api_key_facts(row: ApiKeyRow) -> dict[str, Any]:
    """What the audit says of a new API key."""
    return {"name": row.name, "scopes": row.scopes, "expires_at_ms": row.expires_at_ms}


def _check_key(name: str, expires_at_ms: int | None) -> None:
    if len(name) > _MAX_KEY_NAME or not is_text(name):
        raise Invalid(f"a key's name has at most {_MAX_KEY_NAME} characters, and no control characters", "$.name")
    if expires_at_ms is not None:
        check_future(expires_at_ms, "$.expires_at_ms")


def is_text(text: str) -> bool:
    """Whether both databases take it, and a list shows it: no control characters (PostgreSQL has no NUL in texts), no
    half of a surrogate pair.
    """
    return _TEXT.fullmatch(text) is not None


def check_cursor(after: str) -> str:
    """The name after which a page begins. Raises Invalid when it is none that a page has given."""
    if not is_text(after):
        raise Invalid("this cursor is none that a page has given", "$.cursor")
    return after


def check_future(at_ms: int, path: str) -> None:
    """Raises Invalid unless the instant is to come. One in seconds by mistake lies in 1970."""
    if not unix_time_ms() < at_ms <= SAFE_INTEGER:
        raise Invalid("this instant must lie ahead; it is told in milliseconds since 1970", path)


def check_origins(origins: Sequence[str]) -> list[str]:
    """The origins, each once. Raises Invalid for one that no browser would send like that, or too many."""
    if len(origins) > _MAX_ORIGINS:
        raise Invalid(f"a tenant has at most {_MAX_ORIGINS} origins", "$.origins")
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise Invalid(f"{origin!r} is no origin; write it as https://app.example.com, without a path", "$.origins")
    return list(dict.fromkeys(origins))
