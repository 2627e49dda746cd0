"""Health, for orchestrators and load balancers; open to all."""

from litestar import Controller
from litestar.di import NamedDependency

from service.api.operations import read
from service.protocol.errors import Unavailable
from service.protocol.resources import Health
from service.rooms.node import Node


class HealthController(Controller):
    """`/health`."""

    path = "/health"
    tags = ("health",)

    @read("/live", operation_id="isLive", summary="Ask whether the process answers")
    async def is_live(self) -> Health:
        """Restart the process when this does not answer; it does while Redis is away."""
        return Health()

    @read("/ready", operation_id="isReady", summary="Ask whether the node takes traffic")
    async def is_ready(self, node: NamedDependency[Node]) -> Health:
        """`unavailable` while Redis is out of reach and while the node is draining."""
        if not node.is_ready:
            raise Unavailable("Redis is out of reach, or the node is draining")
        return Health()
