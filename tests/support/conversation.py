"""Clients that go on through faults as good ones do, and what they saw.

Publishers send one message at a time, and again with the same key until it is acknowledged; everybody who is cut off
connects to the next node and rejoins with `since`.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, Protocol

from service.protocol.events import Closing, ErrorEvent, Gap, Joined, Message, Published, WebSocketEvent
from tests.support.canaries import PAYLOAD
from tests.support.records import Acknowledged, Delivered, Entered, Heard, Place, Record, Refused, Sees, Started, Told
from tests.support.tenants import Tenant
from tests.support.watcher import Watcher
from tests.support.wire_client import Client, Closed
from tests.support.wire_client import Refused as RefusedHandshake

RETRY_SECONDS = 0.05
CANARY: Final = re.compile(re.escape(PAYLOAD).encode() + rb"~([\w.-]+)~")
ENDS: Final = (Closed, OSError, RefusedHandshake, asyncio.IncompleteReadError)


class Served(Protocol):
    """A node, or several behind one port."""

    @property
    def address(self) -> str:
        """As http://127.0.0.1:8000."""


def place_of(position: str | None) -> Place:
    """A position's text as (epoch, offset)."""
    assert position is not None
    epoch, _, offset = position.partition(":")
    return epoch, int(offset)


def canary_of(tenant: Tenant) -> str:
    """What this tenant's payloads, members and users say of themselves, and nobody else may ever read."""
    return f"{PAYLOAD}~{tenant.name}~"


def room_of(tenant: Tenant, room: str) -> str:
    """The room's name in the log."""
    return f"{tenant.name}/{room}"


class Insider:
    """A user of a tenant who stays through every fault, on the next node if need be."""

    def __init__(self, name: str, tenant: Tenant, nodes: Sequence[Served], log: list[Record]) -> None:
        self.name = f"{tenant.name}/{name}"
        self.tenant = tenant
        self.client: Client | None = None
        self.is_in = asyncio.Event()
        self.connects = 0
        self._user = name
        self._nodes = list(nodes)
        self._log = log
        self._binary = name.endswith(("1", "3"))  # both subprotocols, side by side
        self._away_seconds = RETRY_SECONDS
        self._heard: set[bytes] = set()

    async def live(self) -> None:
        """Be there until cancelled."""
        raise NotImplementedError

    @property
    def node(self) -> Served:
        """Where it is, or tries to be."""
        return self._nodes[0]

    @property
    def node_name(self) -> str:
        """The name of the node that it is on, or was."""
        return self.client.welcome.node if self.client is not None else ""

    async def _open(self) -> Client:
        token = self.tenant.token(self._user, info={"canary": canary_of(self.tenant)})
        self.client = await Client.open(self.node.address, token, binary=self._binary)
        self.client.overhears = self._overhear
        self.connects += 1
        return self.client

    async def _turn_to_the_next_node(self, end: BaseException) -> None:
        self.is_in.clear()
        if isinstance(end, RefusedHandshake) and len(self._nodes) == 1:
            self._away_seconds = end.problem.get("retry_after_ms", 0) / 1000 or RETRY_SECONDS
        self._nodes.append(self._nodes.pop(0))
        away_seconds, self._away_seconds = self._away_seconds, RETRY_SECONDS
        await asyncio.sleep(away_seconds)

    def _overhear(self, payload: bytes) -> None:
        for name in CANARY.findall(payload):
            if name not in self._heard:
                self._heard.add(name)
                self._log.append(Heard(self.name, self.tenant.name, name.decode()))


