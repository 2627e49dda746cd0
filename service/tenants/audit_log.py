"""The audit as it is read. Every write puts its own rows there (`transactions.Write.note`)."""

from sqlalchemy import select

from service.protocol.identifiers import SAFE_INTEGER
from service.tenants.audit import AuditEntry, read_audit_row
from service.tenants.tables import AuditRow
from service.tenants.transactions import Transactions


class AuditLog:
    """What was written, by whom; rows outlive their tenant, and end with the retention."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def page(
        self, tenant_id: str | None, before_id: int | None, limit: int, from_ms: int | None, to_ms: int | None
    ) -> list[AuditEntry]:
        """At most `limit` entries, the newest first: of one tenant (None: of all), with ids below `before_id`
        (None: from the newest), at from_ms <= at_ms < to_ms (None: no bound).
        """
        kept_from_ms = self._transactions.audit_kept_from_ms()
        query = select(AuditRow).where(AuditRow.at_ms >= max(from_ms or 0, kept_from_ms))
        if tenant_id is not None:
            query = query.where(AuditRow.tenant_id == tenant_id)
        if before_id is not None:
            query = query.where(AuditRow.id < min(before_id, SAFE_INTEGER))
        if to_ms is not None:
            query = query.where(AuditRow.at_ms < to_ms)
        async with self._transactions.read() as session:
            rows = await session.scalars(query.order_by(AuditRow.id.desc()).limit(limit))
            return [read_audit_row(row) for row in rows]
