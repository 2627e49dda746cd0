"""Rooms: which are occupied, and who is where."""

from functools import partial

from litestar import Controller, MediaType, delete
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_202_ACCEPTED

from service.api.cursors import page_of
from service.api.guards import needs
from service.api.operations import named, read
from service.api.parameters import Cursor, Limit, Prefix, RoomInPath, UserInPath
from service.protocol.errors import NotFound
from service.protocol.events import MembersEvent
from service.protocol.resources import RoomDetail, RoomPage, RoomSummary
from service.rooms.connection_manager import ConnectionManager


class RoomsController(Controller):
    """`/v1/rooms`, but the messages."""

    path = "/rooms"
    tags = ("rooms",)

    @read(operation_id="listRooms", summary="List the occupied rooms", **needs("read"))
    async def list_rooms(
        self,
        manager: NamedDependency[ConnectionManager],
        prefix: Prefix = "",
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> RoomPage:
        """Occupied rooms by name, those of all nodes; the list is exact within 2 s."""
        tenant_id, query = manager.tenant.id, f"rooms\0{prefix}"
        find = partial(manager.broker.list_rooms, tenant_id, prefix)
        found, next_cursor = await page_of(tenant_id, query, cursor, limit, find, lambda item: item.room)
        return RoomPage(
            items=[RoomSummary(room=item.room, connections=item.connections, users=item.users) for item in found],
            next_cursor=next_cursor,
        )

    @read("/{room:str}", operation_id="getRoom", summary="Look at one room", **needs("read"))
    async def read_room(self, manager: NamedDependency[ConnectionManager], room: RoomInPath) -> RoomDetail:
        """Who is in the room now, and its head; `not_found` if nobody ever joined it or published to it."""
        head = await manager.broker.describe_room(manager.broker.address(manager.tenant.id, room))
        if head is None:
            raise NotFound("room")
        rules = manager.rooms.rules(room)
        return RoomDetail(
            room=room,
            room_type=rules.type_name,
            connections=head.connections,
            users=head.users,
            position=str(head.position) if rules.keeps_history else None,
        )

    @read("/{room:str}/members", operation_id="listMembers", summary="List the members of a room", **needs("read"))
    async def list_members(
        self,
        manager: NamedDependency[ConnectionManager],
        room: RoomInPath,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> MembersEvent:
        """Who is in the room, by connection, those included whose socket was lost a moment ago; a page ends at 512 KiB.

        `forbidden` where the room's type has no presence.
        """
        return await manager.members(room, cursor, limit)

    @delete(
        "/{room:str}/members/{user:str}",
        operation_id=named("removeMember"),
        summary="Put a user out of a room",
        **needs("disconnect"),
        status_code=HTTP_202_ACCEPTED,
        media_type=MediaType.TEXT,  # no body, where JSON would say null
    )
    async def remove_member(
        self, manager: NamedDependency[ConnectionManager], room: RoomInPath, user: UserInPath
    ) -> None:
        """All of the user's connections leave the room and are told so; their sockets stay, and may join again."""
        await manager.broker.expel_user(manager.broker.address(manager.tenant.id, room), user)
