"""What each node tells the others of itself, under its lease; what it asks them; and how Redis itself is."""

import time
from collections.abc import Awaitable
from typing import Final

import msgspec

from service.brokers.control import NodeFacts, RedisFacts
from service.brokers.greeting import parse_info
from service.brokers.keys import Keyspace
from service.brokers.link import Link
from service.brokers.registry import within_deadline
from service.brokers.resp import pack

DRAIN: Final = b"1 n drain\n"  # on a node's own channel


class Nodes:
    """Its part of `Broker`."""

    node: str
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
        return self._tell(node, DRAIN)

    def ask_node(self, node: str, number: int, question: bytes) -> Awaitable[bool]:
        """See `Broker.ask_node`."""
        return self._tell(node, b"1 q %d %b\n%b" % (number, self.node.encode(), question))

    def reply_to_node(self, node: str, number: int, reply: bytes) -> Awaitable[bool]:
        """See `Broker.reply_to_node`."""
        return self._tell(node, b"1 r %d\n%b" % (number, reply))

    @within_deadline
    async def look_at_redis(self) -> RedisFacts:
        """See `Broker.look_at_redis`."""
        asked_at = time.time()
        seconds, microseconds = await self._link.ask(pack("TIME"), list)
        answered_at = time.time()
        info = parse_info(await self._link.ask(pack("INFO"), bytes))
        return RedisFacts(
            version=info.get("valkey_version") or info["redis_version"],
            role=info.get("role", ""),
            replicas=int(info.get("connected_slaves", 0)),
            memory_bytes=int(info.get("used_memory", 0)),
            max_memory_bytes=int(info.get("maxmemory", 0)) or None,
            latency_ms=(answered_at - asked_at) * 1000,
            clock_ahead_ms=(int(seconds) + int(microseconds) / 1e6 - (asked_at + answered_at) / 2) * 1000,
        )

    def _tell(self, node: str, payload: bytes) -> Awaitable[bool]:
        return self._link.ask(pack("PUBLISH", self._link.keyspace.node_prefix + node.encode(), payload), bool)


def _ignore(_reply: object) -> None:
    """The reply says nothing that anybody wants."""
