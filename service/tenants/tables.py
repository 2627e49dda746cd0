"""The tables. Every row of a tenant carries its internal id; whatever changes one raises its tenant's version."""

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, LargeBinary, MetaData, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Python's None is SQL's NULL, not JSON's null.
_Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class DefaultBase(DeclarativeBase):
    """Of all tables: constraints have names, since a migration can only change one that has."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _tenant_id() -> Mapped[str]:
    return mapped_column(String(12), ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)


class TenantRow(DefaultBase):
    """A tenant. Nodes poll `version` and load again what changed."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(String(12), primary_key=True)  # drawn at random, so never used again
    name: Mapped[str] = mapped_column(String(63), unique=True)
    state: Mapped[str] = mapped_column(String(16))  # active or suspended
    limits: Mapped[dict[str, Any]] = mapped_column(_Json)  # what differs from the defaults
    origins: Mapped[list[str]] = mapped_column(_Json)
    version: Mapped[int] = mapped_column(BigInteger)
    created_at_ms: Mapped[int] = mapped_column(BigInteger)


class SigningKeyRow(DefaultBase):
    """A key under which tokens verify; `sealed` is its material under the sealing key, bound to tenant and kid."""

    __tablename__ = "signing_keys"

    tenant_id: Mapped[str] = _tenant_id()
    kid: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    algorithm: Mapped[str] = mapped_column(String(16))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    last_used_at_ms: Mapped[int | None] = mapped_column(BigInteger)
    expires_at_ms: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at_ms: Mapped[int | None] = mapped_column(BigInteger)


class ApiKeyRow(DefaultBase):
    """A key of a tenant's servers, by its hash alone."""

    __tablename__ = "api_keys"

    tenant_id: Mapped[str] = _tenant_id()
    key_id: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(_Json)
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    last_used_at_ms: Mapped[int | None] = mapped_column(BigInteger)
    expires_at_ms: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at_ms: Mapped[int | None] = mapped_column(BigInteger)


class RoomTypeRow(DefaultBase):
    """A room type: `rules` is the RoomType's JSON; two types of a tenant never share a pattern."""

    __tablename__ = "room_types"
    __table_args__ = (UniqueConstraint("tenant_id", "pattern", name="uq_room_types_tenant_id_pattern"),)

    tenant_id: Mapped[str] = _tenant_id()
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    pattern: Mapped[str] = mapped_column(String(201))
    rules: Mapped[dict[str, Any]] = mapped_column(_Json)
    changed_at_ms: Mapped[int] = mapped_column(BigInteger)


class ContractVersionRow(DefaultBase):
    """All room types of a tenant as they were from `at_ms` on, until the next version: name to the RoomType's JSON."""

    __tablename__ = "contract_versions"

    tenant_id: Mapped[str] = _tenant_id()
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    room_types: Mapped[dict[str, Any]] = mapped_column(_Json)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    actor_kind: Mapped[str] = mapped_column(String(16))
    actor_id: Mapped[str] = mapped_column(String(200))


class RevocationRow(DefaultBase):
    """All tokens of a user (kind `user`), or the one of a jti (kind `jti`), refused until an instant."""

    __tablename__ = "revocations"

    tenant_id: Mapped[str] = _tenant_id()
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    subject: Mapped[str] = mapped_column(String(256), primary_key=True)
    until_at_ms: Mapped[int] = mapped_column(BigInteger)


class DeletionRow(DefaultBase):
    """A deleted tenant whose traces are being removed by the node that claimed it. Its own row is gone already."""

    __tablename__ = "deletions"
    __table_args__ = (Index("ix_deletions_name", "name"), Index("ix_deletions_done_at_ms", "done_at_ms"))

    tenant_id: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    asked_at_ms: Mapped[int] = mapped_column(BigInteger)
    removed_keys: Mapped[int] = mapped_column(BigInteger)
    claimed_by: Mapped[str | None] = mapped_column(String(64))
    claimed_until_ms: Mapped[int | None] = mapped_column(BigInteger)
    done_at_ms: Mapped[int | None] = mapped_column(BigInteger)


class AuditRow(DefaultBase):
    """Who changed what, from what to what. No foreign key: what was done outlives the tenant."""

    __tablename__ = "audit"
    # AUTOINCREMENT: SQLite would use the ids of pruned rows again, and pages go by id.
    __table_args__ = (
        Index("ix_audit_tenant_id_id", "tenant_id", "id"),
        Index("ix_audit_at_ms", "at_ms"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    actor_kind: Mapped[str] = mapped_column(String(16))
    actor_id: Mapped[str] = mapped_column(String(200))
    tenant_id: Mapped[str | None] = mapped_column(String(12))
    tenant: Mapped[str | None] = mapped_column(String(63))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(256))
    before: Mapped[dict[str, Any] | None] = mapped_column(_Json)
    after: Mapped[dict[str, Any] | None] = mapped_column(_Json)


class UsageColumns:
    """What was used in a span of time that begins at `starts_at_ms`. No foreign key: a deleted tenant's rows go in
    slices, as there may be a million of them."""

    tenant_id: Mapped[str] = mapped_column(String(12), primary_key=True)
    starts_at_ms: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    connection_seconds: Mapped[int] = mapped_column(BigInteger)
    messages_websocket: Mapped[int] = mapped_column(BigInteger)
    messages_http: Mapped[int] = mapped_column(BigInteger)
    deliveries: Mapped[int] = mapped_column(BigInteger)
    bytes_in: Mapped[int] = mapped_column(BigInteger)
    bytes_out: Mapped[int] = mapped_column(BigInteger)
    api_requests: Mapped[int] = mapped_column(BigInteger)
    peak_rooms: Mapped[int] = mapped_column(BigInteger)
    history_bytes: Mapped[int] = mapped_column(BigInteger)
    refused: Mapped[dict[str, int]] = mapped_column(_Json)  # by code
    # By what did not fit, as `minute_usage.schema_key` writes it. The default is for nodes of the version before.
    refused_by_schema: Mapped[dict[str, int]] = mapped_column(_Json, server_default="{}")
    peak_connections: Mapped[int] = mapped_column(BigInteger)  # a minute's: the node's own; an hour's: all nodes'


class UsageMinuteRow(UsageColumns, DefaultBase):
    """One tenant's minute on one node. `samples`: connections in each second, as `minute_usage` packs them."""

    __tablename__ = "usage_minutes"
    __table_args__ = (Index("ix_usage_minutes_starts_at_ms", "starts_at_ms"),)

    node: Mapped[str] = mapped_column(String(32), primary_key=True)
    samples: Mapped[bytes] = mapped_column(LargeBinary)


class UsageHourRow(UsageColumns, DefaultBase):
    """One tenant's hour on all nodes, once its minutes are no longer kept."""

    __tablename__ = "usage_hours"
    __table_args__ = (Index("ix_usage_hours_starts_at_ms", "starts_at_ms"),)


class SystemRow(DefaultBase):
    """What belongs to the database as a whole: its id, the check of its sealing key, how far its Redis has come."""

    __tablename__ = "system"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(200))


metadata = DefaultBase.metadata
