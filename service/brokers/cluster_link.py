"""The link to a Redis Cluster: a command connection to each primary, and each partition's own generation.

A lost primary takes its partitions out of reach until it is back or its replica is promoted; the others go on. What
was entered there under the lease is then doubtful, so the node takes a new lease and enters everything again, as it
does after every outage of a single Redis; the lease itself lives with `{n}`, and lasts on while another shard is away.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import structlog

from service.brokers import scripts
from service.brokers.asking import Wanted
from service.brokers.cluster_marks import PartitionMarks
from service.brokers.cluster_routes import Redirected, Route, Shard, ShardConnection
from service.brokers.cluster_scan import scan_primaries
from service.brokers.cluster_topology import (
    SLOTS,
    SYSTEM_TAG,
    Address,
    ClusterEndpoint,
    ShardEndpoint,
    Topology,
    discover,
)
from service.brokers.greeting import Mark, Policy, enter, greet
from service.brokers.keys import Keyspace
from service.brokers.link import Link
from service.brokers.resp import DEADLINE_SECONDS, Done, out_of_reach, pack

OPEN_SECONDS: Final = 1.2  # one shard, all of its partitions greeted; a promoted replica is looked for meanwhile
LOOK_SECONDS: Final = 5.0  # how old a view of the Cluster gets: of replicas that come and go no answer tells
DISCOVER_SECONDS: Final = 0.1  # at least so long apart, however many answers show a changed Cluster
_TAGS: Final = list(SLOTS)

log = structlog.get_logger()


class ClusterLink(Link):
    """See `Link`. `open` connects what is not connected and follows what has moved; it is to be called again after each
    `lost`, which is also called when an answer shows that the Cluster has changed.
    """

    def __init__(self, cluster: ClusterEndpoint, node: str, lost: Callable[[], None], policy: Policy) -> None:
        self.endpoint = ShardEndpoint(cluster, cluster.seeds[0])  # of the first that is asked
        super().__init__(self.endpoint, node, lost, policy)
        self.keyspace = Keyspace(0, is_sharded=True)
        self.send, self.insist = self._send, self._insist
        self.shards: dict[Address, Shard] = {}
        self.topology = Topology(0, {}, {})
        self._cluster = cluster
        self._endpoints: dict[Address, ShardEndpoint] = {}
        self._routes = {tag: Route(self.enter_anew) for tag in _TAGS}
        self._system = self._routes[SYSTEM_TAG]
        self.marks = PartitionMarks(policy, self.publishes)
        self.generations, self.generation_bulks = self.marks.generations, self.marks.bulks
        self._doubtful = set(_TAGS)  # what was entered there may be lost, and what was removed may be there still
        self._noting: dict[str, asyncio.Future[Any]] = {}
        self._left: list[ShardConnection] = []  # they answer what they were sent
        self._discovers_from = 0.0  # by the loop's clock

    # Commands

    def _route_of(self, packed: bytes) -> Route:
        start = packed.find(b"{")
        return self._routes.get(packed[start : packed.find(b"}", start) + 1], self._system)

    def _send(self, packed: bytes, done: Done) -> None:
        self._route_of(packed).send(packed, done)

    def _insist(self, packed: bytes, done: Done) -> None:
        self._route_of(packed).insist(packed, done)

    @property
    def is_open(self) -> bool:
        """Whether the leases' server can be asked."""
        return self._system.is_open

    def reaches(self, packed: bytes) -> bool:
        """See `Link.reaches`."""
        return self._route_of(packed).is_open

    @property
    def needs_opening(self) -> bool:
        """See `Link.needs_opening`. What has moved shows only when the Cluster is asked."""
        return True

    def plan_flush(self) -> None:
        """See `Link.plan_flush`."""
        asyncio.get_running_loop().call_soon(self.before_flush)

    async def scan(self, cursor: int, pattern: bytes, count: int) -> tuple[int, list[bytes]]:
        """See `Link.scan`."""
        return await scan_primaries(self.topology.owners, self.shards, cursor, pattern, count)

    def owner_of(self, partition: int) -> Address:
        """The primary that served a partition last."""
        return self.topology.owners.get(_TAGS[partition], self._cluster.seeds[0])

    def endpoint_of(self, address: Address) -> ShardEndpoint:
        """Where a primary is."""
        return self._endpoints.setdefault(address, ShardEndpoint(self._cluster, address))

    # Lease

    def note_tenant(self, tenant_id: str) -> None:
        """See `Link.note_tenant`. It goes to another server than what is entered: that waits for the answer."""
        if tenant_id not in self._tenants and tenant_id not in self._noting:
            packed = scripts.NOTE_TENANT.pack([self.keyspace.tenants_of(self.lease)], tenant_id)
            noting = self._noting[tenant_id] = self.ask(packed, _as_it_is)
            noting.add_done_callback(partial(self._noted, tenant_id, self.lease))

    def _noted(self, tenant_id: str, lease: bytes, noting: asyncio.Future[Any]) -> None:
        if lease == self.lease:
            del self._noting[tenant_id]
            if not noting.cancelled() and noting.exception() is None:
                self._tenants.add(tenant_id)

    def ask_under_lease(self, packed: bytes, convert: Callable[[Any], Wanted]) -> Awaitable[Wanted]:
        """See `Link.ask_under_lease`."""
        if not self._noting:
            return super().ask_under_lease(packed, convert)
        asked = asyncio.get_running_loop().create_task(self._ask_when_noted(packed, convert))
        asked.add_done_callback(_look_at_error)
        return asked

    async def _ask_when_noted(self, packed: bytes, convert: Callable[[Any], Wanted]) -> Wanted:
        route = self._route_of(packed)
        era = route.era
        for noting in list(self._noting.values()):
            await asyncio.shield(noting)
        if route.era != era:  # it may tell of an older generation
            raise Redirected()
        return await super().ask_under_lease(packed, convert)

    def begin_lease(self, lease: bytes) -> None:
        """See `Link.begin_lease`."""
        super().begin_lease(lease)
        self.is_between_leases = False
        self._noting = {}
        self._doubtful = {tag for tag, route in self._routes.items() if not route.is_open}

    async def end_entering(self) -> bool:
        """See `Link.end_entering`."""
        self.is_between_leases = True
        for route in self._routes.values():
            route.is_refusing = True
            route.refuse_held()
        try:
            pings = [shard.connection.command(pack("PING")) for shard in self.shards.values()]
            await asyncio.gather(*pings, return_exceptions=True)
        finally:
            for route in self._routes.values():
                route.is_refusing = False
        return bool(self.lease)

    def enter_anew(self) -> None:
        """See `Link.enter_anew`."""
        self.needs_entering, self.is_between_leases = True, False
        self._told_lost()

    def receive_mark(self, mark: Mark) -> bool:
        """See `Link.receive_mark`. The partitions follow."""
        self.marks.beat(mark.pulse, self.send)
        if asyncio.get_running_loop().time() > self._discovers_from + LOOK_SECONDS:
            self._told_lost()
        return super().receive_mark(mark)

    # Connections

    async def open(self) -> None:
        """See `Link.open`. Raises only when the leases' server is out of reach; `problem` says what else is."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._discovers_from - loop.time())
        self.topology = topology = await discover(self._cluster, self.shards)
        self._discovers_from = loop.time() + DISCOVER_SECONDS
        if not self.lease:
            self.marks.kept_pulse = self.mark.pulse
        owned: dict[Address, list[bytes]] = {}
        for tag, owner in topology.owners.items():
            owned.setdefault(owner, []).append(tag)
        opening = [self._take_over(address, tags, topology) for address, tags in owned.items()]
        results = await asyncio.gather(*opening, return_exceptions=True)
        for address in self.shards.keys() - owned.keys() - topology.replicas.keys():
            # No primary any more: what it was sent is answered by then.
            left = self.shards.pop(address).connection
            self._left = [*(each for each in self._left if each.is_open), left]
            loop.call_later(DEADLINE_SECONDS, left.abort)
        for address, shard in self.shards.items():
            shard.endpoint.replicas = topology.replicas.get(address, shard.endpoint.replicas)
        problems = [error for error in results if isinstance(error, BaseException)]
        if not problems and len(topology.owners) < len(_TAGS):
            problems.append(ConnectionError("a part of the Cluster's slots is not served"))
        for problem in problems:
            if not isinstance(problem, Exception) or not self.is_open:
                raise problem
        self.problem = next((each for each in problems if isinstance(each, Exception)), None)

    async def _take_over(self, address: Address, tags: Sequence[bytes], topology: Topology) -> None:
        """Have the commands of all these tags go there."""
        async with asyncio.timeout(OPEN_SECONDS):
            shard = self.shards.get(address)
            is_new = shard is None or not shard.is_in_use
            if shard is None:
                shard = await self._connect(address)
            moved = [tag for tag in tags if self._routes[tag].connection is not shard.connection]
            if not moved:
                return
            if not is_new:  # it may have been a replica since
                shard.server = await enter(shard.connection, shard.endpoint, self._policy)
            # A promoted one has lost nothing since that we have been connected to it all the time.
            may_be_moved = not (is_new and shard.server.was_promoted)
            others = [other for place, other in self.shards.items() if place in topology.replicas and place != address]
            origins = [other.server.run_id for other in others if other.connection.is_open] if may_be_moved else []
            marks = await asyncio.gather(*[self._greet_shard(shard, tag, origins) for tag in moved])
            if not shard.connection.is_open:
                raise out_of_reach()
            shard.is_in_use = True
            for tag, mark in zip(moved, marks, strict=True):
                self._lead(tag, shard, mark)

    def _lead(self, tag: bytes, shard: Shard, mark: Mark) -> None:
        begins_anew = tag != SYSTEM_TAG and self.marks.note(_TAGS.index(tag), mark)
        self.needs_entering |= begins_anew or tag in self._doubtful
        self._routes[tag].lead_to(shard.connection, begins_anew=begins_anew)
        if tag != SYSTEM_TAG:
            return
        if (lost := self.mark.pulse - mark.pulse) > 0:  # the partitions' pulses are to go on from where they are
            self._system.insist(pack("HINCRBY", Keyspace.SYSTEM, "pulse", lost), _ignore)
        self.mark, self.server = mark, shard.server
        self.redis_uptime_seconds = shard.server.uptime_seconds

    async def _connect(self, address: Address) -> Shard:
        endpoint = self.endpoint_of(address)

        def lost() -> None:
            self._lose_shard(address, connection)

        def load_scripts() -> None:
            for packed in scripts.load_commands():
                connection.insist(packed, _ignore)

        connection = ShardConnection(lost, load_scripts, self._told_lost)
        await endpoint.open(connection)
        try:
            server = await enter(connection, endpoint, self._policy)
        except BaseException:
            connection.abort()
            raise
        shard = self.shards[address] = Shard(endpoint, connection, server)
        return shard

    async def _greet_shard(self, shard: Shard, tag: bytes, origins: Sequence[str]) -> Mark:
        connection, server = shard.connection, shard.server
        if tag != SYSTEM_TAG:
            return await self.marks.greet(connection, server, _TAGS.index(tag), origins)
        return await greet(connection, server, self._policy, Keyspace.SYSTEM, self.mark, moved_from=origins)

    def abort(self) -> None:
        """See `Link.abort`."""
        shards, self.shards = self.shards, {}
        self.server, self.lease_ends_at = None, 0.0
        self._doubtful.update(_TAGS)
        for route in self._routes.values():
            route.lead_to(None)
        for connection in (*self._left, *(shard.connection for shard in shards.values())):
            connection.abort()
        self._told_lost()

    def _lose_shard(self, address: Address, connection: ShardConnection) -> None:
        shard = self.shards.get(address)
        if shard is None or shard.connection is not connection:
            return
        del self.shards[address]
        self.publishes.forget_old()
        for tag, route in self._routes.items():
            if route.connection is connection:
                self._doubtful.add(tag)
                route.lead_to(None)
        if self._system.connection is None:
            self.server = None
        log.warning("a part of the Cluster is lost", address=str(address))
        self._told_lost()


def _look_at_error(asked: asyncio.Task[Any]) -> None:
    """Whoever does not wait for it is not told by asyncio's log."""
    if not asked.cancelled():
        asked.exception()


def _as_it_is(reply: Any) -> Any:
    return reply


def _ignore(_reply: object) -> None:
    """Of a command whose failure shows elsewhere."""
