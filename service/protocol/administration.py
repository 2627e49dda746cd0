"""What travels over REST where a tenant is set up: tenants, keys, room types, revocations, the audit.

As in `resources`: bodies are decoded strictly; a field that is `UNSET` is absent, one that is None is sent as null.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.protocol.identifiers import RoomPattern, TenantName, UserName
from service.protocol.instants import LAST_INSTANT_MS
from service.protocol.resources import Answer, Body

Scope = Literal["read", "publish", "disconnect", "manage"]
Algorithm = Literal["HS256", "ES256", "EdDSA", "Ed25519"]
SlowConsumer = Literal["disconnect", "drop_oldest", "latest_by_name"]
Acknowledge = Literal["stored", "replicated"]

KID_PATTERN = r"^[A-Za-z0-9_.:=-]{1,64}$(?!\n)"
KEY_ID_PATTERN = r"^[0-9A-Za-z]{12}$(?!\n)"
ROOM_TYPE_NAME_PATTERN = r"^[A-Za-z0-9_.:*-]{1,64}$(?!\n)"

KeyName = Annotated[
    str,
    Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f]{0,200}$(?!\n)", description="What people know the key by; need not be one."),
]
ChosenKid = Annotated[str, Meta(pattern=KID_PATTERN, description="The `kid` of tokens under the key.")]
Instant = Annotated[int, Meta(ge=1, le=LAST_INSTANT_MS)]
# Values are checked with the limits' own bounds (`apply_limits`), which says of each by name what is wrong with it.
LimitValues = Annotated[
    dict[str, Any],
    Meta(
        description="Limits by name (docs/limits.md has them all); null is no limit.",
        extra_json_schema={"additionalProperties": msgspec.json.schema(int | None)},
    ),
]
Origins = Annotated[
    list[Annotated[str, Meta(max_length=300)]],
    Meta(max_length=100, description="Exact origins from which browsers may connect; empty: any."),
]
JsonSchemas = Annotated[dict[str, dict[str, Any]], Meta(description="JSON Schemas (2020-12) by name.")]


# Tenants, for the operator.


class TenantBody(Body, kw_only=True):
    """A tenant to make; limits that are not given are the default ones, and follow them."""

    name: TenantName
    limits: LimitValues | UnsetType = UNSET
    origins: Origins | UnsetType = UNSET


class TenantChange(Body, kw_only=True):
    """Limits to set, the others stay; origins to replace. With `version`, nothing if the tenant changed since."""

    version: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    limits: LimitValues | UnsetType = UNSET
    origins: Origins | UnsetType = UNSET


class StateChange(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """With `version`, nothing if the tenant changed since. A body that may be left out."""

    version: Annotated[int, Meta(ge=1)] | UnsetType = UNSET


class TenantDetail(Answer, kw_only=True):
    """A tenant: its limits in force (null is no limit) and origins, or how far its deletion got.

    A tenant that is being deleted has only `asked_at_ms` and `removed_keys`, the keys removed from Redis so far.
    """

    tenant: str
    state: Literal["active", "suspended", "deleting"]
    limits: dict[str, int | None] | UnsetType = UNSET
    origins: list[str] | UnsetType = UNSET
    version: int | UnsetType = UNSET
    created_at_ms: int | UnsetType = UNSET
    asked_at_ms: int | UnsetType = UNSET
    removed_keys: int | UnsetType = UNSET


class TenantPage(Answer, kw_only=True):
    """One page of the tenants, by name."""

    items: list[TenantDetail]
    next_cursor: str | None = None


class FirstSigningKey(Answer, kw_only=True):
    """A signing key with its secret, which is shown this once."""

    kid: str
    algorithm: str
    secret: str


class NewTenant(Answer, kw_only=True):
    """A tenant just made, with a signing key and an API key of all scopes; their secrets are shown this once."""

    tenant: TenantDetail
    signing_key: FirstSigningKey
    api_key: str


# Keys.


class ApiKeyBody(Body, kw_only=True):
    """An API key to make."""

    name: KeyName = ""
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=8)]
    expires_at_ms: Instant | UnsetType = UNSET


class ApiKeyDetail(Answer, kw_only=True):
    """An API key without its secret; `last_used_at_ms` is right within a minute."""

    key_id: str
    name: str
    scopes: list[Scope]
    created_at_ms: int
    last_used_at_ms: int | None
    expires_at_ms: int | None
    revoked_at_ms: int | None


class NewApiKey(ApiKeyDetail, kw_only=True):
    """An API key just made, with the text that is shown this once."""

    api_key: str


class ApiKeyPage(Answer, kw_only=True):
    """One page of a tenant's API keys, revoked ones too."""

    items: list[ApiKeyDetail]
    next_cursor: str | None = None


