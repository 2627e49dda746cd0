"""What each node tells the others of itself, under its lease, and how one is asked to drain."""

from collections.abc import Awaitable
from typing import Final

import msgspec

from service.brokers.control import NodeFacts
from service.brokers.keys import Keyspace
from service.brokers.link import Link
from service.brokers.registry import within_deadline
from service.brokers.resp import pack

DRAIN: Final = b"1 n drain\n"  # on a node's own channel


class Nodes:
    """Its part of `Broker`."""

    _link: Link

    async def tell_node(self, facts: NodeFacts) -> None:
        """See `Broker.tell_node`."""
        told = pack("HSET", Keyspace.NODES, self._link.lease, msgspec.json.encode(facts))
        await self._link.ask_under_lease(told, _ignore)

    @within_deadline
    async def list_nodes(self) -> list[NodeFacts]:
        """See `Broker.list_nodes`."""
        told, leases = await self._link.ask_all(
            [pack("HGETALL", Keyspace.NODES), pack("ZRANGE", Keyspace.LEASES, 0, -1)]
        )
        by_lease = dict(zip(told[::2], told[1::2], strict=True))
        facts = [msgspec.json.decode(by_lease[lease], type=NodeFacts) for lease in leases if lease in by_lease]
        # After an outage a node has two leases for a moment: that which ends last comes last.
        return sorted({each.node: each for each in facts}.values(), key=lambda each: (each.started_at_ms, each.node))

    def ask_to_drain(self, node: str) -> Awaitable[bool]:
        """See `Broker.ask_to_drain`."""
        return self._link.ask(pack("PUBLISH", self._link.keyspace.node_prefix + node.encode(), DRAIN), bool)


def _ignore(_reply: object) -> None:
    """The reply says nothing that anybody wants."""
