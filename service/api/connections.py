"""Connections: the live sockets of a tenant."""

from functools import partial

from litestar import Controller, MediaType, delete
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_202_ACCEPTED

from service.api.cursors import page_of
from service.api.guards import needs
from service.api.operations import named, read
from service.api.parameters import ConnectionInPath, Cursor, Limit
from service.brokers.broker import ConnectionEntry
from service.protocol.errors import NotFound
from service.protocol.resources import ConnectionDetail, ConnectionPage
from service.rooms.connection_manager import ConnectionManager

_QUERY = "connections"


class ConnectionsController(Controller):
    """`/v1/connections`."""

    path = "/connections"
    tags = ("connections",)

    @read(operation_id="listConnections", summary="List the connections", **needs("read"))
    async def list_connections(
        self, manager: NamedDependency[ConnectionManager], cursor: Cursor = None, limit: Limit = 100
    ) -> ConnectionPage:
        """The tenant's connections on all nodes, by id."""
        tenant_id = manager.tenant.id
        find = partial(manager.broker.list_connections, tenant_id)
        found, next_cursor = await page_of(tenant_id, _QUERY, cursor, limit, find, lambda entry: entry.connection)
        return ConnectionPage(items=[_detail(entry) for entry in found], next_cursor=next_cursor)

    @read("/{connection:str}", operation_id="getConnection", summary="Look at one connection", **needs("read"))
    async def read_connection(
        self, manager: NamedDependency[ConnectionManager], connection: ConnectionInPath
    ) -> ConnectionDetail:
        """Whose it is, on which node, since when, and the rooms that it is in."""
        entry = await manager.broker.find_connection(manager.tenant.id, connection)
        if entry is None:
            raise NotFound("connection")
        return _detail(entry)

    @delete(
        "/{connection:str}",
        operation_id=named("disconnect"),
        summary="Disconnect one connection",
        **needs("disconnect"),
        status_code=HTTP_202_ACCEPTED,
        media_type=MediaType.TEXT,  # no body, where JSON would say null
    )
    async def disconnect(self, manager: NamedDependency[ConnectionManager], connection: ConnectionInPath) -> None:
        """Closes the socket with 4409 and tells the client to stay away; the user's token stays valid."""
        if not await manager.broker.disconnect(manager.tenant.id, connection=connection):
            raise NotFound("connection")


def _detail(entry: ConnectionEntry) -> ConnectionDetail:
    return ConnectionDetail(
        connection=entry.connection,
        user=entry.user,
        node=entry.node,
        rooms=sorted(entry.rooms),
        connected_at_ms=entry.connected_at_ms,
        address=entry.address or None,
    )
