"""Tenants, their signing and API keys, and what belongs to the database as a whole."""

import secrets

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

json_type = sa.JSON().with_variant(JSONB(), "postgresql")


def tenant_id() -> sa.Column[str]:
    return sa.Column("tenant_id", sa.String(12), nullable=False)


def tenant_foreign_key(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_tenant_id_tenants"
    return sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=name, ondelete="CASCADE")


def life() -> list[sa.Column[int]]:
    return [
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
    ]


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("limits", json_type, nullable=False),
        sa.Column("origins", json_type, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
        sa.UniqueConstraint("name", name="uq_tenants_name"),
    )
    op.create_table(
        "signing_keys",
        tenant_id(),
        sa.Column("kid", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("algorithm", sa.String(16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        *life(),
        tenant_foreign_key("signing_keys"),
        sa.PrimaryKeyConstraint("tenant_id", "kid", name="pk_signing_keys"),
    )
    op.create_table(
        "api_keys",
        tenant_id(),
        sa.Column("key_id", sa.String(12), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", json_type, nullable=False),
        *life(),
        tenant_foreign_key("api_keys"),
        sa.PrimaryKeyConstraint("tenant_id", "key_id", name="pk_api_keys"),
    )
    create_system()


def create_system() -> None:
    system = op.create_table(
        "system",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("value", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_system"),
    )
    # Kept in Redis too, so that two databases never share one by mistake.
    op.bulk_insert(system, [{"key": "database_id", "value": secrets.token_hex(8)}])


def downgrade() -> None:
    for table in ("system", "api_keys", "signing_keys", "tenants"):
        op.drop_table(table)
