"""The port's part for running a cluster: keys in use, what is left of a deleted tenant, how many nodes there are."""

from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec


class TenantSize(NamedTuple):
    """What a tenant has in Redis: occupied rooms, and bytes of all its rooms' histories."""

    rooms: int
    history_bytes: int


class NodeFacts(msgspec.Struct, kw_only=True, frozen=True):
    """What a node tells of itself: its name, its version, since when it runs (Unix time in ms), its open sockets; how
    late its loop was a moment ago, and the memory of its process. Older nodes don't tell the last two.
    """

    node: str
    version: str
    started_at_ms: int
    connections: int
    draining: bool
    loop_lag_ms: float = 0.0
    memory_bytes: int = 0


class RedisFacts(NamedTuple):
    """What Redis tells of itself; of a Cluster, the primary that keeps the leases. max_memory_bytes None: no bound.

    latency_ms: of one command, there and back. clock_ahead_ms: against this machine's clock, within half of that.
    """

    version: str
    role: str
    replicas: int
    memory_bytes: int
    max_memory_bytes: int | None
    latency_ms: float
    clock_ahead_ms: float


class ControlListener(Protocol):
    """What nodes are told by each other; never blocking."""

    def receive_tenant_change(self, tenant_id: str) -> None:
        """Some node changed a tenant's limits, keys or state: look again."""

    def receive_drain(self) -> None:
        """The operator wants this node to drain, and told another one."""

    def receive_question(self, node: str, number: int, question: bytes) -> None:
        """Another node asks (`ask_node`); the answer goes to it, under its number."""

    def receive_reply(self, number: int, reply: bytes) -> None:
        """Another node replies to this node's question of that number."""


class ClusterControl(Protocol):
    """What nodes tell each other of tenants and of themselves; its failures are as `Broker` promises."""

    def announce_tenant_change(self, tenant_id: str) -> Awaitable[None]:
        """Tell every node to look at the tenant again."""

    def note_key_use(self, tenant_id: str, connections: Mapping[str, int]) -> None:
        """So many connections of this node are now under each of these signing keys, by kid; 0: none any more.

        Never blocking. Keys that are not named stay as they were. Told to Redis within a second, in batches, counted
        while this node's lease lasts, and told again under each new lease: the caller names only what changed.
        """

    def key_connections(self, tenant_id: str) -> Awaitable[dict[str, int]]:
        """Live connections under each signing key, by kid, over all nodes: exact within 2 s, a dead node's for as long
        as its lease lasts. Keys under which nobody is are left out. Raises Unavailable.
        """

    def purge_tenant(self, tenant_id: str, cursor: int = 0) -> Awaitable[tuple[int, int]]:
        """Remove a slice of all that Redis keeps for a deleted tenant: (cursor of the next slice, keys removed).

        0 begins a pass, and comes back when it is through; a pass that removed nothing proves that nothing is left.
        What nodes enter meanwhile may be missed: begin when all of them know that the tenant is gone. A slice takes
        about 1 ms of Redis, whatever it holds. Raises Unavailable: ask again with the same cursor.
        """

    def measure_tenant(self, tenant_id: str) -> Awaitable[TenantSize]:
        """How much there is now. Histories are measured within a second or so of a publish; one that ran out by itself
        may still be counted while many rooms were published to before it. Raises Unavailable.
        """

    def node_count(self) -> int:
        """Nodes whose lease is in force, this one included: at least 1. As of the last renewal of this node's own
        lease, every 2 s, so that it costs nothing to ask; while Redis is away the last count stays.
        """

    def tell_node(self, facts: NodeFacts) -> Awaitable[None]:
        """Tell the other nodes of this one, until its lease ends; to be told every second. Raises Unavailable."""

    def list_nodes(self) -> Awaitable[list[NodeFacts]]:
        """All nodes with a lease in force, as they told of themselves last, the oldest first. Raises Unavailable."""

    def ask_to_drain(self, node: str) -> Awaitable[bool]:
        """Ask a node to drain (`Listener.receive_drain`); False if it does not hear. Raises Unavailable."""

    def ask_node(self, node: str, number: int, question: bytes) -> Awaitable[bool]:
        """Ask another node something (`receive_question`); False if it does not hear. Raises Unavailable."""

    def reply_to_node(self, node: str, number: int, reply: bytes) -> Awaitable[bool]:
        """Reply to another node's question (`receive_reply`); False if it does not hear. Raises Unavailable."""

    def look_at_redis(self) -> Awaitable[RedisFacts]:
        """How Redis is now. Raises Unavailable."""

    def divide_rates(
        self, nodes: int, wanted: Mapping[str, Sequence[float]], greedy: Collection[str], least: Sequence[float]
    ) -> Awaitable[dict[str, tuple[float, ...]]]:
        """What this node may take of the rates of all tenants of which some node asks more than an even share; it has
        an even share of the others'. All is in parts of the tenant's limits, rate by rate, in the caller's order.

        nodes: in all. wanted: by tenant id, 0-1; `least` of those that are not named. greedy: tenants of which this
        node asks more than an even share. To be asked about once a second: the shares of a node that stopped asking go
        to the others after 5 s. At all times the nodes' shares of a rate are 1 or less together. Raises Unavailable.
        """
