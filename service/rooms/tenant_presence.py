"""What a `ConnectionManager` does for its tenant's presence: what members show and who they are."""

from msgspec import UNSET

from service.brokers.broker import Broker
from service.brokers.members import Shown, Snapshot
from service.protocol.cursors import read_cursor, write_cursor
from service.protocol.errors import Forbidden, NotJoined, TooLarge
from service.protocol.events import MembersEvent, Occupancy
from service.rooms.admission import check_value
from service.rooms.budgets import Budgets
from service.rooms.connection import Connection
from service.rooms.history import PAGE_BYTES
from service.rooms.local_rooms import LocalRooms
from service.rooms.membership import Membership
from service.rooms.presence import FLUSHES_AFTER_A_PAGE, FLUSHES_OF_A_READ, shown_member
from service.rooms.usage import Usage
from service.tenants.snapshot import TenantSnapshot


class TenantPresence:
    """Its part of `ConnectionManager`."""

    broker: Broker
    budgets: Budgets
    rooms: LocalRooms
    usage: Usage
    tenant: TenantSnapshot

    def check_presence(self, room_id: str) -> None:
        """Raises Forbidden where the room's type has no presence."""
        if not self.rooms.rules(room_id).presence:
            raise Forbidden("rooms of this type have no presence", room_id)

    def check_state(self, state: bytes, room_id: str) -> bytes:
        """The state as it is shown. Raises TooLarge, SchemaMismatch."""
        most = self.tenant.limits.max_state_bytes
        schemas = self.rooms.rules(room_id).schemas
        if schemas is not None and (most is None or len(state) <= most):
            state = check_value(schemas, "state", None, state, room_id, self.budgets, self.usage)
        if most is not None and len(state) > most:
            raise TooLarge("max_state_bytes", most, path="$.state", room=room_id)
        return state

    def present(self, member: Membership, shown: Shown, snapshot: Snapshot | None) -> None:
        """A member that has just entered is as `shown`; `snapshot`, if it watches, is what Redis told it."""
        room, connection = member.room, member.connection
        member.state = shown.state
        if snapshot is not None and room.presence is not None:
            room.presence.enter(member, snapshot)
        if connection.info != shown.info:  # a newer token came during the join
            self.broker.set_info(room.address, connection.id, connection.info)

    async def set_state(self, member: Membership, state: bytes) -> None:
        """Show another state.

        Raises Forbidden, TooLarge, SchemaMismatch, Unavailable, and NotJoined if it was put out meanwhile.
        """
        room = member.room
        self.check_presence(room.name)
        state = self.check_state(state, room.name)
        if not await self.broker.set_state(room.address, member.connection.id, state):
            raise NotJoined(room.name)
        member.state = state

    def show_info(self, connection: Connection) -> None:
        """The connection's `info` is another one: watchers of its rooms are told."""
        for member in connection.rooms.values():
            self.broker.set_info(member.room.address, connection.id, connection.info)

    async def members(
        self, room_id: str, cursor: str | None, limit: int, reader: Connection | None = None
    ) -> MembersEvent:
        """One page of a room's members, on all nodes. reader: who may watch the room at the same time.

        Raises Forbidden, Invalid (`$.cursor`), Unavailable.
        """
        self.check_presence(room_id)
        query = f"members\0{room_id}"
        after = "" if cursor is None else read_cursor(self.tenant.id, query, cursor)
        member = None if reader is None else reader.rooms.get(room_id)
        _reads(member, FLUSHES_OF_A_READ)
        page = await self.broker.list_members(self.broker.address(self.tenant.id, room_id), after, limit, PAGE_BYTES)
        _reads(member, FLUSHES_AFTER_A_PAGE)
        last = page.members[-1].connection if page.more else None
        return MembersEvent(
            room=room_id,
            members=[shown_member(member) for member in page.members],
            next_cursor=UNSET if last is None else write_cursor(self.tenant.id, query, last),
            occupancy=Occupancy(connections=page.connections, users=page.users),
        )


def _reads(member: Membership | None, flushes: int) -> None:
    if member is not None and member.room.presence is not None:
        member.room.presence.read(member, flushes)
