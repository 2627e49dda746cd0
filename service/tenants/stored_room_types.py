"""The room types of tenants in SQL."""

from typing import Any

import msgspec
from sqlalchemy import select

from service.protocol.errors import NotFound, TooMany
from service.tenants.audit import Actor
from service.tenants.contract import check_size, schemas_of
from service.tenants.records import RoomTypeRecord
from service.tenants.room_types import RoomType
from service.tenants.rows import check_cursor, is_text, read_limits, read_room_type, read_room_types
from service.tenants.schemas import path_to
from service.tenants.stored_contracts import StoredContracts, replace_room_types
from service.tenants.tables import RoomTypeRow
from service.tenants.transactions import Transactions


class StoredRoomTypes:
    """Room types, each looked up under its tenant's internal id.

    Methods with an actor leave an audit row for what they change.
    """

    def __init__(self, transactions: Transactions, contracts: StoredContracts) -> None:
        self._transactions = transactions
        self._contracts = contracts

    async def put(
        self, actor: Actor, tenant_id: str, name: str, room_type: RoomType, *, breaking: bool = False
    ) -> tuple[RoomTypeRecord, bool]:
        """Make the type, or replace it whole; gives it with its pattern, and whether it was made.

        Raises NotFound, Invalid, Conflict (another type has the pattern), TooMany (`max_room_types`), TooLarge, and
        BreakingChange unless `breaking`.
        """
        known_types = (await self._contracts.read(tenant_id)).room_types
        await self._contracts.look_at(
            known_types, {path_to("$", within): schema for within, schema in schemas_of(room_type)}
        )
        async with self._transactions.change(actor, tenant_id) as change:
            known = list(await change.session.scalars(select(RoomTypeRow).where(RoomTypeRow.tenant_id == tenant_id)))
            limits = read_limits(change.tenant)
            types = read_room_types(known)
            admitted = types.admit(name, room_type, limits)
            row = next((row for row in known if row.name == name), None)
            if row is None and limits.max_room_types is not None and len(known) >= limits.max_room_types:
                raise TooMany("max_room_types", "tenant")
            wanted = {**types.types, name: admitted}
            check_size(wanted, limits)
            before = types.types.get(name)
            if (await replace_room_types(change, wanted, breaking=breaking)).changes:
                told = None if before is None else _facts(before)
                change.note("room_type.put", name, before=told, after=_facts(admitted))
                mine = (RoomTypeRow.tenant_id == tenant_id) & (RoomTypeRow.name == name)
                row = await change.session.scalar(select(RoomTypeRow).where(mine))
        if row is None:
            raise NotFound(f"room type: {name}")
        return read_room_type(row), before is None

    async def read(self, tenant_id: str, name: str) -> RoomTypeRecord:
        """The type of this name. Raises NotFound."""
        mine = (RoomTypeRow.tenant_id == tenant_id) & (RoomTypeRow.name == name)
        async with self._transactions.read() as session:
            row = await session.scalar(select(RoomTypeRow).where(mine)) if is_text(name) else None
        if row is None:
            raise NotFound(f"room type: {name}")
        return read_room_type(row)

    async def page(self, tenant_id: str, after: str, limit: int) -> list[RoomTypeRecord]:
        """At most `limit` types by name, from the one that follows `after` ("": the first)."""
        mine = (RoomTypeRow.tenant_id == tenant_id) & (RoomTypeRow.name > check_cursor(after))
        page = select(RoomTypeRow).where(mine).order_by(RoomTypeRow.name).limit(limit)
        async with self._transactions.read() as session:
            return [read_room_type(row) for row in await session.scalars(page)]

    async def delete(self, actor: Actor, tenant_id: str, name: str, *, breaking: bool = False) -> None:
        """Rooms of this type get another one, or the default. Raises NotFound, and BreakingChange unless `breaking`."""
        async with self._transactions.change(actor, tenant_id) as change:
            mine = select(RoomTypeRow).where(RoomTypeRow.tenant_id == tenant_id)
            types = dict(read_room_types(await change.session.scalars(mine)).types)
            gone = types.pop(name, None)
            if gone is None:
                raise NotFound(f"room type: {name}")
            await replace_room_types(change, types, breaking=breaking)
            change.note("room_type.delete", name, before=_facts(gone))


def _facts(room_type: RoomType) -> dict[str, Any]:
    """What the audit says of a type; of its schemas only where they stand, as the contract's versions keep them."""
    facts: dict[str, Any] = msgspec.to_builtins(room_type)
    for kind in ("messages", "signals"):
        if kind in facts:
            facts[kind] = sorted(facts[kind])
    return facts | ({"state": True} if "state" in facts else {})
