"""This process: a `ConnectionManager` per tenant, the other end of the broker's listener, the node's clockwork."""

import asyncio
import time
from collections.abc import Callable, Iterable

import msgspec
import structlog

from service.brokers.broker import Broker, ConnectionEntry
from service.protocol.errors import CloseCode, Unavailable
from service.rooms.connection import Connection
from service.rooms.connection_manager import ConnectionManager
from service.rooms.key_use import SAVE_SECONDS, UsedKeys
from service.rooms.questions import Questions
from service.rooms.repair import Repairs
from service.rooms.room import Room
from service.rooms.shares import RateShares
from service.rooms.statistics import Statistics
from service.rooms.turns import Fanout
from service.rooms.usage import UsageBook
from service.telemetry import counters, new_incident
from service.tenants.cache import TenantCache
from service.tenants.snapshot import Change, TenantSnapshot

log = structlog.get_logger()

# How often expectations and lingering rooms are looked at.
TICK_SECONDS = 0.25
# How often SQL is asked for changed tenants: changes are in force on every node within 2 s (RELIABILITY.md).
REFRESH_SECONDS = 1.0
# A tenant that changes a thousand times in a second is looked at again after so many times the time that the last look
# took: a look costs 3 ms of CPU on SQLite, 10 ms where 10,000 tokens are revoked, and others are to be served, too.
RELOAD_PAUSE = 4
MAX_RELOAD_PAUSE_SECONDS = 0.5
# A tenant of which nothing is here is forgotten after this: its budgets are long full again, and no handshake or
# request that began with its manager is still under way.
IDLE_SECONDS = 60.0
# A changed tenant's connections are told for so long at once: a close costs 20 us, 10,000 of them 200 ms. So are
# tenants looked at: 10,000 without a room took 20 ms.
SLICE_SECONDS = 0.002
# Of a tenant that is gone: above every version that a late answer of SQL may still bring.
LAST_VERSION = 2**63 - 1


