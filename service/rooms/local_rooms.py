"""One tenant's rooms on this node: opened for their first member, kept for a while after their last one."""

import asyncio
import time
from collections.abc import Sequence
from itertools import islice
from typing import Protocol

from service.brokers.broker import Broker, Envelope
from service.protocol.errors import Unavailable
from service.rooms.connection import Connection
from service.rooms.membership import Membership
from service.rooms.room import Room
from service.rooms.room_rates import RoomRates
from service.rooms.rules import RoomRules, Rulebook
from service.rooms.turns import DeliveryQueue, Fanout
from service.rooms.usage import UsageBook
from service.rooms.watches import Watches

# A room without members stays subscribed for so long: page reloads and reconnects need no new subscription.
LINGER_SECONDS = 5.0
# Rooms let go in one tick, so that many that everybody left at once don't hold the loop: 100,000 take half a minute.
ROOMS_LET_GO = 1_000
# New rules are given to a tenant's rooms for so long at once; a room costs 1 us.
SLICE_SECONDS = 0.002
# What Redis told a client must come around within this, or is read from history (ARCHITECTURE.md, decision 10).
EXPECTATION_SECONDS = 1.5


class NodeServices(Protocol):
    """What the rooms of a tenant need of the node."""

    broker: Broker
    fanout: Fanout
    usage: UsageBook

    def has_arrivals(self, room: Room) -> None:
        """Call `room.settle()` when the broker's turn ends."""

    def repair(self, room: Room, keeps_history: bool) -> None:
        """Read what the room missed."""


class LocalRooms:
    """The rooms of one tenant on this node; their `Attendant`.

    connections: of the tenant on this node, by id (the `ConnectionManager`'s).
    """

    def __init__(
        self, tenant_id: str, services: NodeServices, connections: dict[str, Connection], rulebook: Rulebook
    ) -> None:
        self._tenant_id = tenant_id
        self._services = services
        self._connections = connections
        self.by_name: dict[str, Room] = {}
        self.fanout = services.fanout
        self._usage = services.usage.of(tenant_id)
        self.deliveries = DeliveryQueue(self._usage)
        self.rulebook = rulebook
        self.rates = RoomRates()
        self.watches = Watches(services.broker, services.fanout)
        # Rooms that have not got the rulebook's rules yet.
        self._unruled: list[Room] = []
        self._lingering: dict[Room, float] = {}
        self._expecting: dict[Room, float] = {}

    async def open(self, name: str, max_rooms: int | None) -> Room:
        """The room, subscribed and counted as occupied; each call is given back by `close`.

        Raises TooMany (max_rooms), Unavailable.
        """
        room = self.by_name.get(name)
        if room is None:
            address = self._services.broker.address(self._tenant_id, name)
            room = self.by_name[name] = Room(name, address, self, self.rulebook.find(name))
            self._give_rules(room)
        room.claims += 1
        self._lingering.pop(room, None)
        try:
            while not room.is_open:
                if room.opening is None:
                    await self._open(room, max_rooms)
                else:
                    await asyncio.wait([room.opening])
        except BaseException:
            self.close(room)
            raise
        return room

    async def _open(self, room: Room, max_rooms: int | None) -> None:
        room.opening = asyncio.get_running_loop().create_future()
        try:
            if not room.is_subscribed:
                await self._services.broker.subscribe(room.address, room)
                room.is_subscribed = True
            # Last, so that the join follows at once, under the same lease. From here on it may be counted, whatever
            # becomes of this: `close` takes it back.
            room.is_claimed = True
            self._usage.note_rooms(await self._services.broker.claim_room(room.address, max_rooms))
            room.is_open = True
        finally:
            room.opening.set_result(None)
            room.opening = None

    def close(self, room: Room) -> None:
        """One connection less is in the room, or on its way in."""
        room.claims -= 1
        if room.claims == 0:
            room.is_open = False
            if room.is_claimed:
                room.is_claimed = False
                release = asyncio.ensure_future(self._services.broker.release_room(room.address))
                release.add_done_callback(_forget_refusal)
            self._lingering[room] = time.monotonic() + LINGER_SECONDS

    def rules(self, name: str) -> RoomRules:
        """What holds in a room, whether or not it is open here."""
        room = self.by_name.get(name)
        return self.rulebook.find(name) if room is None else room.rules

    def change_rules(self, rulebook: Rulebook) -> None:
        """Other rules hold: in rooms that open at once, in open ones within a few loop turns."""
        self.rulebook = rulebook
        is_under_way = bool(self._unruled)
        self._unruled = list(self.by_name.values())
        if not is_under_way:
            self._rule_some()

    def _rule_some(self) -> None:
        until = time.perf_counter() + SLICE_SECONDS
        while self._unruled:
            self._give_rules(self._unruled.pop())
            if time.perf_counter() > until and self._unruled:
                asyncio.get_running_loop().call_soon(self._rule_some)
                return

    def _give_rules(self, room: Room) -> None:
        """The room's order and offsets go on, also where it begins or ends to keep its messages."""
        rules = self.rulebook.find(room.name)
        if rules.keeps_history is not room.rules.keeps_history:
            room.is_stored = rules.keeps_history
        room.rules = rules
        rate = rules.messages_per_second
        room.rate = None if rate is None else self.rates.of(room.name, rate)

    def redis_lost(self) -> None:
        """The next lease knows of no claim but those of the members it is told of: who joins claims again."""
        for room in self.by_name.values():
            room.is_open = False
            if room.presence is not None:
                self.watches.doubt(room)

    def tick(self) -> None:
        """Called a few times a second: repair what did not come around, let go of rooms that lingered long enough."""
        now = time.monotonic()
        self.watches.tick()
        for room, since in list(self._expecting.items()):
            if not room.member_count or (room.is_caught_up and room.answer_passed()):
                del self._expecting[room]
            elif not room.is_caught_up and now - since >= EXPECTATION_SECONDS:
                self._expecting[room] = now
                self.needs_repair(room)
        for room, until in list(islice(self._lingering.items(), ROOMS_LET_GO)):
            if now < until:
                break
            del self._lingering[room]
            if room.is_subscribed:
                self._services.broker.unsubscribe(room.address)
                room.is_subscribed = False
            del self.by_name[room.name]

    # The rooms' Attendant

    def has_arrivals(self, room: Room) -> None:
        """Settle the room when the broker's turn ends."""
        self._services.has_arrivals(room)

    def needs_repair(self, room: Room) -> None:
        """Read what the room missed."""
        self._services.repair(room, room.rules.keeps_history)

    def expects(self, room: Room) -> None:
        """Watch that the expected offset comes around."""
        self._expecting.setdefault(room, time.monotonic())

    def plan_presence(self, room: Room) -> None:
        """Have the room's watchers told of its members soon."""
        self.watches.plan(room)

    def doubt_presence(self, room: Room) -> None:
        """Look at the room's members in Redis, soon."""
        self.watches.doubt(room)

    def concerned(self, room: Room, messages: Sequence[Envelope]) -> list[Membership]:
        """Live members who published one of the messages, or are excluded from one."""
        members: list[Membership] = []
        for message in messages:
            origin = message.origin
            for connection_id in (origin.connection, *origin.exclude):
                connection = self._connections.get(connection_id)
                member = None if connection is None else room.live.get(connection.subscriber)
                if member is not None and member not in members:
                    members.append(member)
        return members


def _forget_refusal(release: "asyncio.Future[None]") -> None:
    """With Redis away nothing is released; the next lease counts anew."""
    error = None if release.cancelled() else release.exception()
    if error is not None and not isinstance(error, Unavailable):
        raise error
