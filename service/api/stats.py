"""What was going on in the last seconds."""

from typing import Annotated

from litestar import Controller
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from service.api.guards import check_operator, needs
from service.api.operations import read
from service.protocol.resources import RedisDetail, Stats, StatsPoint
from service.rooms.connection_manager import ConnectionManager
from service.rooms.node import Node
from service.rooms.observation import ask_all_nodes
from service.rooms.roll_call import RollCall
from service.rooms.statistics import KEPT_SECONDS, Point

Seconds = Annotated[int, QueryParameter(ge=1, le=KEPT_SECONDS, description="How many seconds back.")]


class StatsController(Controller):
    """`/stats`."""

    path = "/stats"
    tags = ("stats",)

    @read(operation_id="getStats", summary="Look at the last seconds", **needs("read"))
    async def read_stats(
        self,
        manager: NamedDependency[ConnectionManager],
        node: NamedDependency[Node],
        roll_call: NamedDependency[RollCall],
        seconds: Seconds = 60,
    ) -> Stats:
        """Of this tenant. Nodes keep points of 200 tenants, of those first that were asked about."""
        return _describe(await ask_all_nodes(node, roll_call, manager.tenant.id, seconds))


class ObservationController(Controller):
    """What the operator sees of the whole: `/v1/nodes/stats`, `/v1/redis`."""

    path = "/v1"
    tags = ("nodes",)
    guards = (check_operator,)
    security = ({"operatorToken": []},)

    @read("/nodes/stats", operation_id="getNodesStats", summary="Look at the last seconds of all nodes")
    async def read_nodes_stats(
        self, node: NamedDependency[Node], roll_call: NamedDependency[RollCall], seconds: Seconds = 60
    ) -> Stats:
        """Of all tenants together; nodes that don't answer within a second are left out."""
        return _describe(await ask_all_nodes(node, roll_call, None, seconds))

    @read("/redis", operation_id="getRedis", summary="Look at Redis")
    async def read_redis(self, node: NamedDependency[Node]) -> RedisDetail:
        """Asked at this moment; `unavailable` while it is out of reach."""
        facts = await node.broker.look_at_redis()
        return RedisDetail(
            version=facts.version,
            role=facts.role,
            replicas=facts.replicas,
            memory_bytes=facts.memory_bytes,
            max_memory_bytes=facts.max_memory_bytes,
            latency_ms=round(facts.latency_ms, 2),
        )


def _describe(points: list[Point]) -> Stats:
    return Stats(
        items=[
            StatsPoint(
                at_ms=point.second * 1000,
                connections=point.connections,
                publishes=point.publishes,
                deliveries=point.deliveries,
                bytes_in=point.bytes_in,
                bytes_out=point.bytes_out,
                refused=point.refused,
                p50_ms=point.percentile(0.5),
                p99_ms=point.percentile(0.99),
            )
            for point in points
        ]
    )
