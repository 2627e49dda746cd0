"""What a room needs around it, plain: no loop, no clock, no Redis. Subscribers remember what they were sent."""

import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from service.brokers.broker import ConnectionEntry, Envelope, Origin, RoomAddress, RoomHead
from service.protocol.identifiers import Position
from service.rooms.connection import Connection
from service.rooms.fanout import Delivery
from service.rooms.membership import Membership
from service.rooms.room import Room
from service.rooms.rules import RoomRules, make_rules
from service.rooms.turns import DeliveryQueue, Fanout
from service.rooms.usage import Usage, UsageBook
from service.tenants.limits import Limits
from service.tenants.room_types import RoomType

EPOCH = "e1"


class Ear:
    """A subscriber that keeps its events."""

    def __init__(self, binary: bool = False) -> None:
        self.binary = binary
        self.frames: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.drained: Callable[[], None] | None = None
        self.usage = Usage()

    def send(self, frame: bytes) -> bool:
        if self.closed is None:
            self.frames.append(frame)
        return self.closed is None

    def send_payload(self, payload: bytes) -> bool:
        return self.send(bytes((0x81, len(payload))) + payload)

    def close(self, code: int, reason: str = "", *, closing: bytes = b"") -> None:
        self.closed = (code, reason)

    @property
    def waiting_bytes(self) -> int:
        return 0

    def when_drained(self, callback: Callable[[], None]) -> None:
        self.drained = callback

    @property
    def events(self) -> list[Any]:
        """What was sent, decoded; joined frames are taken apart."""
        found = []
        stream = b"".join(self.frames)
        while stream:
            size, head = (stream[1], 2) if stream[1] < 126 else (int.from_bytes(stream[2:4], "big"), 4)
            found.append(json.loads(stream[head : head + size]))
            stream = stream[head + size :]
        return found

    @property
    def offsets(self) -> list[int]:
        """The offsets of the messages, in order."""
        return [event["offset"] for event in self.events if event["type"] == "message"]


class QueuedFanout(Fanout):
    """The node's fan-out without a loop: what does not go in one turn goes at the next `run`."""

    def _schedule(self) -> None:
        pass

    def run(self) -> None:
        self._run_turn()


class Surroundings:
    """An `Attendant`: repairs and expectations are only noted."""

    def __init__(self) -> None:
        self.fanout: Fanout = QueuedFanout()
        self.deliveries = DeliveryQueue(Usage())
        self.connections: dict[str, Connection] = {}
        self.repairs: list[Room] = []
        self.expecting: list[Room] = []
        self.planned: list[Room] = []
        self.doubted: list[Room] = []
        self.room = Room("chat", RoomAddress("t1", "chat", 0, None), self, rules())

    def has_arrivals(self, room: Room) -> None:
        pass

    def needs_repair(self, room: Room) -> None:
        self.repairs.append(room)

    def expects(self, room: Room) -> None:
        self.expecting.append(room)

    def plan_presence(self, room: Room) -> None:
        self.planned.append(room)

    def doubt_presence(self, room: Room) -> None:
        self.doubted.append(room)

    def concerned(self, room: Room, messages: Sequence[Envelope]) -> list[Membership]:
        members = []
        for message in messages:
            for name in (message.origin.connection, *message.origin.exclude):
                connection = self.connections.get(name)
                member = room.live.get(connection.subscriber) if connection else None
                if member is not None and member not in members:
                    members.append(member)
        return members

    def join(self, name: str, head: int = 0, epoch: str = EPOCH, *, binary: bool = False) -> "Ear":
        """A connection that joined at `head` and is live as soon as it may be."""
        ear = Ear(binary)
        connection = Connection(ear, ConnectionEntry(name, name, "n", 0, ""), max_held_bytes=100_000)
        self.connections[name] = connection
        member = connection.rooms["chat"] = Membership(connection, self.room)
        self.room.claims += 1
        self.room.enter(member, RoomHead(Position(epoch, head), 1, 1))
        self.room.promote(member)
        return ear

    def member(self, name: str) -> Membership:
        return self.connections[name].rooms["chat"]

    def arrive(self, *envelopes: Envelope) -> None:
        """The broker's socket brings these in one read."""
        for envelope in envelopes:
            self.room.receive_message(envelope)
        self.room.settle()
        self.fanout.run()


def rules(limits: Limits | None = None, **room_type: Any) -> RoomRules:
    """The rules of a room of such a type."""
    return make_rules("chat", RoomType(**room_type), limits or Limits())


NOBODY = Origin()


def message(
    offset: int, epoch: str = EPOCH, origin: Origin = NOBODY, *, stored: bool = True, text: str = "x"
) -> Envelope:
    """One message as it travels."""
    return Envelope(epoch, offset, stored, 1_000 + offset, origin, b'"data":"%b","from":null' % text.encode())


def no_delivery_left(room: Room) -> bool:
    """Whether everything was handed on."""
    left: list[Delivery] = room.deliveries
    return not left


def tick(book: UsageBook, second: int, connections: Sequence[tuple[str, int]]) -> None:
    """One second of a book, in one go."""
    deque(book.tick(second, connections), maxlen=0)
