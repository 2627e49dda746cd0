"""When keys were last used; room types, revocations, deletions under way and the audit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

json_type = sa.JSON().with_variant(JSONB(), "postgresql")


def tenant_id() -> sa.Column[str]:
    return sa.Column("tenant_id", sa.String(12), nullable=False)


def tenant_foreign_key(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_tenant_id_tenants"
    return sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=name, ondelete="CASCADE")


def upgrade() -> None:
    for table in ("signing_keys", "api_keys"):
        op.add_column(table, sa.Column("last_used_at_ms", sa.BigInteger(), nullable=True))
    op.create_table(
        "room_types",
        tenant_id(),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("pattern", sa.String(201), nullable=False),
        sa.Column("rules", json_type, nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger(), nullable=False),
        tenant_foreign_key("room_types"),
        sa.PrimaryKeyConstraint("tenant_id", "name", name="pk_room_types"),
        sa.UniqueConstraint("tenant_id", "pattern", name="uq_room_types_tenant_id_pattern"),
    )
    op.create_table(
        "revocations",
        tenant_id(),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("subject", sa.String(256), nullable=False),
        sa.Column("until_at_ms", sa.BigInteger(), nullable=False),
        tenant_foreign_key("revocations"),
        sa.PrimaryKeyConstraint("tenant_id", "kind", "subject", name="pk_revocations"),
    )
    create_deletions()
    create_audit()


def create_deletions() -> None:
    op.create_table(
        "deletions",
        tenant_id(),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("asked_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("removed_keys", sa.BigInteger(), nullable=False),
        sa.Column("claimed_by", sa.String(64), nullable=True),
        sa.Column("claimed_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("done_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_deletions"),
    )
    op.create_index("ix_deletions_name", "deletions", ["name"])
    op.create_index("ix_deletions_done_at_ms", "deletions", ["done_at_ms"])


def create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("actor_id", sa.String(200), nullable=False),
        sa.Column("tenant_id", sa.String(12), nullable=True),
        sa.Column("tenant", sa.String(63), nullable=True),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(256), nullable=False),
        sa.Column("before", json_type, nullable=True),
        sa.Column("after", json_type, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_tenant_id_id", "audit", ["tenant_id", "id"])
    op.create_index("ix_audit_at_ms", "audit", ["at_ms"])


def downgrade() -> None:
    for table in ("audit", "deletions", "revocations", "room_types"):
        op.drop_table(table)
    for table in ("api_keys", "signing_keys"):
        op.drop_column(table, "last_used_at_ms")
