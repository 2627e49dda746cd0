"""Room types: a tenant's rules for the rooms that match a pattern."""

from functools import partial

from litestar import Controller, Response, delete, put
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from service.api.changes import announce
from service.api.cursors import page_of
from service.api.guards import needs
from service.api.operations import named, read
from service.api.parameters import Breaking, Cursor, Limit, RoomTypeInPath
from service.api.strict import StrictBody
from service.protocol.administration import RoomTypeDetail, RoomTypePage
from service.rooms.connection_manager import ConnectionManager
from service.rooms.node import Node
from service.tenants.audit import Actor
from service.tenants.resources import describe_room_type
from service.tenants.room_types import RoomType
from service.tenants.storage import Storage


class RoomTypesController(Controller):
    """`/room-types`."""

    path = "/room-types"
    tags = ("room types",)

    @read(operation_id="listRoomTypes", summary="List the room types", **needs("manage"))
    async def list_room_types(
        self,
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> RoomTypePage:
        """By name; the built-in default is not among them until it is replaced."""
        tenant_id = manager.tenant.id
        find = partial(storage.room_types.page, tenant_id)
        found, next_cursor = await page_of(tenant_id, "room-types", cursor, limit, find, lambda item: item.name)
        return RoomTypePage(items=[describe_room_type(item) for item in found], next_cursor=next_cursor)

    @read("/{name:str}", operation_id="getRoomType", summary="Look at one room type", **needs("manage"))
    async def read_room_type(
        self, manager: NamedDependency[ConnectionManager], storage: NamedDependency[Storage], name: RoomTypeInPath
    ) -> RoomTypeDetail:
        """Its pattern and its rules."""
        return describe_room_type(await storage.room_types.read(manager.tenant.id, name))

    @put(
        "/{name:str}",
        operation_id=named("putRoomType"),
        summary="Make or replace a room type",
        status_code=HTTP_200_OK,
        responses={HTTP_201_CREATED: ResponseSpec(RoomTypeDetail, generate_examples=False)},
        dto=StrictBody,
        **needs("manage"),
    )
    async def put_room_type(
        self,
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        actor: NamedDependency[Actor],
        node: NamedDependency[Node],
        name: RoomTypeInPath,
        data: JSONBody[RoomType],
        breaking: Breaking = False,
    ) -> Response[RoomTypeDetail]:
        """In force within 2 s on all nodes, for rooms in use too. Without `pattern`, the name is the pattern.

        What breaks clients of its schemas is a `conflict`, unless `breaking` says that it is meant.
        """
        stored, is_new = await storage.room_types.put(actor, manager.tenant.id, name, data, breaking=breaking)
        await announce(node, manager.tenant.id)
        return Response(describe_room_type(stored), status_code=HTTP_201_CREATED if is_new else HTTP_200_OK)

    @delete("/{name:str}", operation_id=named("deleteRoomType"), summary="Delete a room type", **needs("manage"))
    async def delete_room_type(
        self,
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        actor: NamedDependency[Actor],
        node: NamedDependency[Node],
        name: RoomTypeInPath,
        breaking: Breaking = False,
    ) -> None:
        """Its rooms get the rules of the next pattern that matches. A `conflict` as for `putRoomType`."""
        await storage.room_types.delete(actor, manager.tenant.id, name, breaking=breaking)
        await announce(node, manager.tenant.id)