class Participant(Insider):
    """A client that is in `rooms`.

    longest_gap_seconds: between two deliveries. latencies_seconds: from a publish' first attempt to each delivery, by
    one clock; who is given the list may clear it. proved_at: when the newest publish was begun that was acknowledged.
    """

    def __init__(self, name: str, tenant: Tenant, nodes: Sequence[Served], rooms: Sequence[str], log: list[Record]):
        super().__init__(name, tenant, nodes, log)
        self.rooms = rooms
        self.at: dict[str, Place] = {}
        self._passed: dict[str, list[tuple[Place, Place]]] = defaultdict(list)  # by gaps: behind the first, to the last
        # Publishes that wait for their answer, by key.
        self.waiting: dict[str, asyncio.Future[None]] = {}
        self.moved = asyncio.Event()
        self.deliveries = self.acknowledged = 0
        self.longest_gap_seconds = 0.0
        self.latencies_seconds: list[float] = []
        self.slowest_publish_seconds = 0.0
        self.proved_at = 0.0
        self._delivered_at: float | None = None

    async def live(self) -> None:
        """Connect, listen, and again; until cancelled."""
        while True:
            try:
                client = await self._open()
                await self._join(client)
                while True:
                    self._take(await client.next(60))
            except ENDS as end:
                self._fail_waiting()
                await self._turn_to_the_next_node(end)

    async def _join(self, client: Client) -> None:
        for room in self.rooms:
            since = {"since": "{}:{}".format(*self.at[room])} if room in self.at else {}
            await client.sends("join", room=room, id=f"join {room}", **since)
        missing = set(self.rooms)
        while missing:
            event = await client.next()
            if isinstance(event, ErrorEvent):
                client.drop()
                raise Closed(None)  # Redis is away: begin again
            self._take(event)
            if isinstance(event, Joined):
                missing.remove(event.room)
        self.is_in.set()

    def _take(self, event: WebSocketEvent) -> None:
        match event:
            case Joined():
                self._move(event.room, Entered(self.name, self._room(event), place_of(event.position), event.recovered))
            case Gap():
                self._passed[event.room].append((self.at[event.room], place_of(event.to)))
                self._move(event.room, Told(self.name, self._room(event), place_of(event.to)))
            case Message():
                assert isinstance(event.offset, int)
                assert self.client is not None
                data = self.client.value(event.data)
                key = data["key"]
                if "at" in data:
                    self.latencies_seconds.append(asyncio.get_running_loop().time() - data["at"])
                place = (self.at[event.room][0], event.offset)
                self._move(event.room, Delivered(self.name, self._room(event), key, place))
            case Published():
                place = place_of(event.position)
                if not event.duplicate and not self._was_passed(event.room, place):
                    self._move(event.room, Delivered(self.name, self._room(event), str(event.id), place))
                self._log.append(Acknowledged(self.name, self._room(event), str(event.id), place))
                self.acknowledged += 1
                self._answer(str(event.id), stored=True)
            case Closing():
                assert event.reconnect
                self._away_seconds = event.after_ms / 1000
            case ErrorEvent():
                self._log.append(Refused(self.name, self._room(event), str(event.id), event.code))
                self._answer(str(event.id), stored=False)
            case _:
                raise AssertionError(event)

    def _room(self, event: Joined | Gap | Message | Published | ErrorEvent) -> str:
        assert isinstance(event.room, str)
        return room_of(self.tenant, event.room)

    def _was_passed(self, room: str, place: Place) -> bool:
        """Whether a gap took this place: the answer to its publish comes behind the gap, and moves nobody."""
        return any(
            place[0] == first[0] and place[1] > first[1] and (place[0] != last[0] or place[1] <= last[1])
            for first, last in self._passed[room]
        )

    def _move(self, room: str, record: Entered | Told | Delivered) -> None:
        self._log.append(record)
        if not (isinstance(record, Entered) and record.recovered):
            self.at[room] = record.place
        if isinstance(record, Delivered):
            now = asyncio.get_running_loop().time()
            if self._delivered_at is not None:
                self.longest_gap_seconds = max(self.longest_gap_seconds, now - self._delivered_at)
            self._delivered_at = now
            self.deliveries += 1
        self.moved.set()

    async def publish(self, room: str, key: str, padding: str = "") -> None:
        """One message, until it is acknowledged."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        data = {"key": key, "canary": canary_of(self.tenant), "at": began_at, "padding": padding}
        while True:
            await self.is_in.wait()
            assert self.client is not None
            answer: asyncio.Future[None] = loop.create_future()
            self.waiting[key] = answer
            self._log.append(Started(self.name, room_of(self.tenant, room), key))
            tried_at = loop.time()
            try:
                await self.client.sends("publish", room=room, data=data, key=key, id=key)
                await answer
                break
            except (Closed, OSError):
                self.waiting.pop(key, None)
                await asyncio.sleep(RETRY_SECONDS)
        self.proved_at = tried_at
        self.slowest_publish_seconds = max(self.slowest_publish_seconds, loop.time() - began_at)

    def _answer(self, key: str, *, stored: bool) -> None:
        if key in self.waiting:
            answer = self.waiting.pop(key)
            if stored:
                answer.set_result(None)
            else:
                answer.set_exception(Closed(None))

    def _fail_waiting(self) -> None:
        for key in list(self.waiting):
            self._answer(key, stored=False)

    async def reaches(self, heads: dict[str, Place]) -> None:
        """Wait until it stands at these heads."""
        while any(self.at.get(room) != heads[room] for room in self.rooms if room in heads):
            self.moved.clear()
            await self.moved.wait()


class Lookout(Insider):
    """A client that watches `room`, and what it is told of its members."""

    def __init__(self, name: str, tenant: Tenant, nodes: Sequence[Served], room: str, log: list[Record]) -> None:
        super().__init__(name, tenant, nodes, log)
        self.room = room
        self.watcher: Watcher | None = None

    async def live(self) -> None:
        """Connect, watch, and again; until cancelled."""
        while True:
            try:
                client = await self._open()
                watched = room_of(self.tenant, self.room)
                self.watcher = await Watcher.watch(client, self.room, self._log, (self.name, watched))
                self.is_in.set()
                await self.watcher.ends()
            except ENDS as end:
                self._log.append(Sees(self.name, room_of(self.tenant, self.room), None))
                if self.watcher is not None:
                    self._away_seconds = max(RETRY_SECONDS, self.watcher.away_seconds)
                await self._turn_to_the_next_node(end)

    def knows(self, connections: frozenset[str]) -> bool:
        """Whether it has a list of the room's members, and these stand in it."""
        watcher = self.watcher
        return self.is_in.is_set() and watcher is not None and watcher.is_sure and set(watcher.members) == connections
