"""The tables. Every row of a tenant carries its internal id; whatever changes one raises its tenant's version."""

from typing import Any

from advanced_alchemy.base import DefaultBase
from sqlalchemy import JSON, BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

_Json = JSON().with_variant(JSONB(), "postgresql")


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
    expires_at_ms: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at_ms: Mapped[int | None] = mapped_column(BigInteger)


class SystemRow(DefaultBase):
    """What belongs to the database as a whole: its id, the check of its sealing key."""

    __tablename__ = "system"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(200))


metadata = DefaultBase.metadata
