"""Nodes, clients and one Redis, all in one process and in virtual time; and what must be so when all is quiet."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, Final, cast

from service.protocol.errors import Unavailable
from service.rooms.connection_manager import ConnectionManager
from service.rooms.node import Node
from service.rooms.outgoing import OutgoingMessage
from service.telemetry import counters
from service.tenants.cache import TenantCache
from service.tenants.limits import Limits
from service.tenants.room_types import RoomType, RoomTypes
from service.tenants.snapshot import TenantSnapshot
from tests.simulation.broker import ModelBroker
from tests.simulation.client import Client
from tests.simulation.clock import VirtualLoop
from tests.simulation.network import Weather
from tests.simulation.peer import Peer
from tests.simulation.store import Store, StoredRoom

GRACE_SECONDS: Final = 0.4
TENANT: Final = TenantSnapshot(
    "t1",
    "acme",
    True,
    Limits(publishes_per_second=None, deliveries_per_second=None, connects_per_second=None, commands_per_second=None),
    (),
    {},
    {},
    1,
    RoomTypes(
        {
            "kept": RoomType(history_messages=12, history_seconds=30, presence_grace_seconds=GRACE_SECONDS),
            "short": RoomType(history_messages=4, history_seconds=1, presence_grace_seconds=0),
            "unkept": RoomType(history_messages=0, presence_grace_seconds=GRACE_SECONDS),
        }
    ),
)
ROOMS: Final = {"kept": True, "short": True, "unkept": False}
# Leases end, two looks at each watched room, expectations and retries: all of it takes less.
QUIET_SECONDS: Final = 3.5


class SimulatedNode(Node):
    """One node's process. peers: sockets that it took."""

    def __init__(self, name: str, loop: VirtualLoop, store: Store, weather: Weather) -> None:
        self.model = ModelBroker(name, loop, store, weather)
        super().__init__(name, self.model.as_broker(), cast(TenantCache, None))
        self.model.listener = self
        self.peers: list[Peer] = []
        self._tasks = [loop.create_task(self.model.run()), loop.create_task(self.keep_rooms())]

    @property
    def tenant_manager(self) -> ConnectionManager:
        """The one tenant's."""
        return self.manager(TENANT)

    def kill(self) -> None:
        """As by SIGKILL."""
        for peer in self.peers:
            peer.crash()
        self.model.kill()
        for task in (*self._tasks, *self._repairs._tasks):
            task.cancel()


class World:
    """One history's. complaints: what was seen that must not be."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop = loop
        self.chance = random.Random(seed)
        self.complaints: list[str] = []
        self.store = Store(loop.time)
        self.weather = Weather(self.chance)
        self._faults = counters.faults
        self._made: list[SimulatedNode] = []
        self.nodes = [self.make_node() for _ in range(2)]
        self.clients = [
            Client(name, loop, self.chance, self.store, ROOMS, self._choose_node, self.complaints.append)
            for name in ("ann", "bob", "cyd")
        ]
        self.backup: dict[str, StoredRoom] = {}
        # By number: room, client's place or None for a server, key; and how often it was sent and refused.
        self.sent: dict[int, tuple[str, int | None, str]] = {}
        self.attempts: dict[int, int] = {}
        self.refused: dict[int, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        loop.set_exception_handler(self._note_exception)

    def make_node(self) -> SimulatedNode:
        """A new process."""
        node = SimulatedNode(f"n{len(self._made) + 1}", self.loop, self.store, self.weather)
        self._made.append(node)
        return node

    def _choose_node(self) -> SimulatedNode | None:
        ready = [node for node in self.nodes if node.is_ready]
        return self.chance.choice(ready) if ready else None

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside all else."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Publishing

    def new_number(self) -> int:
        """Of a message that was never sent."""
        return len(self.sent) + 1

    def publish(self, client: int, number: int, *, answered: bool, echo: bool) -> None:
        """Have a client send message `number`."""
        room, _, key = self.sent[number]
        self.attempts[number] = self.attempts.get(number, 0) + 1
        fields = {"key": key} if key else {}
        self.clients[client].say("publish", room, answered=answered, data=number, echo=echo, **fields)

    async def post(self, number: int, exclude: tuple[str, ...]) -> None:
        """Have a server send message `number` over HTTP."""
        room, _, key = self.sent[number]
        node = self._choose_node()
        if node is None:
            return
        self.attempts[number] = self.attempts.get(number, 0) + 1
        try:
            message = OutgoingMessage(b"%d" % number)
            stored = await node.tenant_manager.broadcast_to_room(message, room, exclude, key=key or None)
        except Unavailable as error:
            if "unknown" not in error.message:
                self.refused[number] = self.refused.get(number, 0) + 1
            return
        written = self.store.places.get((room, stored.epoch, stored.offset))
        if written is None or written.number != number:
            self.complaints.append(f"message {number} was answered as {stored}, where it is not")

    # Ends

    async def settle(self) -> None:
        """Good weather, everybody comes back, and time for all to find its end."""
        self.weather.clear_up()
        while len(self.nodes) < 2:
            self.nodes.append(self.make_node())
        for client in self.clients:
            client.is_back = True
            client.connect()
            if client.peer is not None:
                client.peer.is_slow = False
        await asyncio.sleep(QUIET_SECONDS)
        for client in self.clients:
            if client.peer is not None:
                client.peer.is_slow = False
        await asyncio.sleep(1.0)

    def end(self) -> None:
        """Nothing is to go on; a repair that ends would begin another one for what arrived."""
        for client in self.clients:
            client.is_back = False
        for node in self._made:
            for room in node.tenant_manager.rooms.by_name.values():
                room.arrived.clear()
        self.loop.clear()

    def check(self) -> None:
        """What must hold now that all is quiet."""
        self.complaints += self.store.wrong
        if counters.faults != self._faults:
            self.complaints.append("something failed in a node")
        for number, attempts in self.attempts.items():
            refused = self.refused.get(number, 0) + sum(client.refused.count(number) for client in self.clients)
            if attempts == refused and number in self.store.written:
                self.complaints.append(f"message {number} was refused each time, and is stored")
        for client in self.clients:
            self._check_client(client)
        for room in ROOMS:
            self._check_members(room)

    def _check_client(self, client: Client) -> None:
        if client.peer is None:
            self.complaints.append(f"{client.connection} did not come back")
            return
        unanswered = [command for waiting in client.waiting.values() for command in waiting]
        if unanswered:
            self.complaints.append(f"{client.connection} has no answer to {unanswered[0]}")
        for room, view in client.views.items():
            if view.is_joined is not (room in client.wanted):
                self.complaints.append(f"{client.connection} is in {room}: {view.is_joined}, which is not its wish")
            view.check_end()

    def _check_members(self, room: str) -> None:
        joined = {client.connection for client in self.clients if client.views[room].is_joined}
        members = self.store.members_of(room)
        if set(members.there) != joined or members.absent:
            there = (sorted(members.there), sorted(members.absent))
            self.complaints.append(f"members of {room} are {there}, and should be {sorted(joined)}")
        for client in self.clients:
            listing = client.listings[room]
            if listing.is_watching and not listing.is_right(joined):
                seen = (sorted(listing.members), listing.connections)
                self.complaints.append(f"{client.connection} sees in {room} {seen}, and there are {sorted(joined)}")

    def _note_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context['message']}: {context.get('exception')!r}")