class SigningKeyBody(Body, kw_only=True):
    """A signing key: HS256 has its secret made here, ES256 and EdDSA bring a public key, as `pem` or `jwk`."""

    name: KeyName = ""
    algorithm: Algorithm
    kid: ChosenKid | UnsetType = UNSET
    pem: Annotated[str, Meta(max_length=4096)] | UnsetType = UNSET
    jwk: dict[str, Any] | UnsetType = UNSET
    expires_at_ms: Instant | UnsetType = UNSET


class SigningKeyDetail(Answer, kw_only=True):
    """A signing key; `jwk` is its public key, null for HS256. `last_used_at_ms` is right within a minute."""

    kid: str
    name: str
    algorithm: str
    jwk: dict[str, Any] | None
    created_at_ms: int
    last_used_at_ms: int | None
    expires_at_ms: int | None
    revoked_at_ms: int | None


class NewSigningKey(SigningKeyDetail, kw_only=True):
    """A signing key just made; `secret`, for HS256, is shown this once."""

    secret: str | UnsetType = UNSET


class SigningKeyUse(SigningKeyDetail, kw_only=True):
    """A signing key, and how many live connections it authenticated, on all nodes, within 2 s."""

    connections: int


class SigningKeyPage(Answer, kw_only=True):
    """One page of a tenant's signing keys, revoked ones too."""

    items: list[SigningKeyUse]
    next_cursor: str | None = None


# Room types and revocations.


class RoomTypeDetail(Answer, kw_only=True):
    """A room type: the rules of the rooms that match `pattern`; null: the tenant's limit or the default alone."""

    name: str
    pattern: RoomPattern
    history_messages: int | None
    history_seconds: int | None
    presence: bool
    presence_grace_seconds: float
    slow_consumer: SlowConsumer
    max_members: int | None
    messages_per_second: int | None
    max_message_bytes: int | None
    acknowledge: Acknowledge
    messages: JsonSchemas
    signals: JsonSchemas
    state: dict[str, Any] | None
    additional: Literal["allow", "refuse"]


class RoomTypePage(Answer, kw_only=True):
    """One page of a tenant's room types, by name."""

    items: list[RoomTypeDetail]
    next_cursor: str | None = None


class RevocationBody(Body, kw_only=True):
    """Refuses all tokens of a user, or the one with this `jti`, until an instant; exactly one of the two is named."""

    user: UserName | UnsetType = UNSET
    jti: Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,256}$(?!\n)")] | UnsetType = UNSET
    until_at_ms: Instant


# Nodes.


class NodeDetail(Answer, kw_only=True):
    """A node: its version, since when it runs, its open sockets, and whether it drains; how late its loop was a moment
    ago, and the memory of its process.
    """

    node: str
    version: str
    started_at_ms: int
    connections: int
    draining: bool
    loop_lag_ms: float
    memory_bytes: int


class NodePage(Answer, kw_only=True):
    """The nodes, the oldest first."""

    items: list[NodeDetail]
    next_cursor: str | None = None


# The audit.


class AuditItem(Answer, kw_only=True):
    """One change: who, what, when, from what to what; secrets never stand there."""

    at_ms: int
    actor_kind: Literal["operator", "api_key", "command_line", "system"]
    actor_id: str
    action: str
    subject: str
    before: Any
    after: Any


class AuditPage(Answer, kw_only=True):
    """One page of what was changed, the newest first."""

    items: list[AuditItem]
    next_cursor: str | None = None
