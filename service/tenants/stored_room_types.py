"""The room types of tenants in SQL."""

import msgspec
from sqlalchemy import select

from service.protocol.errors import NotFound, TooMany
from service.tenants.audit import Actor
from service.tenants.records import RoomTypeRecord
from service.tenants.room_types import RoomType
from service.tenants.rows import check_cursor, is_text, read_limits, read_room_type, read_room_types, unix_time_ms
from service.tenants.tables import RoomTypeRow
from service.tenants.transactions import Transactions


class StoredRoomTypes:
    """Room types, each looked up under its tenant's internal id.

    Methods with an actor leave an audit row for what they change.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def put(self, actor: Actor, tenant_id: str, name: str, room_type: RoomType) -> tuple[RoomTypeRecord, bool]:
        """Make the type, or replace it whole; gives it with its pattern, and whether it was made.

        Raises NotFound, Invalid, Conflict (another type has the pattern), TooMany (`max_room_types`).
        """
        async with self._transactions.change(actor, tenant_id) as change:
            known = list(await change.session.scalars(select(RoomTypeRow).where(RoomTypeRow.tenant_id == tenant_id)))
            limits = read_limits(change.tenant)
            admitted = read_room_types(known).admit(name, room_type, limits)
            rules = msgspec.to_builtins(admitted)
            row = next((row for row in known if row.name == name), None)
            created = row is None
            if row is None:
                if limits.max_room_types is not None and len(known) >= limits.max_room_types:
                    raise TooMany("max_room_types", "tenant")
                row = RoomTypeRow(tenant_id=tenant_id, name=name)
                change.session.add(row)
            if created or row.rules != rules:
                change.note("room_type.put", name, before=None if created else row.rules, after=rules)
                row.pattern, row.rules, row.changed_at_ms = admitted.pattern, rules, unix_time_ms()
        return read_room_type(row), created

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

    async def delete(self, actor: Actor, tenant_id: str, name: str) -> None:
        """Rooms of this type get another one, or the default. Raises NotFound."""
        mine = (RoomTypeRow.tenant_id == tenant_id) & (RoomTypeRow.name == name)
        async with self._transactions.change(actor, tenant_id) as change:
            row = await change.session.scalar(select(RoomTypeRow).where(mine)) if is_text(name) else None
            if row is None:
                raise NotFound(f"room type: {name}")
            await change.session.delete(row)
            change.note("room_type.delete", name, before=row.rules)
