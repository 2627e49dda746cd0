"""A crowd that talks through faults: publishers, subscribers and watchers of several tenants on several nodes."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any

from tests.support.conversation import CANARY, RETRY_SECONDS, Insider, Lookout, Participant, Served, place_of, room_of
from tests.support.records import Counter, Ends, Heard, Kept, Place, Quiet, Record, Sees
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant

KEPT_MESSAGES = 100  # what a room keeps by default
ENTER_SECONDS = 120
SETTLE_SECONDS = 15


class Load:
    """Made by a Run; an async context. All counts are of each tenant.

    rooms, each with publishers_per_room, who send one message at a time and again with the same key until it is
    acknowledged. subscribers, each in rooms_per_subscriber of them; watchers, who keep one room's list of members.
    messages_per_second: of all together. payload_bytes: of padding in each message.
    patience: by how much the times to settle at the end are longer.
    acknowledged, deliveries: counted so far. latencies_seconds: of all deliveries, to be cleared by who wants those of
    some time. complaints: what clients fell over, one sentence each.
    """

    def __init__(
        self,
        tenants: Sequence[Tenant],
        nodes: Sequence[Served],
        log: list[Record],
        chance: random.Random,
        *,
        rooms: int = 5,
        publishers_per_room: int = 2,
        subscribers: int = 5,
        rooms_per_subscriber: int = 2,
        watchers: int = 1,
        messages_per_second: float = 100,
        payload_bytes: int = 0,
        patience: float = 1,
    ) -> None:
        self._tenants = tenants
        self._nodes = nodes
        self._log = log
        self.rooms = [f"room-{number}" for number in range(rooms)]
        self.complaints: list[str] = []
        self.latencies_seconds: list[float] = []
        turns = iter(range(1_000_000))
        self.publishers: list[Participant] = []
        self.subscribers: list[Participant] = []
        self.watchers: list[Lookout] = []
        for tenant in tenants:
            for number in range(rooms * publishers_per_room):
                room = self.rooms[number % rooms]
                self.publishers.append(self._participant(tenant, f"publisher-{number}", next(turns), [room]))
            for number in range(subscribers):
                chosen = chance.sample(self.rooms, min(rooms_per_subscriber, rooms))
                self.subscribers.append(self._participant(tenant, f"subscriber-{number}", next(turns), chosen))
            for number in range(watchers):
                self.watchers.append(
                    Lookout(f"watcher-{number}", tenant, self._turned(next(turns)), chance.choice(self.rooms), log)
                )
        self._pause_seconds = len(self.publishers) / messages_per_second
        self._settle_seconds = SETTLE_SECONDS * patience
        self._padding = "." * payload_bytes
        self._enough = asyncio.Event()
        self._lives: list[asyncio.Task[None]] = []
        self._talks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Load":
        everybody = self.everybody
        self._lives = [asyncio.create_task(each.live()) for each in everybody]
        async with asyncio.timeout(ENTER_SECONDS):
            await asyncio.gather(*(each.is_in.wait() for each in everybody))
        self._talks = [asyncio.create_task(self._talk(each)) for each in self.publishers]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._settle()
        finally:
            tasks = [*self._talks, *self._lives]
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            self.complaints += [repr(end) for end in ends if isinstance(end, Exception)]
            for each in self.everybody:
                if each.client is not None:
                    each.client.drop()

    # What the crowd is and has done

    @property
    def participants(self) -> list[Participant]:
        """Publishers and subscribers."""
        return [*self.publishers, *self.subscribers]

    @property
    def everybody(self) -> list[Insider]:
        """Whoever has a socket."""
        return [*self.participants, *self.watchers]

    @property
    def acknowledged(self) -> int:
        """Publishes that were acknowledged so far."""
        return sum(each.acknowledged for each in self.publishers)

    @property
    def deliveries(self) -> int:
        """Messages that came so far, to all together."""
        return sum(each.deliveries for each in self.participants)

    @property
    def longest_gap_seconds(self) -> float:
        """The longest that one of them heard nothing."""
        return max((each.longest_gap_seconds for each in self.participants), default=0)

    @property
    def slowest_publish_seconds(self) -> float:
        """The longest from a publish' first attempt to its acknowledgement."""
        return max((each.slowest_publish_seconds for each in self.publishers), default=0)

    def live_connections(self, tenant: Tenant, room: str, frozen: Served | None = None) -> frozenset[str]:
        """Whose sockets are open in the room now, but for those on a node that is frozen."""
        inside: list[Insider] = [each for each in self.participants if room in each.rooms]
        inside += [each for each in self.watchers if each.room == room]
        return frozenset(
            each.client.welcome.connection
            for each in inside
            if each.tenant == tenant and each.is_in.is_set() and each.client and each.node is not frozen
        )

    # Waiting

    async def publishes_again(self, within_seconds: float = 30) -> float:
        """Seconds from this call until every node on which there are publishers acknowledged one that began after it.

        `within_seconds` where that takes longer.
        """
        loop = asyncio.get_running_loop()
        since = loop.time()
        while loop.time() < since + within_seconds:
            places = {each.node_name for each in self.publishers if each.is_in.is_set()}
            if places and places <= {each.node_name for each in self.publishers if each.proved_at >= since}:
                return loop.time() - since
            await asyncio.sleep(0.005)
        return within_seconds

    async def presence_is_right(self, within_seconds: float = 10, frozen: Served | None = None) -> float:
        """Back when everybody is in and each watcher has exactly the live sockets, or after so long; after how long.

        Either way the log has from here on what the watchers should know, and the checker judges. frozen: a node whose
        members ought to be gone, and whose watchers know nothing.
        """
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        while loop.time() < began_at + within_seconds and not self._presence_is_right(frozen):
            await asyncio.sleep(0.02)
        for each in self.everybody:
            if not each.is_in.is_set():
                self.complaints.append(f"{each.name} is not in after {within_seconds} s")
        away = frozenset(watcher.name for watcher in self.watchers if watcher.node is frozen)
        for watcher in self.watchers:
            live = self.live_connections(watcher.tenant, watcher.room, frozen)
            self._log.append(Quiet(room_of(watcher.tenant, watcher.room), live, away))
        return loop.time() - began_at

    def _presence_is_right(self, frozen: Served | None) -> bool:
        return all(each.is_in.is_set() for each in self.everybody) and all(
            watcher.knows(self.live_connections(watcher.tenant, watcher.room, frozen))
            for watcher in self.watchers
            if watcher.node is not frozen
        )

    # From within

    def _participant(self, tenant: Tenant, name: str, turn: int, rooms: list[str]) -> Participant:
        participant = Participant(name, tenant, self._turned(turn), rooms, self._log)
        participant.latencies_seconds = self.latencies_seconds
        return participant

    def _turned(self, by: int) -> list[Served]:
        by %= len(self._nodes)
        return [*self._nodes[by:], *self._nodes[:by]]

    async def _talk(self, publisher: Participant) -> None:
        loop = asyncio.get_running_loop()
        number = 0
        due = loop.time()
        while not self._enough.is_set():
            number += 1
            await publisher.publish(publisher.rooms[0], f"{publisher.name}/{number}", self._padding)
            due += self._pause_seconds
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _settle(self) -> None:
        self._enough.set()
        _, late = await asyncio.wait(self._talks, timeout=self._settle_seconds)
        if late:
            self.complaints.append(f"{len(late)} publishes were not acknowledged within {self._settle_seconds} s")
        await self.presence_is_right(self._settle_seconds)
        arrivals = []
        for tenant in self._tenants:
            heads = await self._read_histories(tenant)
            arrivals += [each.reaches(heads) for each in self.participants if each.tenant == tenant]
        with contextlib.suppress(TimeoutError):  # the checker tells who did not come so far
            async with asyncio.timeout(self._settle_seconds):
                await asyncio.gather(*arrivals)
        for tenant in self._tenants:
            await self._read_presence(tenant)

    async def _read_histories(self, tenant: Tenant) -> dict[str, Place]:
        heads = {}
        async with Rest(self._nodes[0].address, tenant.api_key) as rest:
            for room in self.rooms:
                page = await self._read(rest, tenant, f"/v1/rooms/{room}/messages?limit=1000")
                heads[room] = place_of(page["position"])
                self._log.append(Ends(room_of(tenant, room), heads[room]))
                for message in page["messages"]:
                    where = (heads[room][0], message["offset"])
                    self._log.append(Kept(room_of(tenant, room), message["data"]["key"], where))
        return heads

    async def _read_presence(self, tenant: Tenant) -> None:
        """What REST at each node says of members, and the server's counters, once it is right, or time is over."""
        live = {room: self.live_connections(tenant, room) for room in self.rooms}
        counted = {"connections": sum(each.tenant == tenant for each in self.everybody), "rooms": len(self.rooms)}
        deadline = asyncio.get_running_loop().time() + self._settle_seconds
        for node in self._nodes:
            async with Rest(node.address, tenant.api_key) as rest:
                while True:
                    seen = {room: await self._read_members(rest, tenant, room) for room in self.rooms}
                    counts = await self._read(rest, tenant, "/v1/counts")
                    is_right = seen == live and all(counts[name] == count for name, count in counted.items())
                    if is_right or asyncio.get_running_loop().time() > deadline:
                        break
                    await asyncio.sleep(0.2)
            for room, members in seen.items():
                self._log.append(Sees(f"REST at {node.address}", room_of(tenant, room), members))
            for name, count in counted.items():
                self._log.append(Counter(f"{name} of {tenant.name} at {node.address}", counts[name], count, count))
        self._log += [Quiet(room_of(tenant, room), connections) for room, connections in live.items()]

    async def _read(self, rest: Rest, tenant: Tenant, path: str) -> Any:
        """The answer to a GET, asked again while Redis is away."""
        async with asyncio.timeout(self._settle_seconds):
            while (answer := await rest.ask("GET", path)).status_code == 503:
                await asyncio.sleep(RETRY_SECONDS)
        assert answer.status_code == 200, answer.text
        self._log += [Heard("REST", tenant.name, name.decode()) for name in set(CANARY.findall(answer.content))]
        return answer.json()

    async def _read_members(self, rest: Rest, tenant: Tenant, room: str) -> frozenset[str]:
        page = await self._read(rest, tenant, f"/v1/rooms/{room}/members?limit=1000")
        return frozenset(member["connection"] for member in page["members"])


async def converse(
    tenant: Tenant,
    nodes: Sequence[Served],
    faults: Callable[[], Awaitable[None]],
    *,
    rooms: int = 8,
    messages_per_second: float = 200,
) -> list[Record]:
    """Two publishers for each room and four more subscribers of all, while `faults` happen; what they saw."""
    log: list[Record] = []
    load = Load(
        [tenant],
        nodes,
        log,
        random.Random(0),
        rooms=rooms,
        subscribers=4,
        rooms_per_subscriber=rooms,
        watchers=0,
        messages_per_second=messages_per_second,
        patience=3,  # other tests have the cores
    )
    async with load:
        await faults()
    assert load.complaints == []
    return log
