"""The nodes of the cluster, for the operator: listed, and drained."""

import msgspec
import structlog
from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_202_ACCEPTED

from service.api.guards import check_operator
from service.api.operations import read
from service.api.parameters import NodeInPath
from service.brokers.control import NodeFacts
from service.protocol.administration import NodeDetail, NodePage
from service.protocol.errors import NotFound, Unavailable
from service.rooms.node import Node
from service.rooms.roll_call import RollCall

log = structlog.get_logger()


class NodesController(Controller):
    """`/v1/nodes`."""

    path = "/v1/nodes"
    tags = ("nodes",)
    guards = (check_operator,)
    security = ({"operatorToken": []},)

    @read(operation_id="listNodes", summary="List the nodes")
    async def list_nodes(self, roll_call: NamedDependency[RollCall]) -> NodePage:
        """All that serve or drain, the oldest first, as of a second or two ago; there is one page."""
        return NodePage(items=[_describe(facts) for facts in await roll_call.nodes()])

    # In Litestar no part of a path may have a dependency's name.
    @post("/{name:str}/drain", operation_id="drainNode", summary="Drain a node", status_code=HTTP_202_ACCEPTED)
    async def drain_node(
        self, node: NamedDependency[Node], roll_call: NamedDependency[RollCall], name: NodeInPath
    ) -> NodeDetail:
        """It takes no new sockets, closes those it has bit by bit with 1001, then ends; once more changes nothing."""
        if name == node.name:
            facts = roll_call.facts()
            node.leave()
        else:
            facts = await _ask(node, roll_call, name)
        log.info("a node is asked to drain", node=name)
        return _describe(msgspec.structs.replace(facts, draining=True))


async def _ask(node: Node, roll_call: RollCall, name: str) -> NodeFacts:
    """Have another node drain, and tell what is known of it. Raises NotFound, Unavailable."""
    for facts in await roll_call.nodes():
        if facts.node == name:
            if not await node.broker.ask_to_drain(name):
                raise Unavailable("the node does not hear: try again", retry_after_ms=1_000)
            return facts
    raise NotFound("node")


def _describe(facts: NodeFacts) -> NodeDetail:
    return NodeDetail(**msgspec.structs.asdict(facts))
