"""The database as a node and the command line have it: the source of snapshots, and the nouns that are written.

Each query takes the tenant first; what changes a tenant or what is its own raises its version in the same transaction,
which is how every node comes to know. All methods raise Unavailable when the database is out of reach, locked or too
slow.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Text, cast, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from service.protocol.identifiers import is_tenant
from service.tenants.audit import SYSTEM
from service.tenants.audit_log import AuditLog
from service.tenants.database import (
    NotMigrated,
    check_migrated,
    check_reachable,
    make_engine,
    sql_as_unavailable,
    upgrade_database,
)
from service.tenants.deletions import Deletions
from service.tenants.keys import Sealer, SealingKeyError
from service.tenants.records import NewTenant, Tenant
from service.tenants.redis_mark import RedisMark
from service.tenants.revocations import Revocations
from service.tenants.rows import read_snapshot, unix_time_ms
from service.tenants.snapshot import TenantSnapshot
from service.tenants.stored_contracts import StoredContracts
from service.tenants.stored_keys import Keys
from service.tenants.stored_room_types import StoredRoomTypes
from service.tenants.stored_tenants import Tenants
from service.tenants.tables import (
    ApiKeyRow,
    ContractVersionRow,
    RevocationRow,
    RoomTypeRow,
    SigningKeyRow,
    SystemRow,
    TenantRow,
)
from service.tenants.transactions import Transactions
from service.tenants.usage import UsageStorage

__all__ = ["NewTenant", "NotMigrated", "Storage", "Tenant", "upgrade_database"]

# SQLite takes 32,766 parameters in one statement, PostgreSQL 32,767.
_IDS_IN_ONE_QUERY = 10_000


class Storage:
    """The tables of one database. Made by `open`; `close` gives the connections back."""

    def __init__(self, engine: AsyncEngine, sealer: Sealer, audit_retention_days: int) -> None:
        self._engine = engine
        self._sealer = sealer
        self._database_id = ""
        self.transactions = Transactions(engine, audit_retention_days)
        self.tenants = Tenants(self.transactions, sealer)
        self.keys = Keys(self.transactions, sealer)
        self.contracts = StoredContracts(self.transactions)
        self.room_types = StoredRoomTypes(self.transactions, self.contracts)
        self.revocations = Revocations(self.transactions)
        self.deletions = Deletions(self.transactions)
        self.audit = AuditLog(self.transactions)
        self.usage = UsageStorage(self.transactions)
        self.redis_mark = RedisMark(self.transactions)

    @classmethod
    async def open(cls, database_url: str, sealer: Sealer, *, audit_retention_days: int = 365) -> "Storage":
        """Open a migrated database. Raises NotMigrated, SealingKeyError for another key than the one it has."""
        storage = cls(make_engine(database_url), sealer, audit_retention_days)
        try:
            await storage._check()
        except BaseException:
            await storage.close()
            raise
        return storage

    async def close(self) -> None:
        """Give all connections back."""
        await self._engine.dispose()

    def database_id(self) -> str:
        """The database's own id, drawn when it was made: it stands in Redis too."""
        return self._database_id

    async def _check(self) -> None:
        await check_reachable(self._engine)
        async with sql_as_unavailable(), self._engine.connect() as connection:
            await connection.run_sync(check_migrated)
        async with self.transactions.read() as session:
            known = {row.key: row.value for row in await session.scalars(select(SystemRow))}
        self._database_id = known["database_id"]
        check = known.get("sealing_check") or await self._keep_sealing_check()
        if check != self._sealer.check_value:
            raise SealingKeyError("this is not the sealing key that the database was made with: start with that one")

    async def _keep_sealing_check(self) -> str:
        """Note the first start's sealing key, unless another process noted its own just now; gives the noted one."""
        with suppress(IntegrityError):
            async with self.transactions.write(SYSTEM) as write:
                write.session.add(SystemRow(key="sealing_check", value=self._sealer.check_value))
        async with self.transactions.read() as session:
            return (await session.get_one(SystemRow, "sealing_check")).value

    # The source of snapshots (`cache.TenantSource`).

    async def find_tenant(self, name: str) -> TenantSnapshot | None:
        """The tenant of this name with its keys in force."""
        return await self._snapshot(TenantRow.name == name) if is_tenant(name) else None

    async def find_tenant_by_id(self, tenant_id: str) -> TenantSnapshot | None:
        """The tenant of this internal id with its keys in force."""
        return await self._snapshot(TenantRow.id == tenant_id)

    async def tenant_versions(self, tenant_ids: Iterable[str]) -> dict[str, int]:
        """The version of each of these tenants that exists."""
        ids = list(tenant_ids)
        versions: dict[str, int] = {}
        async with self.transactions.read() as session:
            for start in range(0, len(ids), _IDS_IN_ONE_QUERY):
                wanted = TenantRow.id.in_(ids[start : start + _IDS_IN_ONE_QUERY])
                found = await session.execute(select(TenantRow.id, TenantRow.version).where(wanted))
                versions.update((tenant_id, version) for tenant_id, version in found)
        return versions

    async def _snapshot(self, which: ColumnElement[bool]) -> TenantSnapshot | None:
        async with self.transactions.read() as session:
            gathered = _gathered(session)
            found = (await session.execute(select(TenantRow, *gathered).where(which))).one_or_none()
            if found is None:
                return None
            row, room_types, revoked_users, revoked_jtis, contract_version = found
            signing_keys = (
                select(SigningKeyRow)
                .where(SigningKeyRow.tenant_id == row.id, SigningKeyRow.revoked_at_ms.is_(None))
                .order_by(SigningKeyRow.created_at_ms.desc())
            )
            api_keys = select(ApiKeyRow).where(ApiKeyRow.tenant_id == row.id, ApiKeyRow.revoked_at_ms.is_(None))
            return read_snapshot(
                row,
                await session.scalars(signing_keys),
                await session.scalars(api_keys),
                self._sealer,
                room_types=room_types or "{}",
                revoked_users=revoked_users or "{}",
                revoked_jtis=revoked_jtis or "{}",
                contract_version=contract_version or 0,
            )


def _gathered(session: AsyncSession) -> tuple[ScalarSelect[Any], ...]:
    """A tenant's room types, revoked users and revoked jtis, each one JSON object, or NULL for none; and its contract's
    version.

    Made by the database: 10,000 revocations as rows would hold the loop for 30 ms, as one text they take 3.
    """
    is_postgres = session.get_bind().dialect.name == "postgresql"
    gather = func.json_object_agg if is_postgres else func.json_group_object
    rules = RoomTypeRow.rules if is_postgres else func.json(RoomTypeRow.rules)
    room_types = select(cast(gather(RoomTypeRow.name, rules), Text)).where(RoomTypeRow.tenant_id == TenantRow.id)
    revoked = select(cast(gather(RevocationRow.subject, RevocationRow.until_at_ms), Text)).where(
        RevocationRow.tenant_id == TenantRow.id, RevocationRow.until_at_ms > unix_time_ms()
    )
    users, jtis = revoked.where(RevocationRow.kind == "user"), revoked.where(RevocationRow.kind == "jti")
    version = select(func.max(ContractVersionRow.version)).where(ContractVersionRow.tenant_id == TenantRow.id)
    return tuple(each.scalar_subquery() for each in (room_types, users, jtis, version))
