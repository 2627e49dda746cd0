"""What this node tells the operator of itself, through the other nodes too."""

import asyncio
import time

import structlog

from service.brokers.control import NodeFacts
from service.protocol.errors import RoomcastError
from service.rooms.node import Node
from service.rooms.statistics import memory_bytes

log = structlog.get_logger()

TELL_SECONDS = 1.0


class RollCall:
    """Answers for this node, and tells all nodes once a second. version: of the program."""

    def __init__(self, node: Node, version: str) -> None:
        self._node = node
        self._version = version
        self._started_at_ms = time.time_ns() // 1_000_000

    def facts(self) -> NodeFacts:
        """This node as it is now."""
        node = self._node
        return NodeFacts(
            node=node.name,
            version=self._version,
            started_at_ms=self._started_at_ms,
            connections=node.connection_count,
            draining=node.is_draining,
            loop_lag_ms=round(node.statistics.loop_lag_ms, 1),
            memory_bytes=memory_bytes(),
        )

    async def keep_told(self) -> None:
        """Tell the others, until cancelled."""
        while True:
            try:
                await self._node.broker.tell_node(self.facts())
            except RoomcastError as error:
                log.info("the other nodes are told later of this one", reason=error.message)
            await asyncio.sleep(TELL_SECONDS)

    async def nodes(self) -> list[NodeFacts]:
        """All nodes, the oldest first; the others as of a second or two ago. Raises Unavailable."""
        told = {each.node: each for each in await self._node.broker.list_nodes()}
        told[self._node.name] = self.facts()
        return sorted(told.values(), key=lambda each: (each.started_at_ms, each.node))
