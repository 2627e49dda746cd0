"""How many are connected."""

from litestar import Controller
from litestar.di import NamedDependency

from service.api.guards import needs
from service.api.operations import read
from service.protocol.resources import Counts
from service.rooms.connection_manager import ConnectionManager


class CountsController(Controller):
    """`/v1/counts`."""

    path = "/counts"
    tags = ("counts",)

    @read(operation_id="getCounts", summary="Count connections, users and rooms", **needs("read"))
    async def read_counts(self, manager: NamedDependency[ConnectionManager]) -> Counts:
        """What the tenant has now on all nodes, exact within 2 s; `rooms` are the occupied ones."""
        counts = await manager.broker.counts(manager.tenant.id)
        return Counts(connections=counts.connections, users=counts.users, rooms=counts.rooms)
