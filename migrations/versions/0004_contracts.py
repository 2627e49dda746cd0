"""Versions of contracts, and what did not fit them in usage."""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

json_type = sa.JSON().with_variant(JSONB(), "postgresql")
USAGE = ("usage_minutes", "usage_hours")


def upgrade() -> None:
    versions = op.create_table(
        "contract_versions",
        sa.Column("tenant_id", sa.String(12), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("room_types", json_type, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("actor_id", sa.String(200), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], ondelete="CASCADE", name="fk_contract_versions_tenant_id_tenants"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "version", name="pk_contract_versions"),
    )
    # What there is already is everybody's first version.
    known: dict[str, dict[str, object]] = {}
    last: dict[str, int] = {}
    room_types = sa.table(
        "room_types",
        sa.column("tenant_id", sa.String),
        sa.column("name", sa.String),
        sa.column("rules", json_type),
        sa.column("changed_at_ms", sa.BigInteger),
    )
    for row in op.get_bind().execute(sa.select(room_types)):
        rules = json.loads(row.rules) if isinstance(row.rules, str) else row.rules
        known.setdefault(row.tenant_id, {})[row.name] = rules
        last[row.tenant_id] = max(last.get(row.tenant_id, 0), row.changed_at_ms)
    rows = [
        {
            "tenant_id": tenant_id,
            "version": 1,
            "room_types": types,
            "at_ms": last[tenant_id],
            "actor_kind": "system",
            "actor_id": "",
        }
        for tenant_id, types in known.items()
    ]
    if rows:
        op.bulk_insert(versions, rows)
    for table in USAGE:
        op.add_column(table, sa.Column("refused_by_schema", json_type, nullable=False, server_default="{}"))


def downgrade() -> None:
    for table in USAGE:
        op.drop_column(table, "refused_by_schema")
    op.drop_table("contract_versions")
