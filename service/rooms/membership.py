"""One connection in one room: what it has got, and what it may get next.

Most members simply get every delivery (`Room.live`). A member stands aside (`Room.aside`) while it catches up from
history, while a join's head lies ahead of this node, and while its own message waits for an earlier answer.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.brokers.broker import Envelope
from service.protocol.errors import CloseCode
from service.protocol.identifiers import Position
from service.rooms.answers import Lane
from service.rooms.fanout import Item, Loss
from service.telemetry import counters

if TYPE_CHECKING:
    from service.rooms.connection import Connection
    from service.rooms.room import Room


class Membership:
    """One connection in one room.

    joined_offset: the head at the join; messages up to it are old ones, the connection's own included.
    offset: the last message it has, or passed over; counts only while it stands aside or takes its own messages.
    before: the same of the epoch before, whose last deliveries may still be under way when the room is in the next.
    is_recovering: it is fed from history, and takes nothing of the deliveries.
    is_leaving: Redis is told that it leaves, so that no new lease enters it again.
    held: what it may not get before an earlier answer, or None.
    state: what it shows in the room, JSON; empty if nothing.
    """

    __slots__ = (
        "before", "connection", "feed", "held", "is_leaving", "is_recovering", "joined_offset", "offset", "room",
        "state",
    )  # fmt: skip

    def __init__(self, connection: "Connection", room: "Room") -> None:
        self.connection = connection
        self.room = room
        self.joined_offset = 0
        self.offset = 0
        self.before: Position | None = None
        self.is_recovering = self.is_leaving = False
        self.state = b""
        self.held: list[Item] | None = None
        # The task that feeds it from history (`recovery.feed`), while it does.
        self.feed: asyncio.Task[None] | None = None

    @property
    def is_current(self) -> bool:
        """Whether the connection is still in the room by this join, and not by a later one."""
        return self.connection.rooms.get(self.room.name) is self

    def take(self, items: Sequence[Item]) -> None:
        """Take what applies of a delivery, in order; own messages take their answers' places."""
        if self.is_recovering or not self.is_current:
            return
        if self.held is not None:
            self._hold(items)
            return
        for index, item in enumerate(items):
            envelope = item.envelope
            if envelope is None:
                if not (isinstance(item, Loss) and self._is_behind(item.end)):
                    self._send(item)
            elif not self._is_behind(envelope) and not self._take_message(item, envelope):
                self._hold(items[index:])
                return

    def begin_epoch(self, ended: str, offset: int) -> None:
        """The room goes on in another epoch, behind `offset`."""
        self.before = Position(ended, self.offset)
        self.joined_offset = self.offset = offset

    def give_up(self) -> None:
        """Something that it was to get could not be handed on: the client comes back, and recovers it."""
        self.connection.close(CloseCode.INTERNAL, "internal error")

    def awaits(self, position: Position) -> bool:
        """Whether one's own message at this place is still to come, or has just come: live, or fed from history."""
        if self.is_recovering:
            return True
        if position.epoch == self.room.epoch:
            return position.offset > self.joined_offset
        return position.epoch not in self.room.ended_epochs

    def resume(self) -> None:
        """The lane has caught up: take what was held back (`answers.Held`)."""
        items, self.held = self.held, None
        if items is not None and self.is_current:
            self.take(items)
            if self.held is None:
                self.room.promote(self)

    def end(self) -> None:
        """It is out of the room: nothing is fed or held any more, and the answers behind it go on."""
        self.stop_feeding()
        self.drop_held()
        if (lane := self.connection.lane_of(self.room.name)) is not None:
            lane.pass_offset(None)

    def pass_answers(self, head: Position, ended_epochs: Sequence[str], *, is_last: bool = False) -> None:
        """Nothing up to `head` will come around any more (see `Lane.pass_offset`), but for what is held here, or read:
        an answer ahead of that would have the client's position pass messages that it does not have.
        """
        if self.held is not None or self.is_recovering:
            return
        if (lane := self.connection.lane_of(self.room.name)) is not None:
            lane.pass_offset(head.epoch, head.offset, ended_epochs, is_last=is_last)

    def stop_feeding(self) -> None:
        """End a recovery that is under way. Letting its task go, too, is what frees its page at once: the cancelled
        task holds this membership by its traceback, and 50,000 joins may pass before the collector finds such a ring.
        """
        if self.feed is not None:
            self.feed.cancel()
            self.feed = None

    def drop_held(self) -> None:
        """Forget what is held: it is read again from history."""
        self.held = None
        lane = self.connection.lane_of(self.room.name)
        if lane is not None and lane.held is self:
            lane.held = None

    def _is_behind(self, place: Envelope | Position) -> bool:
        """Whether it has this message, or has passed it over."""
        if place.epoch == self.room.epoch:
            return place.offset <= self.offset
        before = self.before
        return before is not None and place.epoch == before.epoch and place.offset <= before.offset

    def _take_message(self, item: Item, envelope: Envelope) -> bool:
        """Take one message; False if it must wait for an earlier answer."""
        origin = envelope.origin
        # One of an epoch that ended meanwhile is live too, and its offset is nobody's place any more.
        is_current = envelope.epoch == self.room.epoch
        if origin.connection != self.connection.id or (is_current and envelope.offset <= self.joined_offset):
            if self.connection.id not in origin.exclude:
                self._send(item)
            self.offset = envelope.offset if is_current else self.offset
            return True
        lane = self.connection.lane_of(self.room.name)
        if lane is None or origin.reference == 0:
            # Nobody waits: sent without id, or answered `unavailable` with an unknown outcome, which ends here.
            if origin.echo or origin.reference:
                self._send(item)
        elif not self._place(lane, item, envelope):
            return False
        self.offset = envelope.offset if is_current else self.offset
        return True

    def _place(self, lane: Lane, item: Item, envelope: Envelope) -> bool:
        origin = envelope.origin
        if not lane.is_next(origin.reference):
            lane.pass_before(origin.reference, envelope.epoch, envelope.offset)
        if lane.is_next(origin.reference):
            if origin.echo:
                self._send(item)
            lane.place(f"{envelope.epoch}:{envelope.offset}" if envelope.stored else None)
        elif lane.awaits(origin.reference):
            lane.held = self
            return False
        else:
            self._send(item)
        return True

    def _send(self, item: Item) -> None:
        subscriber = self.connection.subscriber
        if subscriber.send(item.ready.for_subscriber(subscriber.binary)):
            counters.messages_fanned_out += 1
            subscriber.usage.deliveries += 1

    def _hold(self, items: Sequence[Item]) -> None:
        """Keep what comes after the place of an answer that is not known yet; at most as much as an outbox takes."""
        if self.held is None:
            self.held = list(items)
            # What is still being sent to it is held, too: this comes back here.
            self.room.stand_aside(self)
        else:
            self.held.extend(items)
        held_bytes = sum(len(item.ready.text) for item in self.held)
        if held_bytes > self.connection.max_held_bytes:
            self.connection.close(CloseCode.SLOW_CONSUMER, "too much waits for an answer")
