"""One tenant on this node: its connections by id and by user, its rooms, and what it sends."""

import asyncio
from collections.abc import Callable

from msgspec import UNSET

from service.brokers.broker import Broker, ConnectionEntry, RoomHead
from service.brokers.members import NOTHING_SHOWN, Shown
from service.protocol.codec import event_frame
from service.protocol.errors import Forbidden, RoomcastError, TooMany
from service.protocol.events import Gap, Joined, Left, Occupancy
from service.protocol.identifiers import Position
from service.rooms import recovery
from service.rooms.budgets import Budgets
from service.rooms.connection import Connection
from service.rooms.key_use import KeyUse
from service.rooms.local_rooms import LocalRooms, NodeServices
from service.rooms.membership import Membership
from service.rooms.messages import TenantMessages
from service.rooms.presence import shown_member
from service.rooms.room import Room
from service.rooms.rules import Rulebook
from service.rooms.tenant_presence import TenantPresence
from service.tenants.snapshot import TenantSnapshot


class ConnectionManager(TenantMessages, TenantPresence):
    """One tenant on this node. Litestar injects it; all of a tenant hangs on it, and nothing of another's."""

    def __init__(self, tenant: TenantSnapshot, services: NodeServices, node: str) -> None:
        self.broker: Broker = services.broker
        self.node = node
        self.connections: dict[str, Connection] = {}
        self.users: dict[str, set[Connection]] = {}
        self.tenant = tenant
        self.usage = services.usage.of(tenant.id)
        self.rooms = LocalRooms(tenant.id, services, self.connections, Rulebook(tenant))
        self.budgets = Budgets(tenant.limits)
        self.key_use = KeyUse(tenant.id, services.broker)
        self.used_at = 0.0  # by the node, monotonic

    def update(self, tenant: TenantSnapshot) -> None:
        """The tenant's limits, keys or state changed; its connections are yet to be told."""
        self.tenant = tenant
        if not self.rooms.rulebook.fits(tenant):
            self.rooms.change_rules(Rulebook(tenant))
        self.budgets.reconfigure(tenant.limits)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the tenant is on this node."""
        return not self.connections and not self.rooms.by_name and self.key_use.is_saved

    # Connections

    async def reserve(self, entry: ConnectionEntry) -> None:
        """Count a connection in the cluster before its socket is accepted; then `connect` it, or `release` it.

        Raises RateLimited (connects_per_second), TooMany (max_connections, max_connections_per_user), Unavailable.
        """
        limits = self.tenant.limits
        most, most_of_user = limits.max_connections, limits.max_connections_per_user
        try:
            self.budgets.take_connect(entry.user)
            await self.broker.connect(self.tenant.id, entry, most, most_of_user)
        except RoomcastError as error:
            self.usage.refuse(error.code)
            raise

    def release(self, entry: ConnectionEntry) -> None:
        """A reserved connection never came."""
        self.broker.disconnected(self.tenant.id, entry.connection, entry.user)

    def connect(self, connection: Connection) -> None:
        """A reserved connection is there: messages to it and its user reach it from now on."""
        self.connections[connection.id] = connection
        self.users.setdefault(connection.user, set()).add(connection)
        self.key_use.connected(connection.kid)

    def disconnect(self, connection: Connection, *, has_grace: bool = False) -> None:
        """The socket is gone: out of all rooms and counts; with a grace it keeps its places for so long as the rooms'
        rules say. Nothing happens the second time.
        """
        if self.connections.pop(connection.id, None) is None:
            return
        self.key_use.disconnected(connection.kid)
        same_user = self.users[connection.user]
        same_user.discard(connection)
        if not same_user:
            del self.users[connection.user]
        for member in list(connection.rooms.values()):
            rules = member.room.rules
            grace_ms = int(1_000 * rules.presence_grace_seconds) if has_grace and rules.presence else 0
            # Before the room may be released: members that nobody removed are found by their lease's claims.
            self.broker.left(member.room.address, connection.id, grace_ms)
            self._forget(member)
        self.broker.disconnected(self.tenant.id, connection.id, connection.user)

    # Rooms

    async def join_room(
        self,
        connection: Connection,
        room_id: str,
        since: Position | None,
        joined: Callable[[Joined, Gap | None], None],
        shown: Shown = NOTHING_SHOWN,
    ) -> None:
        """Make the connection a member and call `joined`; what was missed, then live messages, follow by themselves.

        Raises TooMany (rooms of the connection or tenant, members of the room), Unavailable, and Forbidden if the
        membership was ended meanwhile.
        """
        before = connection.rooms.get(room_id)
        room, head = await self._open_and_join(connection, room_id, shown)
        if connection.id not in self.connections or connection.rooms.get(room_id) is not before:
            self.broker.left(room.address, connection.id)
            self._give_back(room, shown)
            if connection.id in self.connections:  # put out of the room while it joined it again: Redis has it out
                raise _overtaken(room_id)
            return
        if before is not None:
            self._forget(before)
        member = connection.rooms[room_id] = Membership(connection, room)
        member.is_recovering = since is not None
        room.members_everywhere = head.connections
        room.enter(member, head)
        self.present(member, shown, head.snapshot)
        self._note_rooms(connection)
        try:
            await self._recover(member, since, head, joined)
        except BaseException:
            if member.is_current:
                self.expel(connection, room_id)
            raise
        room.settle()  # what came around before the answer to the join

    async def _open_and_join(self, connection: Connection, room_id: str, shown: Shown) -> tuple[Room, RoomHead]:
        limits = self.tenant.limits
        most = limits.max_rooms_per_connection
        if most is not None and room_id not in connection.rooms and len(connection.rooms) + connection.joining >= most:
            raise TooMany("max_rooms_per_connection", "connection", room=room_id)
        connection.joining += 1
        try:
            room = await self.rooms.open(room_id, limits.max_rooms)
            if shown.watches:
                self.rooms.watches.claim(room)
            try:
                most_members = room.rules.max_members
                head = await self.broker.join(room.address, connection.id, connection.user, most_members, shown)
            except BaseException:
                self._give_back(room, shown)
                raise
            return room, head
        finally:
            connection.joining -= 1

    def _give_back(self, room: Room, shown: Shown) -> None:
        if shown.watches:
            self.rooms.watches.release(room)
        self.rooms.close(room)

    async def _recover(
        self,
        member: Membership,
        since: Position | None,
        head: RoomHead,
        joined: Callable[[Joined, Gap | None], None],
    ) -> None:
        room = member.room
        gap, page = (None, None) if since is None else await recovery.begin(self.broker, member, since)
        if not member.is_current:
            if member.connection.id in self.connections:
                raise _overtaken(room.name)
            return
        position = f"{room.epoch}:{member.joined_offset}" if room.rules.keeps_history else None
        recovered = None if since is None else gap is None
        occupancy = Occupancy(connections=head.connections, users=head.users)
        members = [shown_member(each) for each in head.snapshot.members] if head.snapshot is not None else UNSET
        joined(
            Joined(room=room.name, position=position, recovered=recovered, occupancy=occupancy, members=members), gap
        )
        self.rooms.watches.greet(member)
        if since is not None and page is not None:
            feed = recovery.feed(self.broker, member, since, [page])
            member.feed = asyncio.get_running_loop().create_task(feed)
        else:
            member.is_recovering = False
            room.promote(member)

    async def leave_room(self, connection: Connection, room_id: str) -> bool:
        """End a membership once Redis has it; False if there was none. Raises Unavailable: then it goes on."""
        member = connection.rooms.get(room_id)
        if member is None:
            return False
        member.is_leaving = True
        try:
            await self.broker.leave(member.room.address, connection.id)
        finally:
            member.is_leaving = False
        if member.is_current:
            self._forget(member)
            self._note_rooms(connection)
        return True

    def expel(self, connection: Connection, room_id: str) -> None:
        """End a membership that is no longer allowed, at once; in the cluster as soon as Redis takes it."""
        member = connection.rooms.get(room_id)
        if member is not None:
            self.broker.left(member.room.address, connection.id)
            self._forget(member)
            self._note_rooms(connection)

    def put_out(self, user: str, room_id: str) -> None:
        """End the membership of the user's connections on this node, and tell them."""
        for connection in list(self.users.get(user, ())):
            if room_id in connection.rooms:
                subscriber = connection.subscriber
                subscriber.send(event_frame(Left(room=room_id, reason="server"), subscriber.binary))
                self.expel(connection, room_id)

    def _forget(self, member: Membership) -> None:
        del member.connection.rooms[member.room.name]
        member.room.remove(member)
        self.rooms.watches.end(member)
        self.rooms.close(member.room)

    def _note_rooms(self, connection: Connection) -> None:
        self.broker.note_rooms(self.tenant.id, connection.id, tuple(connection.rooms))

    # Counts of this node; the cluster's are the broker's

    def get_connection_count(self) -> int:
        """Connections of the tenant on this node."""
        return len(self.connections)

    def get_room_connection_count(self, room_id: str) -> int:
        """Connections of this node in the room."""
        room = self.rooms.by_name.get(room_id)
        return 0 if room is None else room.member_count

    def get_user_connection_count(self, user_id: str) -> int:
        """Connections of the user on this node."""
        return len(self.users.get(user_id, ()))


def _overtaken(room: str) -> Forbidden:
    return Forbidden("this join was overtaken: its right was taken", room)
