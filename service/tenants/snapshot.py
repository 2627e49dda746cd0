"""What a node knows of one tenant: an immutable picture of its rows, replaced whole when its version rises."""

from collections.abc import Mapping

import msgspec
from joserfc.jwk import ECKey, OctKey, OKPKey

from service.tenants.contract import Contract
from service.tenants.limits import Limits
from service.tenants.room_types import RoomTypes

SCOPES: frozenset[str] = frozenset({"read", "publish", "disconnect", "manage"})

VerificationKey = OctKey | ECKey | OKPKey


class SigningKey(msgspec.Struct, frozen=True, eq=False):
    """A key under which the tenant's tokens are verified. The stored algorithm counts, never the token's word."""

    kid: str
    algorithm: str  # HS256, ES256 or EdDSA
    key: VerificationKey
    expires_at_ms: int | None = None

    def is_current(self, now_ms: int) -> bool:
        """Whether tokens under this key are accepted at `now_ms` (revoked keys are in no snapshot)."""
        return self.expires_at_ms is None or now_ms < self.expires_at_ms


class ApiKey(msgspec.Struct, frozen=True, eq=False):
    """An API key of the tenant's servers: its hash, never the key."""

    key_id: str
    hash: bytes
    scopes: frozenset[str]
    expires_at_ms: int | None = None

    def is_current(self, now_ms: int) -> bool:
        """Whether the key is accepted at `now_ms` (revoked keys are in no snapshot)."""
        return self.expires_at_ms is None or now_ms < self.expires_at_ms


class TenantSnapshot(msgspec.Struct, frozen=True, eq=False):
    """One tenant at one version. `id` is internal and never used again; `name` may be deleted and made again."""

    id: str
    name: str
    active: bool  # False: suspended
    limits: Limits
    origins: tuple[str, ...]  # exact allowed origins; empty: any
    signing_keys: Mapping[str, SigningKey]
    api_keys: Mapping[str, ApiKey]
    version: int
    room_types: RoomTypes = RoomTypes()
    # What is revoked by name, each until an instant (Unix ms): all of a user's tokens, one token by its jti.
    revoked_users: Mapping[str, int] = {}
    revoked_jtis: Mapping[str, int] = {}
    contract_version: int = 0

    @property
    def contract(self) -> Contract:
        """The tenant's contract as this node knows it."""
        return Contract(version=self.contract_version, room_types=dict(self.room_types.types))


class Change(msgspec.Struct, frozen=True, eq=False):
    """What a refresh found: the tenant's new snapshot, or None when the tenant is gone."""

    tenant_id: str
    name: str
    snapshot: TenantSnapshot | None
