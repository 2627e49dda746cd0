"""Deleted tenants whose traces are being removed: one node at a time claims each, and goes on where another ended."""

from typing import Final

from sqlalchemy import or_, select, update

from service.protocol.errors import NotFound
from service.protocol.identifiers import is_tenant
from service.tenants.audit import SYSTEM
from service.tenants.records import Deletion
from service.tenants.rows import read_deletion, unix_time_ms
from service.tenants.tables import DeletionRow
from service.tenants.transactions import Transactions

_UNSYNCHRONISED: Final = {"synchronize_session": False}


class Deletions:
    """Deletions by the internal id of the tenant that is gone; a name may have several, one after the other."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def pending(self) -> list[Deletion]:
        """All that are not done, the oldest first."""
        waiting = select(DeletionRow).where(DeletionRow.done_at_ms.is_(None)).order_by(DeletionRow.asked_at_ms)
        async with self._transactions.read() as session:
            return [read_deletion(row) for row in await session.scalars(waiting)]

    async def find(self, name: str) -> Deletion | None:
        """The latest deletion of a tenant of this name, done or not."""
        latest = select(DeletionRow).where(DeletionRow.name == name).order_by(DeletionRow.asked_at_ms.desc()).limit(1)
        async with self._transactions.read() as session:
            row = await session.scalar(latest) if is_tenant(name) else None
        return None if row is None else read_deletion(row)

    async def claim(self, tenant_id: str, node: str, until_at_ms: int) -> bool:
        """Whether the deletion is this node's until then: it is not done, and no other node's claim runs. Claim again
        to go on.
        """
        free = or_(
            DeletionRow.claimed_by.is_(None),
            DeletionRow.claimed_by == node,
            DeletionRow.claimed_until_ms <= unix_time_ms(),
        )
        claiming = (
            update(DeletionRow)
            .where(DeletionRow.tenant_id == tenant_id, DeletionRow.done_at_ms.is_(None), free)
            .values(claimed_by=node, claimed_until_ms=until_at_ms)
            .returning(DeletionRow.tenant_id)
        )
        async with self._transactions.write(SYSTEM) as write:
            return await write.session.scalar(claiming, execution_options=_UNSYNCHRONISED) is not None

    async def note_progress(self, tenant_id: str, removed_keys: int) -> None:
        """So many more keys are gone from Redis."""
        removed = DeletionRow.removed_keys + removed_keys
        noting = update(DeletionRow).where(DeletionRow.tenant_id == tenant_id).values(removed_keys=removed)
        async with self._transactions.write(SYSTEM) as write:
            await write.session.execute(noting, execution_options=_UNSYNCHRONISED)

    async def finish(self, tenant_id: str) -> None:
        """Nothing of the tenant is left; said twice is said once. Raises NotFound."""
        async with self._transactions.write(SYSTEM) as write:
            mine = select(DeletionRow).where(DeletionRow.tenant_id == tenant_id).with_for_update()
            row = await write.session.scalar(mine)
            if row is None:
                raise NotFound("deletion")
            if row.done_at_ms is None:
                row.done_at_ms = unix_time_ms()
                done = {"removed_keys": row.removed_keys, "node": row.claimed_by}
                write.note(tenant_id, row.name, "tenant.purge", row.name, after=done)
