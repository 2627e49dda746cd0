"""The contracts of tenants in SQL: the room types in force, and the versions that were."""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from service.protocol.contracts import ContractAnswer, ContractVersion
from service.protocol.errors import Break, BreakingChange, Conflict, Invalid, NotFound, Unavailable
from service.tenants.audit import Actor
from service.tenants.contract import Contract, admit_room_types, schemas_of
from service.tenants.contract_changes import compare_contracts
from service.tenants.room_types import JsonSchema, RoomType
from service.tenants.rows import make_room_types, read_limits, read_room_types, unix_time_ms
from service.tenants.schema_changes import written
from service.tenants.schema_probe import probe
from service.tenants.schemas import path_to
from service.tenants.tables import ContractVersionRow, RoomTypeRow, TenantRow
from service.tenants.transactions import TenantChange, Transactions

# Of 1 MiB each, should a tenant change the largest contract all the time.
KEPT_VERSIONS: Final = 100
# How many changes an audit row tells, and how many breaks a refusal; the version has the rest.
TOLD_CHANGES: Final = 100


class StoredContracts:
    """Contracts, each looked up under its tenant's internal id.

    Methods with an actor leave an audit row for what they change.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._probing = asyncio.Semaphore(1)  # one process at a time looks at schemas, whoever sends them

    async def read(self, tenant_id: str) -> Contract:
        """The contract in force, with its version; without room types if there are none, or no such tenant."""
        async with self._transactions.read() as session:
            return await _read_contract(session, tenant_id)

    async def read_version(self, tenant_id: str, version: int) -> Contract:
        """The contract as it was. Raises NotFound for a version that never was, or is no longer kept."""
        mine = (ContractVersionRow.tenant_id == tenant_id) & (ContractVersionRow.version == version)
        async with self._transactions.read() as session:
            row = await session.scalar(select(ContractVersionRow).where(mine)) if 0 < version < 2**63 else None
        if row is None:
            raise NotFound(f"version of the contract: {version}")
        return Contract(version=row.version, room_types=dict(make_room_types(row.room_types).types))

    async def page(self, tenant_id: str, after: str, limit: int) -> list[ContractVersion]:
        """At most `limit` kept versions, the newest first, from the one before `after` ("": the newest)."""
        row = ContractVersionRow
        mine = (row.tenant_id == tenant_id) & (row.version < _read_cursor(after))
        columns = select(row.version, row.at_ms, row.actor_kind, row.actor_id).where(mine)
        async with self._transactions.read() as session:
            found = await session.execute(columns.order_by(row.version.desc()).limit(limit))
            return [msgspec.convert(each, ContractVersion, from_attributes=True) for each in found.mappings()]

    async def put(self, actor: Actor, tenant_id: str, wanted: Contract, *, breaking: bool = False) -> ContractAnswer:
        """Have this contract, whole; what it has already is no change. breaking: changes that break clients are meant.

        Raises NotFound, Invalid, TooLarge, TooMany, Conflict (of patterns, or another version), BreakingChange.
        """
        await self.check(tenant_id, wanted.room_types)
        async with self._transactions.change(actor, tenant_id) as change:
            before = await _read_version(change.session, tenant_id)
            _check_version(wanted, before)
            types = admit_room_types(wanted.room_types, read_limits(change.tenant))
            answer = await replace_room_types(change, types, breaking=breaking)
            if answer.changes:
                told = [msgspec.to_builtins(each) for each in answer.changes[:TOLD_CHANGES]]
                after = {"version": answer.version, "changes": told}
                change.note("contract.put", str(answer.version), before={"version": before}, after=after)
        return answer

    async def preview(self, tenant_id: str, wanted: Contract) -> ContractAnswer:
        """What `put` would change, breaking or not. Raises what it raises, but BreakingChange."""
        known, types = await self.check(tenant_id, wanted.room_types)
        _check_version(wanted, known.version or 0)
        changes = await asyncio.to_thread(compare_contracts, known.room_types, types)
        return ContractAnswer(version=known.version or 0, changes=changes)

    async def check(self, tenant_id: str, wanted: Mapping[str, RoomType]) -> tuple[Contract, dict[str, RoomType]]:
        """Look at types that are to be in force together, and at their schemas unless they are in force already.

        Gives the contract in force, and the types with their patterns. Raises NotFound, Invalid, TooLarge, TooMany,
        Conflict.
        """
        async with self._transactions.read() as session:
            tenant = await session.scalar(select(TenantRow).where(TenantRow.id == tenant_id))
            if tenant is None:
                raise NotFound("tenant")
            known = await _read_contract(session, tenant_id)
        admitted = admit_room_types(wanted, read_limits(tenant))
        await self.look_at(
            known.room_types,
            {
                path_to("$.room_types", [name, *within]): schema
                for name, room_type in admitted.items()
                for within, schema in schemas_of(room_type)
            },
        )
        return known, admitted

    async def look_at(self, known: Mapping[str, RoomType], schemas: Mapping[str, JsonSchema]) -> None:
        """Look at schemas, by the paths at which they stand, but at those that `known` has. Raises Invalid, TooLarge,
        Unavailable.
        """
        there = {written(schema) for each in known.values() for _, schema in schemas_of(each)}
        new = {path: schema for path, schema in schemas.items() if written(schema) not in there}
        async with self._probing:
            try:
                await probe(new)
            except OSError:
                raise Unavailable("no process can look at the schemas now", retry_after_ms=1_000) from None


async def replace_room_types(
    change: TenantChange, wanted: Mapping[str, RoomType], *, breaking: bool = False
) -> ContractAnswer:
    """Have these room types, admitted and looked at, in place of all; a new version if anything changes.

    Raises BreakingChange, unless breaks are meant.
    """
    tenant_id, session = change.tenant.id, change.session
    contract = await _read_contract(session, tenant_id)
    known, version = contract.room_types, contract.version or 0
    changes = await asyncio.to_thread(compare_contracts, known, wanted)
    if not changes:
        return ContractAnswer(version=version, changes=[])
    breaks = [Break(each.path, each.change) for each in changes if each.breaking]
    if breaks and not breaking:
        raise BreakingChange(breaks[:TOLD_CHANGES], len(breaks))
    await _write(session, tenant_id, known, wanted)
    version += 1
    session.add(_version_row(change, version, wanted))
    old = (ContractVersionRow.tenant_id == tenant_id) & (ContractVersionRow.version <= version - KEPT_VERSIONS)
    await session.execute(delete(ContractVersionRow).where(old))
    return ContractAnswer(version=version, changes=changes)


async def _write(
    session: AsyncSession, tenant_id: str, known: Mapping[str, RoomType], wanted: Mapping[str, RoomType]
) -> None:
    """What differs goes first and comes back then, as types may change their patterns with each other."""
    mine = RoomTypeRow.tenant_id == tenant_id
    goes = [name for name, room_type in known.items() if written(room_type) != written(wanted.get(name))]
    comes = [name for name, room_type in wanted.items() if written(room_type) != written(known.get(name))]
    await session.execute(delete(RoomTypeRow).where(mine, RoomTypeRow.name.in_(goes)))
    now_ms = unix_time_ms()
    for name in comes:
        rules = msgspec.to_builtins(wanted[name])
        session.add(
            RoomTypeRow(tenant_id=tenant_id, name=name, pattern=wanted[name].pattern, rules=rules, changed_at_ms=now_ms)
        )


async def _read_contract(session: AsyncSession, tenant_id: str) -> Contract:
    types = read_room_types(await session.scalars(select(RoomTypeRow).where(RoomTypeRow.tenant_id == tenant_id)))
    return Contract(version=await _read_version(session, tenant_id), room_types=dict(types.types))


async def _read_version(session: AsyncSession, tenant_id: str) -> int:
    last = select(func.max(ContractVersionRow.version)).where(ContractVersionRow.tenant_id == tenant_id)
    return await session.scalar(last) or 0


def _check_version(wanted: Contract, current: int) -> None:
    if wanted.version is not None and wanted.version != current:
        raise Conflict(f"the contract is at version {current}, not {wanted.version}: read it again")


def _read_cursor(after: str) -> int:
    if not after:
        return 2**63 - 1
    if not after.isdecimal() or len(after) > 18:
        raise Invalid("this cursor is none that a page has given", "$.cursor")
    return int(after)


def _version_row(change: TenantChange, version: int, room_types: Mapping[str, RoomType]) -> ContractVersionRow:
    return ContractVersionRow(
        tenant_id=change.tenant.id,
        version=version,
        room_types=msgspec.to_builtins(room_types),
        at_ms=unix_time_ms(),
        actor_kind=change.actor.kind,
        actor_id=change.actor.id,
    )
