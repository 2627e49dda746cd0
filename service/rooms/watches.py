"""The watched rooms of one tenant on this node: when their watchers are told, and whether a change was missed."""

import asyncio
from collections import deque
from functools import partial
from itertools import islice

from service.brokers.broker import Broker
from service.brokers.members import Snapshot
from service.protocol.codec import encode_event
from service.protocol.errors import RoomcastError
from service.rooms.fanout import ALONE, Delivery, Item, Ready
from service.rooms.membership import Membership
from service.rooms.presence import RoomPresence
from service.rooms.room import Room
from service.rooms.turns import Fanout

# Changes are gathered for so long (PROTOCOL.md, "presence"): at most ten events a second and watcher.
GATHER_SECONDS = 0.1
# A watched room is looked at once in so many ticks of a quarter of a second, so that a lost last change is found. At
# most so many a tick: a look takes 5 us of Redis and 20 of the node.
TICKS_OF_A_ROUND = 20
LOOKS_PER_TICK = 100


class Watches:
    """Has each watched room's changes told, and looked at."""

    def __init__(self, broker: Broker, fanout: Fanout) -> None:
        self._broker = broker
        self._fanout = fanout
        self._rooms: dict[Room, None] = {}
        self._round: deque[Room] = deque()
        self._doubtful: dict[Room, None] = {}
        # Rooms of this tick's share, in 1/TICKS_OF_A_ROUND.
        self._share = 0

    def claim(self, room: Room) -> RoomPresence:
        """A connection is about to watch; given back by `release`."""
        if room.presence is None:
            room.presence = RoomPresence()
            self._rooms[room] = None
        room.presence.claims += 1
        return room.presence

    def release(self, room: Room) -> None:
        """A connection watches no more, or never did; after the last one the room is not told of changes."""
        presence = room.presence
        if presence is None:
            return
        presence.claims -= 1
        if presence.claims == 0:
            room.presence = None
            del self._rooms[room]
            self._doubtful.pop(room, None)
            self._broker.unwatch(room.address)

    def greet(self, member: Membership) -> None:
        """The member's `joined` is sent: what changed since may follow."""
        presence = member.room.presence
        if presence is not None and presence.greet(member):
            self.plan(member.room)

    def end(self, member: Membership) -> None:
        """A connection watches no more, if it did."""
        room = member.room
        if room.presence is not None and room.presence.remove(member):
            self.release(room)

    def plan(self, room: Room) -> None:
        """Have the room's watchers told within the time of gathering."""
        presence = room.presence
        if presence is not None and not presence.is_planned:
            presence.is_planned = True
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._tell, room, presence)

    def _tell(self, room: Room, presence: RoomPresence) -> None:
        presence.is_planned = False
        if room.presence is not presence:
            return
        if room.queue in self._fanout.full:
            self.plan(room)  # gather on: what comes and goes meanwhile is told net
            return
        for event, members in presence.flush(room.name):
            if room.rules.presence:
                ready = Ready(encode_event(event, False))
                subscribers = [member.connection.subscriber for member in members]
                room.hand_on(Delivery([Item(ready, None)], subscribers, [], ALONE))

    def doubt(self, room: Room) -> None:
        """Changes may have been missed: look at the room as soon as Redis can be asked."""
        if room.presence is not None:
            room.presence.doubt()
            self._doubtful[room] = None

    def tick(self) -> None:
        """Called four times a second: look at the rooms whose turn it is."""
        if not self._rooms or not self._broker.is_ready:
            return
        self._share += len(self._rooms)
        wanted, self._share = divmod(self._share, TICKS_OF_A_ROUND)
        looked_at = dict.fromkeys(islice(self._doubtful, LOOKS_PER_TICK))
        for room in looked_at:
            del self._doubtful[room]
        for _ in range(min(wanted, LOOKS_PER_TICK - len(looked_at))):
            if not self._round:
                self._round.extend(self._rooms)
            looked_at[self._round.popleft()] = None
        for room in looked_at:
            self._look(room)

    def _look(self, room: Room) -> None:
        if room.presence is not None:
            look = asyncio.ensure_future(self._broker.watch(room.address))
            look.add_done_callback(partial(self._looked, room, room.presence))

    def _looked(self, room: Room, presence: RoomPresence, look: "asyncio.Future[Snapshot]") -> None:
        error = None if look.cancelled() else look.exception()
        if error is not None:
            if not isinstance(error, RoomcastError):
                raise error
            self.doubt(room)
        elif not look.cancelled() and room.presence is presence and presence.look(look.result()):
            self.plan(room)
