"""Every SQL query. Each takes the tenant first; what changes a tenant or its keys raises its version in the same
transaction, which is how every node comes to know.

All methods raise Unavailable when the database is out of reach, locked or too slow.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import msgspec
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from service.protocol.errors import Conflict, Invalid, NotFound
from service.protocol.identifiers import is_tenant
from service.tenants.database import (
    NotMigrated,
    check_migrated,
    check_reachable,
    make_engine,
    sql_as_unavailable,
    upgrade_database,
)
from service.tenants.keys import Sealer, SealingKeyError, new_hs256_secret, random_id
from service.tenants.limits import Limits
from service.tenants.rows import (
    Tenant,
    check_origins,
    make_api_key,
    make_signing_key,
    read_snapshot,
    read_tenant,
    unix_time_ms,
)
from service.tenants.snapshot import SCOPES, TenantSnapshot
from service.tenants.tables import ApiKeyRow, SigningKeyRow, SystemRow, TenantRow

__all__ = ["NewTenant", "NotMigrated", "Storage", "Tenant", "upgrade_database"]

TenantState = Literal["active", "suspended"]

# SQLite takes 32,766 parameters in one statement, PostgreSQL 32,767.
_IDS_IN_ONE_QUERY = 10_000


class NewTenant(msgspec.Struct, frozen=True):
    """A tenant just made, with the two secrets that are shown this once."""

    tenant: Tenant
    kid: str
    algorithm: str
    secret: str
    api_key: str


class _TenantRows(SQLAlchemyAsyncRepository[TenantRow]):
    model_type = TenantRow


class _SigningKeyRows(SQLAlchemyAsyncRepository[SigningKeyRow]):
    model_type = SigningKeyRow


class _ApiKeyRows(SQLAlchemyAsyncRepository[ApiKeyRow]):
    model_type = ApiKeyRow


class Storage:
    """The tables of one database. Made by `open`; `close` gives the connections back."""

    def __init__(self, engine: AsyncEngine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer
        self._reads = async_sessionmaker(engine, expire_on_commit=False)
        self._writes = async_sessionmaker(engine.execution_options(writes=True), expire_on_commit=False)
        self._database_id = ""

    @classmethod
    async def open(cls, database_url: str, sealer: Sealer) -> "Storage":
        """Open a migrated database. Raises NotMigrated, SealingKeyError for another key than the one it has."""
        storage = cls(make_engine(database_url), sealer)
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
        async with self._transaction(self._reads) as session:
            known = {row.key: row.value for row in await session.scalars(select(SystemRow))}
        self._database_id = known["database_id"]
        check = known.get("sealing_check") or await self._keep_sealing_check()
        if check != self._sealer.check_value:
            raise SealingKeyError("this is not the sealing key that the database was made with: start with that one")

    async def _keep_sealing_check(self) -> str:
        """Note the first start's sealing key, unless another process noted its own just now; gives the noted one."""
        with suppress(IntegrityError):
            async with self._transaction(self._writes) as session:
                session.add(SystemRow(key="sealing_check", value=self._sealer.check_value))
        async with self._transaction(self._reads) as session:
            return (await session.get_one(SystemRow, "sealing_check")).value

    # Tenants.

    async def create_tenant(self, name: str, limits: Limits | None = None, origins: Sequence[str] = ()) -> NewTenant:
        """A tenant with an HS256 key and an API key of all scopes. Raises Conflict (name taken), Invalid."""
        if not is_tenant(name):
            raise Invalid("a tenant's name is a-z, 0-9 and -, 1 to 63 of them, and begins with no -", "$.name")
        row = TenantRow(
            id=random_id(),
            name=name,
            state="active",
            limits=msgspec.to_builtins(limits or Limits()),
            origins=check_origins(origins),
            version=1,
            created_at_ms=unix_time_ms(),
        )
        secret = new_hs256_secret()
        signing_key = make_signing_key(row.id, "HS256", secret.encode(), self._sealer, name="first")
        api_key, api_key_row = make_api_key(row.id, name, "first", SCOPES)
        try:
            async with self._transaction(self._writes) as session:
                await _TenantRows(session=session, wrap_exceptions=False).add(row)
                await _SigningKeyRows(session=session, wrap_exceptions=False).add(signing_key)
                await _ApiKeyRows(session=session, wrap_exceptions=False).add(api_key_row)
        except IntegrityError:
            raise Conflict(f"there is a tenant {name} already") from None
        return NewTenant(read_tenant(row), signing_key.kid, "HS256", secret, api_key)

    async def list_tenants(self) -> list[Tenant]:
        """All tenants by name."""
        async with self._transaction(self._reads) as session:
            return [
                read_tenant(row)
                for row in await _TenantRows(session=session, wrap_exceptions=False).get_many(order_by=("name", False))
            ]

    async def find_tenant(self, name: str) -> TenantSnapshot | None:
        """The tenant of this name with its keys in force."""
        return await self._snapshot(name=name)

    async def find_tenant_by_id(self, tenant_id: str) -> TenantSnapshot | None:
        """The tenant of this internal id with its keys in force."""
        return await self._snapshot(id=tenant_id)

    async def tenant_versions(self, tenant_ids: Iterable[str]) -> dict[str, int]:
        """The version of each of these tenants that exists."""
        ids = list(tenant_ids)
        versions: dict[str, int] = {}
        async with self._transaction(self._reads) as session:
            for start in range(0, len(ids), _IDS_IN_ONE_QUERY):
                wanted = TenantRow.id.in_(ids[start : start + _IDS_IN_ONE_QUERY])
                found = await session.execute(select(TenantRow.id, TenantRow.version).where(wanted))
                versions.update((tenant_id, version) for tenant_id, version in found)
        return versions

    async def delete_tenant(self, name: str) -> str:
        """Delete the tenant and its keys; gives its internal id. Raises NotFound."""
        async with self._transaction(self._writes) as session:
            gone: str | None = await session.scalar(
                delete(TenantRow).where(TenantRow.name == name).returning(TenantRow.id)
            )
        if gone is None:
            raise NotFound(f"tenant: {name}")
        return gone

    async def set_tenant_state(self, tenant_id: str, state: TenantState) -> None:
        """Suspend or resume the tenant. Raises NotFound."""
        await self._set(tenant_id, state=state)

    async def set_limits(self, tenant_id: str, limits: Limits) -> None:
        """Replace the tenant's limits. Raises NotFound."""
        await self._set(tenant_id, limits=msgspec.to_builtins(limits))

    async def set_origins(self, tenant_id: str, origins: Sequence[str]) -> None:
        """Replace the exact list of origins from which browsers may connect; empty: any. Raises NotFound, Invalid."""
        await self._set(tenant_id, origins=check_origins(origins))

    # Keys.

    async def create_signing_key(
        self,
        tenant_id: str,
        algorithm: str,
        material: bytes | None = None,
        *,
        name: str = "",
        kid: str | None = None,
        expires_at_ms: int | None = None,
    ) -> tuple[str, str | None]:
        """A key for tokens as (kid, secret): HS256 draws its secret unless `material` brings one, and gives it back;
        ES256 and EdDSA need `material`, a PEM or JWK. Raises Conflict (kid taken), Invalid, NotFound.
        """
        secret = new_hs256_secret() if algorithm == "HS256" and material is None else None
        material = secret.encode() if secret is not None else material or b""
        row = make_signing_key(
            tenant_id, algorithm, material, self._sealer, name=name, kid=kid, expires_at_ms=expires_at_ms
        )
        try:
            async with self._change(tenant_id) as (session, _):
                await _SigningKeyRows(session=session, wrap_exceptions=False).add(row)
        except IntegrityError:
            raise Conflict(f"the tenant has a signing key {row.kid} already") from None
        return row.kid, secret

    async def create_api_key(
        self, tenant_id: str, name: str, scopes: Iterable[str], expires_at_ms: int | None = None
    ) -> tuple[str, str]:
        """A key for the tenant's servers as (text, key id); the text is nowhere kept. Raises Invalid, NotFound."""
        async with self._change(tenant_id) as (session, tenant_name):
            text, row = make_api_key(tenant_id, tenant_name, name, scopes, expires_at_ms)
            await _ApiKeyRows(session=session, wrap_exceptions=False).add(row)
        return text, row.key_id

    async def revoke_signing_key(self, tenant_id: str, kid: str) -> None:
        """No token under this key is accepted any more; said twice is said once. Raises NotFound."""
        mine = (SigningKeyRow.tenant_id == tenant_id) & (SigningKeyRow.kid == kid)
        await self._revoke(tenant_id, SigningKeyRow, mine)

    async def revoke_api_key(self, tenant_id: str, key_id: str) -> None:
        """This key is not accepted any more; said twice is said once. Raises NotFound."""
        mine = (ApiKeyRow.tenant_id == tenant_id) & (ApiKeyRow.key_id == key_id)
        await self._revoke(tenant_id, ApiKeyRow, mine)

    # How it is done.

    @asynccontextmanager
    async def _transaction(self, sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
        """One transaction. The commit is ours and inside: nothing is answered that COMMIT refused."""
        async with sql_as_unavailable(changing=sessions is self._writes), sessions() as session:
            yield session
            await session.commit()

    @asynccontextmanager
    async def _change(self, tenant_id: str) -> AsyncIterator[tuple[AsyncSession, str]]:
        """A transaction that changes the tenant: (session, tenant's name). Its row is locked first, its version up."""
        async with self._transaction(self._writes) as session:
            raised = (
                update(TenantRow)
                .where(TenantRow.id == tenant_id)
                .values(version=TenantRow.version + 1)
                .returning(TenantRow.name)
            )
            name = await session.scalar(raised)
            if name is None:
                raise NotFound("tenant")
            yield session, name

    async def _set(self, tenant_id: str, **values: Any) -> None:
        async with self._change(tenant_id) as (session, _):
            await session.execute(update(TenantRow).where(TenantRow.id == tenant_id).values(**values))

    async def _revoke(
        self, tenant_id: str, rows: type[SigningKeyRow] | type[ApiKeyRow], mine: ColumnElement[bool]
    ) -> None:
        async with self._change(tenant_id) as (session, _):
            revoked_at_ms = func.coalesce(rows.revoked_at_ms, unix_time_ms())
            found = await session.scalar(
                update(rows).where(mine).values(revoked_at_ms=revoked_at_ms).returning(rows.tenant_id)
            )
            if found is None:
                raise NotFound("key")

    async def _snapshot(self, **where: str) -> TenantSnapshot | None:
        async with self._transaction(self._reads) as session:
            row = await session.scalar(select(TenantRow).filter_by(**where))
            if row is None:
                return None
            # Read after the row: keys may be newer than its version, never older, and the next poll sees that.
            signing_keys = await _SigningKeyRows(session=session, wrap_exceptions=False).get_many(
                SigningKeyRow.tenant_id == row.id,
                SigningKeyRow.revoked_at_ms.is_(None),
                order_by=("created_at_ms", True),
            )
            api_keys = await _ApiKeyRows(session=session, wrap_exceptions=False).get_many(
                ApiKeyRow.tenant_id == row.id, ApiKeyRow.revoked_at_ms.is_(None)
            )
        return read_snapshot(row, signing_keys, api_keys, self._sealer)