class Node:
    """One server process. It is the broker's `Listener`, and what tenants' rooms need of the node."""

    def __init__(self, name: str, broker: Broker, tenants: TenantCache) -> None:
        self.name = name
        self.broker = broker
        self.tenants = tenants
        self.fanout = Fanout()
        self.usage = UsageBook(name, int(time.time()))
        self.statistics = Statistics(self.usage)
        self.questions = Questions(broker, self.statistics.answer)
        self.receive_question, self.receive_reply = self.questions.answer, self.questions.receive_reply
        self.is_draining = False
        #: How this process ends in good order: the server's own (service/server.py).
        self.leave: Callable[[], None] = _stay
        self._managers: dict[str, ConnectionManager] = {}
        self.shares = RateShares(broker, self._managers)
        self._repairs = Repairs(broker, self.fanout)
        self._arrivals: list[Room] = []
        self._held: list[Room] = []  # rooms with arrivals for which their tenant's deliveries have no room
        self.fanout.when_freed = self._take_held
        # Changed tenants that are looked at now; False: told again meanwhile, so look once more.
        self._reloading: dict[str, bool] = {}
        # asyncio holds tasks weakly: a reload must not be collected half-way.
        self._reloads: dict[str, asyncio.Task[None]] = {}

    def manager(self, tenant: TenantSnapshot) -> ConnectionManager:
        """The tenant's manager on this node, made when it is first needed."""
        manager = self._managers.get(tenant.id)
        if manager is None:
            manager = self._managers[tenant.id] = ConnectionManager(tenant, self, self.name)
            manager.budgets.divide(self.shares.of(tenant.id))
        elif manager.tenant.version < tenant.version:
            manager.update(tenant)
        manager.used_at = time.monotonic()
        return manager

    @property
    def is_ready(self) -> bool:
        """Whether new clients and requests can be served."""
        return self.broker.is_ready and not self.is_draining

    @property
    def connection_count(self) -> int:
        """Open connections of all tenants."""
        return sum(len(manager.connections) for manager in self._managers.values())

    def connections(self) -> list[Connection]:
        """Open connections of all tenants."""
        return [connection for manager in self._managers.values() for connection in manager.connections.values()]

    @property
    def room_count(self) -> int:
        """Rooms of all tenants on this node, lingering ones included."""
        return sum(len(manager.rooms.by_name) for manager in self._managers.values())

    def serves(self, tenant_id: str) -> bool:
        """Whether the tenant is here, and in force."""
        manager = self._managers.get(tenant_id)
        return manager is not None and manager.tenant.active

    def connection_counts(self) -> list[tuple[str, int]]:
        """Open connections by tenant, of those that have any."""
        return [
            (tenant_id, len(manager.connections))
            for tenant_id, manager in self._managers.items()
            if manager.connections
        ]

    # Clockwork: run as lifespan tasks

    async def keep_rooms(self) -> None:
        """Look at expectations and lingering rooms, until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            idle_since = time.monotonic() - IDLE_SECONDS
            until = time.perf_counter() + SLICE_SECONDS
            for tenant_id, manager in list(self._managers.items()):
                manager.rooms.tick()
                if manager.is_empty and manager.used_at < idle_since:
                    del self._managers[tenant_id]
                    self.usage.forget(tenant_id)
                if time.perf_counter() > until:
                    await asyncio.sleep(0)
                    until = time.perf_counter() + SLICE_SECONDS

    async def keep_tenants(self) -> None:
        """Ask SQL for changed tenants, until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            for change in await self.tenants.refresh():
                await self._take_change(change)

    async def keep_key_use(self, used: UsedKeys) -> None:
        """Save once a minute when keys were last used, until cancelled."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self.save_key_use(used)

    async def save_key_use(self, used: UsedKeys) -> None:
        """Save when keys were last used, as far as SQL takes it now; what it does not take waits."""
        try:
            for manager in list(self._managers.values()):
                if not manager.key_use.is_saved:
                    await manager.key_use.save(used)
        except Unavailable as error:
            log.info("when keys were last used is saved later", reason=error.message)

    async def stop(self) -> None:
        """End the repairs under way."""
        await self._repairs.stop()

    async def _take_change(self, change: Change) -> None:
        manager = self._managers.get(change.tenant_id)
        if manager is None:
            return
        # A deleted tenant's manager stays until its sockets and rooms are gone.
        gone = msgspec.structs.replace(manager.tenant, active=False, version=LAST_VERSION)
        changed = change.snapshot or gone
        if (
            changed.version > manager.tenant.version
        ):  # else a newer one came first; its connections are told in any case
            manager.update(changed)
        if not manager.tenant.active:
            reason = "deleted" if change.snapshot is None else "suspended"
            log.info("tenant closed", tenant=change.name, reason=reason, connections=len(manager.connections))
        until = time.perf_counter() + SLICE_SECONDS
        for connection in list(manager.connections.values()):
            connection.tenant_changed()
            if time.perf_counter() > until:
                await asyncio.sleep(0)
                until = time.perf_counter() + SLICE_SECONDS

    # What tenants' rooms need of the node (local_rooms.NodeServices)

    def has_arrivals(self, room: Room) -> None:
        """Settle the room when the broker's turn ends."""
        self._arrivals.append(room)

    def repair(self, room: Room, keeps_history: bool) -> None:
        """Read what the room missed."""
        self._repairs.request(room, keeps_history)

    # What the broker tells (Listener)

    def receive_direct(self, tenant_id: str, user: str, body: bytes) -> None:
        """For every local connection of the user."""
        manager = self._managers.get(tenant_id)
        if manager is not None:
            for connection in manager.users.get(user, ()):
                connection.send_direct(body)

    def receive_disconnect(self, tenant_id: str, user: str | None, connection: str | None, reconnect: bool) -> None:
        """Close the local connections of the user, or the one connection."""
        manager = self._managers.get(tenant_id)
        if manager is None:
            return
        named = [manager.connections[connection]] if connection in manager.connections else []
        for found in list(manager.users.get(user, ())) if user is not None else named:
            found.close(CloseCode.DISCONNECTED, "disconnected by the tenant's server", reconnect=reconnect)

    def receive_expulsion(self, tenant_id: str, room: str, user: str) -> None:
        """Put the local connections of the user out of the room."""
        manager = self._managers.get(tenant_id)
        if manager is not None:
            manager.put_out(user, room)

    def receive_tenant_change(self, tenant_id: str) -> None:
        """Look at the tenant again, now."""
        self._begin_reload(tenant_id)

    async def look_again(self, tenant_id: str) -> None:
        """Look at a changed tenant; back when this node has it as it is now, or SQL can't be asked."""
        # One who gives up waiting must not end a look that others wait for.
        await asyncio.shield(self._begin_reload(tenant_id))

    def _begin_reload(self, tenant_id: str) -> "asyncio.Task[None]":
        under_way = self._reloads.get(tenant_id)
        if under_way is not None:
            self._reloading[tenant_id] = False
            return under_way
        self._reloading[tenant_id] = True
        reload = self._reloads[tenant_id] = asyncio.get_running_loop().create_task(self._reload(tenant_id))
        return reload

    def receive_drain(self) -> None:
        """Drain, as the operator asked another node."""
        self.leave()

    def turn_ended(self) -> None:
        """Hand on what arrived, in slices."""
        arrivals, self._arrivals = self._arrivals, []
        self._settle(arrivals)
        self.fanout.run()

    def _take_held(self) -> None:
        self._repairs.go_on()
        held, self._held = self._held, []
        self._settle(held)

    def _settle(self, arrivals: list[Room]) -> None:
        for room in arrivals:
            if self.fanout.full and room.queue in self.fanout.full:
                self._held.append(room)
                continue
            try:
                room.settle()
            except Exception:  # a mistake in one room must not stop the others; what it lost is not lost silently
                counters.faults += 1
                log.exception("a room failed", incident=new_incident())
                for member in room.members:
                    member.give_up()
        self.fanout.run()

    def redis_lost(self) -> None:
        """Commands answer `unavailable` by themselves; sockets stay."""
        log.warning("redis lost", node=self.name)
        for manager in self._managers.values():
            manager.rooms.redis_lost()

    def redis_back(self) -> None:
        """Redis serves again; rooms were told one by one of the interruption."""
        log.info("redis back", node=self.name)

    def local_connections(self) -> Iterable[tuple[str, ConnectionEntry]]:
        """What a new lease registers."""
        here = [
            (manager, connection) for manager in self._managers.values() for connection in manager.connections.values()
        ]
        return (
            (manager.tenant.id, connection.entry(self.name))
            for manager, connection in here
            if connection.id in manager.connections
        )

    async def _reload(self, tenant_id: str) -> None:
        try:
            while True:
                started = time.perf_counter()
                change = await self.tenants.reload(tenant_id)
                pause_seconds = RELOAD_PAUSE * (time.perf_counter() - started)
                if change is not None:
                    await self._take_change(change)
                if self._reloading[tenant_id]:
                    return
                await asyncio.sleep(min(MAX_RELOAD_PAUSE_SECONDS, pause_seconds))
                self._reloading[tenant_id] = True
        except Unavailable:
            pass  # `keep_tenants` asks again
        finally:
            del self._reloading[tenant_id], self._reloads[tenant_id]


def _stay() -> None:
    """Nobody runs this node as a process of its own."""
