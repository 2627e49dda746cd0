"""What a room needs of its surroundings: its tenant's rooms on this node, or a test's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from service.brokers.broker import Envelope
from service.rooms.turns import DeliveryQueue, Fanout

if TYPE_CHECKING:
    from service.rooms.membership import Membership
    from service.rooms.room import Room


class Attendant(Protocol):
    """What a room needs of its surroundings (`LocalRooms`)."""

    fanout: Fanout
    deliveries: DeliveryQueue

    def has_arrivals(self, room: "Room") -> None:
        """Call `room.settle()` when the broker's turn ends."""

    def needs_repair(self, room: "Room") -> None:
        """Read what the room missed, and call `room.take_history`."""

    def expects(self, room: "Room") -> None:
        """If `room.expected_offset` is not reached within 1.5 s, repair the room."""

    def plan_presence(self, room: "Room") -> None:
        """Have the room's watchers told of its members within 0.1 s."""

    def doubt_presence(self, room: "Room") -> None:
        """Look at the room's members in Redis, and have its watchers told if changes were missed."""

    def concerned(self, room: "Room", messages: Sequence[Envelope]) -> "list[Membership]":
        """Live members who published one of the messages, or are excluded from one."""
