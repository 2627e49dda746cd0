"""`RedisConnectionManager`: the `Broker` over one Redis or Valkey, and the task that keeps it connected."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final

import structlog

from service import telemetry
from service.brokers.broker import Listener, RoomAddress, RoomReceiver
from service.brokers.budget import HistoryBudget
from service.brokers.cluster import Cluster, KeyUse
from service.brokers.control import TenantSize
from service.brokers.dialing import Unsuitable
from service.brokers.greeting import Mark, Policy, RedisRestart
from service.brokers.heads import LOOK_SECONDS, TURNS
from service.brokers.lease import Lease
from service.brokers.link import jittered
from service.brokers.membership import RoomMembership
from service.brokers.messages import RoomMessages
from service.brokers.nodes import Nodes
from service.brokers.presence import Absences, Presence
from service.brokers.probe import PROBE_SECONDS
from service.brokers.publishing import Publishing
from service.brokers.registry import Registry
from service.brokers.restoration import enter_again
from service.brokers.shares import Shares
from service.brokers.supervision import supervise
from service.brokers.wires import is_cluster, lay_cluster_wires, lay_wires
from service.protocol.errors import RoomcastError, Unavailable

LEASE_SECONDS: Final = 6.0
RENEWALS_PER_LEASE: Final = 3
# After an outage, in which the other nodes take their new leases. Not longer than a lease: then it delays the sweep of
# no node that dies after the outage.
SWEEP_DELAY_SECONDS: Final = LEASE_SECONDS
TICK_SECONDS: Final = 1.0
MIN_RETRY_SECONDS: Final = 0.05
MAX_RETRY_SECONDS: Final = 1.0
STOP_SECONDS: Final = 5.0

log = structlog.get_logger()


class RedisConnectionManager(Publishing, RoomMessages, RoomMembership, Presence, Registry, Cluster, Nodes, Shares):
    """One for each node. Set `listener`, `start`, then run `start_pubsub_listener` until the end, then `stop`.

    node must be unique, also over restarts of the process, without spaces. Ids of tenants have no `/` and no space.
    """

    def __init__(
        self,
        url: str,
        node: str,
        *,
        database_id: str,
        redis_is_embedded: bool = False,
        redis_restart: RedisRestart = "prove",
        lease_seconds: float = LEASE_SECONDS,
        sweep_delay_seconds: float = SWEEP_DELAY_SECONDS,
    ) -> None:
        super().__init__()
        self.node = node
        self.listener: Listener | None = None
        policy = Policy(database_id, redis_is_embedded, redis_restart, is_cluster(url))
        wires = (lay_cluster_wires if policy.is_cluster else lay_wires)(url, node, policy, self._lose)
        self._link, self._channels, self._replication, self._look, self._endpoint = wires
        self._link.before_flush = self.send_batches
        self._lease = Lease(self._link, lease_seconds)
        self._lease_seconds = lease_seconds
        self._budget = HistoryBudget(self._link)
        self._noted_rooms: dict[tuple[str, str], Sequence[str]] = {}
        self._key_use = KeyUse(self._link)
        self._absences = Absences(self._link)
        self._divided: set[str] = set()
        self._sweep_delay_seconds = sweep_delay_seconds
        self._sweeps_from = 0.0
        self._has_started = False
        self._is_online = False
        self._is_stopping = False
        self._lost = asyncio.Event()

    # What is left of the port

    @property
    def is_ready(self) -> bool:
        """See `Broker.is_ready`."""
        return self._is_online and self._link.holds_lease

    def address(self, tenant_id: str, room: str) -> RoomAddress:
        """See `Broker.address`."""
        return self._link.keyspace.address(tenant_id, room)

    def subscribe(self, address: RoomAddress, receiver: RoomReceiver) -> Awaitable[None]:
        """See `Broker.subscribe`."""
        return self._channels.subscribe(address.keys.channel, receiver)

    def unsubscribe(self, address: RoomAddress) -> None:
        """See `Broker.unsubscribe`."""
        self._channels.unsubscribe(address.keys.channel)

    def node_count(self) -> int:
        """See `Broker.node_count`."""
        return self._lease.node_count

    def measure_tenant(self, tenant_id: str) -> Awaitable[TenantSize]:
        """See `Broker.measure_tenant`."""
        return self._budget.measure(tenant_id)

    @property
    def mark(self) -> tuple[int, int]:
        """How far the data in Redis has come, to be kept outside of it; the higher tuple is the later one."""
        return self._link.mark

    def expect(self, mark: tuple[int, int]) -> None:
        """Before `start`: data is known to have come so far; if it has not any more, all rooms begin new epochs."""
        self._link.mark = max(self._link.mark, Mark(*mark))

    # Life

    async def start(self) -> None:
        """Connect and take a lease. Raises OSError or TimeoutError (not there), Unavailable (not ready), or Unsuitable
        (a wrong version or configuration, or another system's Redis), whose text says what to do.
        """
        self._channels.listener = self.listener
        try:
            await self._come_online()
        except BaseException as error:
            if not self._is_online or isinstance(error, Unsuitable):
                self._drop()
                raise
            self._lost.set()  # a part of a Cluster is away: the others are served
        waits = self._link.redis_uptime_seconds < self._sweep_delay_seconds  # then other nodes are just coming back
        self._sweeps_from = asyncio.get_running_loop().time() + (self._sweep_delay_seconds if waits else 0.0)

    async def start_pubsub_listener(self) -> None:
        """Keep everything alive until cancelled: connections, subscriptions, lease, sweeps, budgets."""
        async with asyncio.TaskGroup() as parts:
            for part in (
                self._keep_connected,
                self._endpoint.watch,
                self._keep_lease,
                self._keep_swept,
                self._keep_registry,
                self._keep_budgets,
                self._keep_absences,
                self._keep_probed,
                self._keep_heads,
            ):
                parts.create_task(supervise(part), name=part.__name__)

    async def stop(self) -> None:
        """Hand the lease back, with all connections, members and claims under it, and disconnect."""
        self._is_stopping = True
        self._is_online = False
        try:
            if self._link.is_open:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._lease.renew()  # for the mark, which SQL keeps
                    self._link.lease_ends_at = 0.0  # nothing is entered any more
                    await self._lease.end(self._link.lease)
        except (RoomcastError, TimeoutError) as error:
            log.warning("the lease was not handed back: other nodes sweep it", error=str(error))
        self._drop()

    def _drop(self) -> None:
        """End all connections."""
        self._channels.abort()
        self._link.abort()
        self._endpoint.close()

    def _lose(self) -> None:
        """A connection was lost, or a Cluster has changed."""
        self._lost.set()
        self._replication.follow_link()
        if self._is_online and not (self._link.is_open and self._channels.is_open):
            self._is_online = False
            if self.listener is not None:
                self.listener.redis_lost()

    async def _keep_connected(self) -> None:
        retry_seconds = MIN_RETRY_SECONDS
        while True:
            await self._lost.wait()
            if self._is_stopping:
                return
            try:
                await self._come_online()
            except (OSError, RoomcastError, Unsuitable) as error:
                away = "a part of the Cluster is out of reach" if self._is_online else "Redis is out of reach"
                log.warning(away, error=f"{type(error).__name__}: {error}")
                self._lost.set()
                await asyncio.sleep(jittered(retry_seconds))
                retry_seconds = min(MAX_RETRY_SECONDS, 2 * retry_seconds)
            except Exception:
                self._lost.set()  # so that the next run of this part tries again
                raise
            else:
                retry_seconds = MIN_RETRY_SECONDS

    async def _come_online(self) -> None:
        """Open what is not open; afterwards everything that this node holds is in Redis under a lease in force."""
        self._lost.clear()
        if self._link.needs_opening:
            await self._link.open()
        if self._link.needs_entering:
            self._link.needs_entering = False
            try:
                await self._enter_everything()
            except BaseException:
                self._link.enter_anew()  # half entered is not online
                raise
        if self._channels.needs_opening:
            await self._channels.open()
        if self._channels.run_id != self._link.run_id:  # a failover came between: nobody would hear what is published
            self._channels.abort()
            self._link.abort()
            raise Unavailable("commands and messages lead to two servers")
        if not (self._link.is_open and self._channels.is_open):
            raise Unavailable("Redis was lost again")
        if not self._is_online:
            self._is_online = True
            self._come_back()
        if problem := self._link.problem or self._channels.problem:
            raise problem  # of a part of a Cluster: the others are served

    def _come_back(self) -> None:
        self._sweeps_from = asyncio.get_running_loop().time() + self._sweep_delay_seconds
        if self._has_started:
            log.info("Redis is back")
            telemetry.counters.redis_reconnects += 1
            if self.listener is not None:
                self.listener.redis_back()
        self._has_started = True

    async def _enter_everything(self) -> None:
        if await self._link.end_entering() and self.listener is not None:
            self.listener.redis_lost()  # a Cluster's other parts went on: what was claimed there is so no more
        old = await self._lease.take()
        self._key_use.tell_again()
        if self.listener is not None:
            await enter_again(self._link, self.listener.local_connections())
        if old is not None:
            await self._end_lease(old)

    async def _end_lease(self, lease: bytes) -> None:
        try:
            await self._lease.end(lease)
        except RoomcastError as error:
            if not self._link.is_open:
                raise
            log.info("a lease is swept later, since a part of Redis is away", error=str(error))

    async def _keep_lease(self) -> None:
        while not self._is_stopping:
            await asyncio.sleep(self._lease_seconds / RENEWALS_PER_LEASE)
            if self._link.is_open and not await self._lease.renew() and not self._is_stopping:
                log.warning("this node's lease is gone, or data of Redis is: it connects anew", node=self.node)
                self._channels.abort()  # so that all rooms are read
                self._link.abort()

    async def _keep_swept(self) -> None:
        while not self._is_stopping:
            await asyncio.sleep(self._lease_seconds / RENEWALS_PER_LEASE)
            if self._is_online and asyncio.get_running_loop().time() >= self._sweeps_from:
                await self._lease.sweep_ended()

    async def _keep_registry(self) -> None:
        while not self._is_stopping:
            await asyncio.sleep(TICK_SECONDS)
            if self._link.is_open:
                await self._send_noted_rooms()
                await self._key_use.tell()

    async def _keep_budgets(self) -> None:
        while not self._is_stopping:
            await asyncio.sleep(TICK_SECONDS)
            if self._link.is_open:
                await self._budget.enforce()

    async def _keep_probed(self) -> None:
        while not self._is_stopping:
            await asyncio.sleep(PROBE_SECONDS)
            if self._channels.is_open:
                self._channels.probe.send()

    async def _keep_heads(self) -> None:
        while not self._is_stopping:
            await asyncio.sleep(LOOK_SECONDS / TURNS)
            if self._is_online:
                self._look()
