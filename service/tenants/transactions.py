"""Transactions: to read, to write, and to change a tenant, whose version then rises with an audit row beside it.

All raise Unavailable when the database is out of reach, locked or too slow.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from service.protocol.errors import Conflict, NotFound
from service.tenants.audit import Actor, log_audit_row, make_audit_row
from service.tenants.database import sql_as_unavailable
from service.tenants.rows import unix_time_ms
from service.tenants.tables import AuditRow, TenantRow

_DAY_MS: Final = 86_400_000
# Each write takes away more old rows than it adds, so that their number falls, and holds nobody up.
_PRUNED_WITH_A_WRITE: Final = 20


class Write:
    """A transaction that writes; what is noted becomes an audit row in it, and a log line after its commit."""

    __slots__ = ("actor", "rows", "session")

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor
        self.rows: list[AuditRow] = []

    def note(
        self,
        tenant_id: str,
        tenant: str,
        action: str,
        subject: str,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Something is changed from `before` to `after`, neither with a secret in it."""
        row = make_audit_row(
            self.actor,
            unix_time_ms(),
            tenant_id=tenant_id,
            tenant=tenant,
            action=action,
            subject=subject,
            before=before,
            after=after,
        )
        self.rows.append(row)


class TenantChange:
    """A tenant's locked row, in a transaction that changes the tenant as soon as something is noted."""

    __slots__ = ("_write", "actor", "session", "tenant")

    def __init__(self, write: Write, tenant: TenantRow) -> None:
        self._write = write
        self.actor = write.actor
        self.session = write.session
        self.tenant = tenant

    def note(
        self,
        action: str,
        subject: str,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Something of this tenant is changed from `before` to `after`, neither with a secret in it."""
        self._write.note(self.tenant.id, self.tenant.name, action, subject, before=before, after=after)


class Transactions:
    """The transactions of one database. `audit_retention_days`: how long audit rows are kept."""

    def __init__(self, engine: AsyncEngine, audit_retention_days: int) -> None:
        # All of a read sees one moment, as it always does on SQLite: what is added up is neither missed nor met twice.
        moment = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
        self._reads = async_sessionmaker(engine.execution_options(**moment), expire_on_commit=False)
        self._writes = async_sessionmaker(engine.execution_options(writes=True), expire_on_commit=False)
        self._audit_retention_ms = audit_retention_days * _DAY_MS

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """One transaction that only reads, all of it as of its first query."""
        async with sql_as_unavailable(), self._reads() as session:
            yield session
            await session.commit()

    @asynccontextmanager
    async def write(self, actor: Actor) -> AsyncIterator[Write]:
        """One transaction that may write. The commit is ours and inside: nothing is answered that COMMIT refused."""
        async with sql_as_unavailable(changing=True), self._writes() as session:
            write = Write(session, actor)
            yield write
            if write.rows:
                session.add_all(write.rows)
                await self._prune_audit(session)
            await session.commit()
        for row in write.rows:
            log_audit_row(row)

    @asynccontextmanager
    async def change(self, actor: Actor, tenant_id: str, version: int | None = None) -> AsyncIterator[TenantChange]:
        """A transaction that changes the tenant. Its row is locked first; its version rises if something is noted.

        Raises NotFound, and Conflict when `version` is given and is no longer the tenant's.
        """
        async with self.write(actor) as write:
            locked = select(TenantRow).where(TenantRow.id == tenant_id).with_for_update(key_share=True)
            tenant = await write.session.scalar(locked)
            if tenant is None:
                raise NotFound("tenant")
            if version is not None and tenant.version != version:
                raise Conflict(f"the tenant is at version {tenant.version}, not {version}: read it again")
            yield TenantChange(write, tenant)
            if write.rows:
                tenant.version += 1

    def audit_kept_from_ms(self) -> int:
        """The instant before which audit rows are no longer shown, and go with the next writes."""
        return unix_time_ms() - self._audit_retention_ms

    async def _prune_audit(self, session: AsyncSession) -> None:
        # Rows that another transaction removes just now are left to it.
        old = select(AuditRow.id).where(AuditRow.at_ms < self.audit_kept_from_ms()).order_by(AuditRow.at_ms)
        some = old.limit(_PRUNED_WITH_A_WRITE).with_for_update(skip_locked=True)
        pruning = delete(AuditRow).where(AuditRow.id.in_(some))
        await session.execute(pruning, execution_options={"synchronize_session": False})
