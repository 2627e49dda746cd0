"""Who changed what: the actor of a write, and the trail that its transaction leaves in the table and in the log."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
import structlog

from service.tenants.tables import AuditRow

_log = structlog.get_logger(__name__)


class Actor(msgspec.Struct, frozen=True):
    """On whose behalf something is written; `id` is an API key's id or a node's, never a secret."""

    kind: Literal["operator", "api_key", "command_line", "system"]
    id: str = ""


OPERATOR: Final = Actor("operator")
COMMAND_LINE: Final = Actor("command_line")
SYSTEM: Final = Actor("system")


class AuditEntry(msgspec.Struct, frozen=True):
    """One write. `before` and `after` hold what differs, None where there was or is nothing; no secrets."""

    id: int
    at_ms: int
    actor_kind: str
    actor_id: str
    tenant_id: str | None
    tenant: str | None
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def make_audit_row(
    actor: Actor,
    at_ms: int,
    *,
    tenant_id: str,
    tenant: str,
    action: str,
    subject: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> AuditRow:
    """The row of one write."""
    return AuditRow(
        at_ms=at_ms,
        actor_kind=actor.kind,
        actor_id=actor.id,
        tenant_id=tenant_id,
        tenant=tenant,
        action=action,
        subject=subject,
        before=None if before is None else dict(before),
        after=None if after is None else dict(after),
    )


def read_audit_row(row: AuditRow) -> AuditEntry:
    """The row as it is listed."""
    return AuditEntry(**{name: getattr(row, name) for name in AuditEntry.__struct_fields__})


def log_audit_row(row: AuditRow) -> None:
    """One line for a row that is committed. A process without logs (the command line's) prints none."""
    if structlog.is_configured():
        _log.info(
            "audit",
            actor_kind=row.actor_kind,
            actor_id=row.actor_id,
            tenant_id=row.tenant_id,
            tenant=row.tenant,
            action=row.action,
            subject=row.subject,
            before=row.before,
            after=row.after,
        )
