"""Rooms: which are occupied, and who is where."""

from functools import partial

from litestar import Controller
from litestar.di import NamedDependency

from service.api.cursors import page_of
from service.api.guards import needs
from service.api.operations import read
from service.api.parameters import Cursor, Limit, Prefix, RoomInPath
from service.protocol.errors import NotFound
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
