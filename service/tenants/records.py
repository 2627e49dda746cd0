"""What the tables hold, as it is listed and read: no secrets, no rows."""

from typing import Any

import msgspec

from service.tenants.limits import Limits
from service.tenants.room_types import RoomType


class Tenant(msgspec.Struct, frozen=True):
    """A tenant as the operator sees it."""

    id: str
    name: str
    state: str  # active or suspended
    limits: Limits
    origins: tuple[str, ...]
    version: int
    created_at_ms: int


class NewTenant(msgspec.Struct, frozen=True):
    """A tenant just made, with the two secrets that are shown this once."""

    tenant: Tenant
    kid: str
    algorithm: str
    secret: str
    api_key: str


class SigningKeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A signing key without its material; `public` is the JWK of an ES256 or EdDSA key, None for HS256."""

    kid: str
    name: str
    algorithm: str
    public: dict[str, Any] | None
    created_at_ms: int
    last_used_at_ms: int | None
    expires_at_ms: int | None
    revoked_at_ms: int | None


class ApiKeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its text, which is nowhere kept."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    created_at_ms: int
    last_used_at_ms: int | None
    expires_at_ms: int | None
    revoked_at_ms: int | None


class RoomTypeRecord(msgspec.Struct, frozen=True):
    """A room type as it was put; its pattern is filled in."""

    name: str
    room_type: RoomType
    changed_at_ms: int


class Revocation(msgspec.Struct, frozen=True):
    """Tokens that are refused before `until_at_ms`: all of `user`, or the one whose jti it is; the other is None."""

    user: str | None
    jti: str | None
    until_at_ms: int


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant that was deleted; until `done_at_ms` a node removes what is left of it.

    removed_keys: how many keys are gone from Redis so far. claimed_by: the node that is at it, until claimed_until_ms.
    """

    tenant_id: str
    name: str
    asked_at_ms: int
    removed_keys: int
    claimed_by: str | None
    claimed_until_ms: int | None
    done_at_ms: int | None
