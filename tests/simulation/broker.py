"""A node's broker over the model of Redis: the port of service/brokers/broker.py, its lease and its reconnects."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, cast

from service.brokers.broker import (
    Broker,
    History,
    Listener,
    Origin,
    PublicationDone,
    Retention,
    RoomAddress,
    RoomHead,
    RoomReceiver,
)
from service.brokers.members import NOTHING_SHOWN, MemberPage, Shown, Snapshot
from service.brokers.resp import out_of_reach
from service.protocol.errors import RoomcastError, Unavailable
from service.protocol.identifiers import Position
from tests.simulation.clock import VirtualLoop
from tests.simulation.network import Channels, Line, Weather
from tests.simulation.store import Store

# Shorter than the real one, and with it what a history waits for.
LEASE_SECONDS: Final = 1.5
TICK_SECONDS: Final = 0.5
HEADS_SECONDS: Final = 1.0
TOLD_SECONDS: Final = 10.0  # for so long a changed room is told of


class ModelBroker:
    """One node's. `start`, then `run` until the node ends or is killed."""

    def __init__(self, node: str, loop: VirtualLoop, store: Store, weather: Weather) -> None:
        self.node = node
        self.lease = ""
        self._loop, self._store, self._weather = loop, store, weather
        self.line = Line(loop, weather, self._lose)
        self.channels = Channels(loop, weather, store, self._lose)
        self._lost = asyncio.Event()
        self._lost.set()
        self._is_online = False
        self._generation = 0
        self._lease_ends_at = 0.0
        self.listener: Listener | None = None

    def as_broker(self) -> Broker:
        """For what takes one."""
        return cast(Broker, self)

    # Life

    async def run(self) -> None:
        """Keep connected, and the lease."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._keep_connected())
            parts.create_task(self._keep_time())

    def kill(self) -> None:
        """The process is gone: what was under way is neither done nor answered, and its members stay."""
        self.listener = self.channels.listener = None
        self.line.cut()
        self.channels.cut()

    @property
    def is_ready(self) -> bool:
        return self._is_online and self._holds_lease

    @property
    def _holds_lease(self) -> bool:
        return self._loop.time() < self._lease_ends_at

    def _lose(self) -> None:
        self._lost.set()
        if not self.line.is_open:
            self._lease_ends_at = 0.0
        if self._is_online:
            self._is_online = False
            if self.listener is not None:
                self.listener.redis_lost()

    async def _keep_connected(self) -> None:
        while True:
            await self._lost.wait()
            try:
                await self._come_online()
            except RoomcastError:
                self._lost.set()
                await asyncio.sleep(self._weather.chance.uniform(0.02, 0.3))
            else:
                if self.listener is not None:
                    self.listener.redis_back()

    async def _come_online(self) -> None:
        self._lost.clear()
        await asyncio.sleep(self._weather.delay())
        if self._weather.is_away:
            raise out_of_reach()
        if not self.line.is_open:
            self.line.open()
            self._generation = self._store.generation  # the greeting comes before all else
            try:
                await self._enter_everything()
            except BaseException:
                self.line.cut()
                raise
        if not self.channels.is_open:
            self.channels.listener = self.listener
            await self.channels.open()
        if self._lost.is_set():
            raise out_of_reach()
        self._is_online = True

    async def _enter_everything(self) -> None:
        asked_at, old = self._loop.time(), self.lease
        self.lease = await self.line.ask(lambda: self._store.take_lease(self.node, LEASE_SECONDS))
        self._lease_ends_at = asked_at + LEASE_SECONDS
        if self.listener is not None:
            for _tenant_id, entry in self.listener.local_connections():
                asked: list[Awaitable[Any]] = []
                for room in entry.rooms:
                    shown = entry.shown.get(room, NOTHING_SHOWN)
                    asked.append(self._enter_again(self.lease, room, entry.connection, entry.user, shown))
                await asyncio.gather(*asked)
        if old:
            await self.line.ask(lambda: self._store.end_lease(old))

    def _enter_again(self, lease: str, room: str, connection: str, user: str, shown: Shown) -> Awaitable[Any]:
        store = self._store
        self.line.ask(lambda: store.claim_room(lease, room))
        return self.line.ask(lambda: store.members_of(room).join(connection, lease, user, shown))

    async def _keep_time(self) -> None:
        heads_at = 0.0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if not self.line.is_open:
                continue
            self._renew()
            if self._is_online and self._loop.time() >= heads_at:
                heads_at = self._loop.time() + HEADS_SECONDS
                self._look_at_heads()

    def _renew(self) -> None:
        """Renew the lease, and see to what is over."""
        lease, asked_at, is_online = self.lease, self._loop.time(), self._is_online

        def renew() -> bool:
            is_there = self._store.renew_lease(lease, LEASE_SECONDS)
            if is_online:
                self._store.sweep_ended()
                self._store.end_absences()
            return is_there

        def renewed(is_there: Any) -> None:
            if lease == self.lease and is_there is True:
                self._lease_ends_at = asked_at + LEASE_SECONDS
            elif lease == self.lease and is_there is False:
                self.line.cut()

        self.line.send(renew, renewed)

    def _look_at_heads(self) -> None:
        """Tell open rooms that changed lately where they stood, when a probe says that all up to there has come."""
        names = list(self.channels.receivers)
        store = self._store

        def look() -> dict[str, Position]:
            since = store.time() - TOLD_SECONDS
            found = {name: store.rooms[name] for name in names if name in store.rooms}
            return {name: Position(room.epoch, room.offset) for name, room in found.items() if room.changed_at > since}

        def looked(heads: Any) -> None:
            if isinstance(heads, dict):
                self.line.send(lambda: self.channels.probe(lambda: tell(heads)), _ignore)

        def tell(heads: dict[str, Position]) -> None:
            for name, head in heads.items():
                if (receiver := self.channels.receivers.get(name)) is not None:
                    receiver.receive_head(head)

        self.line.send(look, looked)

    # The port: messages

    def address(self, tenant_id: str, room: str) -> RoomAddress:
        return RoomAddress(tenant_id, room, 0, None)

    def broadcast_to_room(
        self,
        address: RoomAddress,
        body: bytes,
        origin: Origin,
        retention: Retention,
        done: PublicationDone,
        idempotency_key: tuple[str, str] | None = None,
    ) -> None:
        room, generation = address.room, self._generation
        self.line.send(lambda: self._store.publish(room, body, origin, retention, idempotency_key, generation), done)

    def signal_room(self, address: RoomAddress, body: bytes, origin: Origin) -> Awaitable[None]:
        tell = self._store.tell
        return self.line.ask(lambda: tell(address.room, lambda receiver: receiver.receive_signal(origin, body)))

    def read_history(
        self, address: RoomAddress, *, after: int | None, before: int | None, limit: int, newest: bool, max_bytes: int
    ) -> Awaitable[History]:
        # Pages of a few messages, so that small histories have several.
        limit, generation = min(limit, 3), self._generation
        return self.line.ask(lambda: self._store.read_history(address.room, after, before, limit, newest, generation))

    def forget_history(self, address: RoomAddress) -> Awaitable[Position]:
        return self.end_epoch(address, "")

    def end_epoch(self, address: RoomAddress, epoch: str) -> Awaitable[Position]:
        generation = self._generation
        return self.line.ask(lambda: self._store.end_epoch(address.room, epoch, generation))

    # The port: rooms and members

    def subscribe(self, address: RoomAddress, receiver: RoomReceiver) -> Awaitable[None]:
        return self.channels.subscribe(address.room, receiver)

    def unsubscribe(self, address: RoomAddress) -> None:
        self.channels.unsubscribe(address.room)

    def claim_room(self, address: RoomAddress, max_rooms: int | None) -> Awaitable[int]:
        lease = self.lease
        return self._ask_under_lease(lambda: self._store.claim_room(lease, address.room))

    def release_room(self, address: RoomAddress) -> Awaitable[None]:
        lease = self.lease
        return self._ask_under_lease(lambda: self._store.claims.get(lease, set()).discard(address.room))

    def join(
        self, address: RoomAddress, connection: str, user: str, max_members: int | None, shown: Shown = NOTHING_SHOWN
    ) -> Awaitable[RoomHead]:
        lease, generation, store = self.lease, self._generation, self._store

        def join() -> RoomHead:
            head = store.head(address.room, generation)
            members = store.members_of(address.room)
            snapshot = members.join(connection, lease, user, shown)
            return RoomHead(head, members.count, members.users, snapshot)

        return self._ask_under_lease(join)

    def leave(self, address: RoomAddress, connection: str) -> Awaitable[None]:
        return self.line.ask(lambda: self._store.members_of(address.room).leave(connection, self.node, 0))

    def left(self, address: RoomAddress, connection: str, grace_ms: int = 0) -> None:
        self.line.send(lambda: self._store.members_of(address.room).leave(connection, self.node, grace_ms), _ignore)

    def set_info(self, address: RoomAddress, connection: str, info: bytes) -> None:
        lease = self.lease
        self.line.send(lambda: self._store.members_of(address.room).change(connection, lease, info=info), _ignore)

    def set_state(self, address: RoomAddress, connection: str, state: bytes) -> Awaitable[bool]:
        lease = self.lease
        return self._ask_under_lease(
            lambda: self._store.members_of(address.room).change(connection, lease, state=state)
        )

    def list_members(self, address: RoomAddress, after: str, limit: int, max_bytes: int) -> Awaitable[MemberPage]:
        return self.line.ask(lambda: self._store.members_of(address.room).page(after, limit))

    def watch(self, address: RoomAddress) -> Awaitable[Snapshot]:
        lease = self.lease
        return self._ask_under_lease(lambda: self._store.members_of(address.room).watch(lease))

    def unwatch(self, address: RoomAddress) -> None:
        lease = self.lease
        self.line.send(lambda: self._store.members_of(address.room).unwatch(lease), _ignore)

    def _ask_under_lease(self, work: Any) -> "asyncio.Future[Any]":
        if self._holds_lease:
            return self.line.ask(work)
        refused: asyncio.Future[Any] = self._loop.create_future()
        refused.set_exception(Unavailable("this node's lease ended: nothing was stored", retry_after_ms=1_000))
        refused.exception()
        return refused

    # The port: what histories here have no use for

    def note_rooms(self, tenant_id: str, connection: str, rooms: Sequence[str]) -> None:
        """The registry is not modelled."""

    def disconnected(self, tenant_id: str, connection: str, user: str) -> None:
        """The registry is not modelled."""

    def note_key_use(self, tenant_id: str, connections: Mapping[str, int]) -> None:
        """The registry is not modelled."""


def _ignore(_result: object) -> None:
    """The answer says nothing that anybody wants."""
