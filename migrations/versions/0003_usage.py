"""What tenants use: by minute and node, later by hour."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

json_type = sa.JSON().with_variant(JSONB(), "postgresql")
COUNTS = (
    "connection_seconds",
    "messages_websocket",
    "messages_http",
    "deliveries",
    "bytes_in",
    "bytes_out",
    "api_requests",
    "peak_rooms",
    "history_bytes",
    "peak_connections",
)


def columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("tenant_id", sa.String(12), nullable=False),
        sa.Column("starts_at_ms", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        sa.Column("refused", json_type, nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "usage_minutes",
        *columns(),
        sa.Column("node", sa.String(32), nullable=False),
        sa.Column("samples", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "starts_at_ms", "node", name="pk_usage_minutes"),
    )
    op.create_index("ix_usage_minutes_starts_at_ms", "usage_minutes", ["starts_at_ms"])
    op.create_table(
        "usage_hours",
        *columns(),
        sa.PrimaryKeyConstraint("tenant_id", "starts_at_ms", name="pk_usage_hours"),
    )
    op.create_index("ix_usage_hours_starts_at_ms", "usage_hours", ["starts_at_ms"])


def downgrade() -> None:
    for table in ("usage_hours", "usage_minutes"):
        op.drop_table(table)
