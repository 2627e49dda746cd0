"""One room on this node: who is here, what came last, and in which order everything is handed on.

The law of a room: offsets of one epoch are taken as +1, +1, +1. What was seen is dropped, a jump is repaired from
history before anything later is taken, and what cannot be repaired is told as a `gap`. Only `repair.py` awaits.
"""

import asyncio
from collections.abc import Sequence

from service.brokers.broker import Envelope, History, Origin, RoomAddress, RoomHead
from service.brokers.members import PresenceChange
from service.protocol.events import GapReason
from service.protocol.identifiers import Position
from service.rooms.attendant import Attendant
from service.rooms.fanout import NO_SHAPE, Delivery, Item, Loss, Ready, Subscriber, Taker
from service.rooms.history import gap_payload, loss_reason
from service.rooms.membership import Membership
from service.rooms.presence import RoomPresence
from service.rooms.room_rates import RoomRate
from service.rooms.rules import RoomRules
from service.rooms.slow_consumers import message_items, signal_ready
from service.telemetry import counters

# More messages than this don't wait for a repair: it reads them. A Redis that only tells is no reason to pile them up.
MAX_ARRIVED, MAX_HELD = 1_000, 10_000  # the second: while its tenant's deliveries have no room


class Room:
    """One room on this node. It is the broker's `RoomReceiver`.

    epoch, offset: the last message that was taken here; epoch is None until the first join's head is known.
    arrived: what the broker told and nobody has taken yet. is_repairing: a history read is under way, `arrived` waits.
    claims: joined and joining connections of this node; without any the room lingers, then goes.
    members_everywhere: connections in the room on all nodes, as Redis last said.
    expected_epoch, expected_offset: Redis has told a node's client of this place, so it must come around (0: of none).
    rules: what holds now. is_stored: whether the last message was kept; nodes learn of other rules one after another.
    """

    __slots__ = (
        "_attendant", "_has_missed", "_shape", "address", "arrived", "aside", "claims", "deliveries", "ended_epochs",
        "epoch", "expected_epoch", "expected_offset", "is_claimed", "is_open", "is_repairing", "is_stored",
        "is_subscribed", "live", "members_everywhere", "name", "offset", "opening", "prefix", "presence", "queue",
        "rate", "rules",
    )  # fmt: skip

    def __init__(self, name: str, address: RoomAddress, attendant: Attendant, rules: RoomRules) -> None:
        self.name, self.address, self.rules = name, address, rules
        self.prefix = b'{"type":"message","room":"%b",' % name.encode()
        self._attendant, self.queue = attendant, attendant.deliveries
        self.rate: RoomRate | None = None  # none: the rules set none
        self.presence: RoomPresence | None = None  # while somebody here watches
        # Who is here: `live` ones simply get every delivery (`_shape` counts their changes), `aside` ones what applies.
        self.live: dict[Subscriber, Membership] = {}
        self.aside: dict[Membership, None] | None = None
        self.claims = self.members_everywhere = self.offset = self._shape = 0
        self.is_claimed = self.is_open = self.is_subscribed = self.is_repairing = self._has_missed = False
        self.opening: asyncio.Future[None] | None = None
        self.epoch: str | None = None
        self.ended_epochs: tuple[str, ...] = ()
        self.arrived: list[Envelope] = []
        self.deliveries: list[Delivery] = []
        self.expected_epoch, self.expected_offset, self.is_stored = "", 0, rules.keeps_history

    # What the broker tells (RoomReceiver)

    def receive_message(self, envelope: Envelope) -> None:
        """A message came around: it is taken when the broker's turn ends."""
        if self.epoch is None and not self.claims:
            return
        if not self.arrived:
            self._attendant.has_arrivals(self)
        elif len(self.arrived) >= (MAX_ARRIVED if self.is_repairing else MAX_HELD):
            self.arrived.clear()
            self._attendant.needs_repair(self)
        self.arrived.append(envelope)

    def receive_signal(self, origin: Origin, body: bytes) -> None:
        """A signal came around: everybody here gets it, its sender only with `echo`."""
        ready = signal_ready(b'{"type":"signal","room":"%b",%b}' % (self.name.encode(), body), self.rules.slow_consumer)
        hearers = [ear for ear, member in self.live.items() if origin.echo or member.connection.id != origin.connection]
        if self.rate is not None:
            self.rate.hear(1)
        self.hand_on(Delivery([Item(ready, None)], hearers, [], NO_SHAPE))

    def receive_presence(self, change: PresenceChange) -> None:
        """Members came, changed or went: watchers are told soon."""
        if self.presence is not None and self.presence.take(change):
            self._attendant.plan_presence(self)

    def receive_epoch(self, head: Position) -> None:
        """The epoch ended: where the new one stands is where live goes on."""
        if self.epoch is None:
            self.lose_place()
        elif head.epoch not in self.ended_epochs:
            self.settle()
            self.begin_epoch(head)
            self._attendant.needs_repair(self)  # late news of an epoch that is over too ends with the present one

    def receive_interruption(self) -> None:
        """Messages and changes may have been missed: read them."""
        self._attendant.doubt_presence(self)
        if self.epoch is None:
            self.lose_place()
        else:
            self._attendant.needs_repair(self)

    def receive_head(self, head: Position) -> None:
        """All that was announced up to here was handed over: what is missing won't come, so read it."""
        if self.epoch is not None and head.epoch not in self.ended_epochs:
            last = self.arrived[-1] if self.arrived else self
            if last.epoch != head.epoch or last.offset < head.offset:
                self._attendant.needs_repair(self)

    def lose_place(self) -> None:
        """Where the room stands is not known: the next join's head says so, and what lies behind that is read."""
        self.epoch, self._has_missed = None, True
        self.arrived.clear()

    # Order

    def settle(self) -> None:
        """Take what arrived as far as the order goes; at a jump, ask for a repair and keep the rest."""
        if self.epoch is None or self.is_repairing or not self.arrived:
            return
        arrived, self.arrived = self.arrived, []
        taken: list[Envelope] = []
        for index, envelope in enumerate(arrived):
            if envelope.epoch != self.epoch:
                if envelope.epoch in self.ended_epochs:
                    continue
                self._announce(taken)
                taken = []
                self.begin_epoch(Position(envelope.epoch, envelope.offset - 1))
                self._attendant.needs_repair(self)
            if envelope.offset > self.offset + 1:
                self.arrived = arrived[index:]
                self._attendant.needs_repair(self)
                break
            if envelope.offset == self.offset + 1:
                self.offset += 1
                taken.append(envelope)
        self._announce(taken)

    def begin_epoch(self, head: Position) -> None:
        """Go on in another epoch, from `head`; everybody here is told."""
        if head.epoch == self.epoch:
            return
        if self.epoch is not None:
            head = Position(head.epoch, 0) if self.is_stored else head  # what it has is read, as after any jump
            self.skip_to(head, "epoch")
            # Late messages of an epoch that ended must not bring it back; two are more than can be under way.
            self.ended_epochs = (self.epoch, *(epoch for epoch in self.ended_epochs[:1] if epoch != head.epoch))
            for member in self.members:
                member.begin_epoch(self.epoch, head.offset)
        self.epoch, self.offset = head.epoch, head.offset
        if self.is_caught_up or self.expected_epoch in self.ended_epochs:
            self.expected_offset = 0

    def skip_to(self, head: Position, reason: GapReason) -> None:
        """Messages up to `head` cannot be had: tell everybody here, and go on behind it."""
        counters.gaps += 1
        lost = (Position(self.epoch, self.offset), head) if self.is_stored and self.epoch is not None else None
        self.offset = head.offset
        gap = Ready(gap_payload(self.name, lost, reason))
        # Who joined ahead of this node, or recovered, may have all that it tells of, if it is of the same epoch.
        item = Item(gap, None) if head.epoch != self.epoch else Loss(gap, None, head)
        self._deliver([item], list(self.aside or ()))
        self.deliveries[-1].passed = head

    def take_history(self, history: History, keeps_history: bool) -> None:
        """What a repair read, all of it behind `offset`; afterwards the order goes on from its last message."""
        self.is_stored = keeps_history
        if self.expected_epoch != history.head.epoch:
            self.expected_offset = 0  # Redis told of that place before it told of this head: its epoch is over
        if history.head.epoch != self.epoch:
            self.begin_epoch(history.head)
            return
        messages = [message for message in history.messages if message.offset > self.offset]
        first = messages[0].offset if messages else history.head.offset + 1
        if first > self.offset + 1:
            self.skip_to(Position(self.epoch, first - 1), loss_reason(history, self.offset, self.is_stored))
        if messages:
            self.offset = messages[-1].offset
            self._announce(messages)

    def expect(self, position: Position) -> None:
        """Redis has told of this place, so it must come around soon, or is read."""
        known = self.expected_offset if self.expected_epoch == position.epoch else 0
        self.expected_epoch, self.expected_offset = position.epoch, max(known, position.offset)
        self._attendant.expects(self)

    @property
    def is_caught_up(self) -> bool:
        """Whether all that was expected is here."""
        return not self.expected_offset or (self.expected_epoch == self.epoch and self.expected_offset <= self.offset)

    def answer_passed(self) -> bool:
        """Answer publishes whose message was passed over (in a gap) before Redis told of it; False: ask again later."""
        if self.deliveries or self.is_repairing or self.epoch is None:
            return False
        for member in self.live.values():
            member.pass_answers(Position(self.epoch, self.offset), self.ended_epochs, is_last=True)
        return self.aside is None

    def enter(self, member: Membership, head: RoomHead) -> int:
        """A connection joined at `head`; returns the offset at which it stands. It gets nothing before `promote`."""
        if self.epoch is None:
            self.epoch, self.offset = head.position.epoch, head.position.offset
            if self._has_missed:
                self._has_missed = False
                self._attendant.needs_repair(self)
        elif head.position.epoch != self.epoch and head.position.epoch not in self.ended_epochs:
            self.begin_epoch(head.position)
            self._attendant.needs_repair(self)
        # Messages up to the head may still be under way to this node, or be here before the answer to the join.
        is_stale = head.position.epoch != self.epoch
        member.joined_offset = member.offset = self.offset if is_stale else max(head.position.offset, self.offset)
        self.stand_aside(member)
        if member.offset > self.offset:
            self.expect(head.position)
        return member.offset

    def promote(self, member: Membership) -> None:
        """A member that has everything up to here gets every delivery from now on."""
        if self.aside is None or member not in self.aside or member.is_recovering or member.held is not None:
            return
        if member.offset <= self.offset:
            del self.aside[member]
            self.aside = self.aside or None
            self.live[member.connection.subscriber] = member
            self._shape += 1

    def stand_aside(self, member: Membership) -> None:
        """A member takes deliveries by itself from now on, those included that are still being sent."""
        subscriber = member.connection.subscriber
        if self.live.pop(subscriber, None) is not None:
            self._shape += 1
            for delivery in self.deliveries:
                member.take(delivery.withdraw(subscriber))
        self.aside = self.aside or {}
        self.aside[member] = None

    def remove(self, member: Membership) -> None:
        """A connection is out of the room: from this moment it gets nothing of it."""
        subscriber = member.connection.subscriber
        if self.live.get(subscriber) is member:
            del self.live[subscriber]
            self._shape += 1
        if self.aside is not None:
            self.aside.pop(member, None)
            self.aside = self.aside or None
        for delivery in self.deliveries:
            delivery.withdraw(subscriber)
        member.end()

    @property
    def members(self) -> list[Membership]:
        """Connections of this node in the room, as memberships."""
        return [*self.live.values(), *(self.aside or ())]

    @property
    def member_count(self) -> int:
        """Connections of this node in the room."""
        return len(self.live) + (len(self.aside) if self.aside else 0)

    def _announce(self, messages: Sequence[Envelope]) -> None:
        """Hand messages on, in order; publishers and excluded connections take theirs by themselves."""
        if not messages:
            return
        self.is_stored = messages[-1].stored
        if self.is_caught_up:
            self.expected_offset = 0
        if self.rate is not None:
            self.rate.hear(len(messages))
        items = message_items(self.name, self.prefix, messages, self.rules.slow_consumer)
        concerned = self._attendant.concerned(self, messages)
        self._deliver(items, [*(self.aside or ()), *concerned], concerned)
        for member in list(self.aside or ()):
            self.promote(member)

    def _deliver(self, items: list[Item], takers: list[Taker], concerned: Sequence[Membership] = ()) -> None:
        """Queue items for who is live, but those `concerned`; `takers` take what applies by themselves."""
        if self.deliveries and self.deliveries[-1].add(items, takers, self._shape):
            return
        subscribers = list(self.live)
        for member in concerned:
            subscribers.remove(member.connection.subscriber)
        self.hand_on(Delivery(items, subscribers, takers, self._shape))

    def hand_on(self, delivery: Delivery) -> None:
        """Queue a delivery behind the room's others."""
        self.deliveries.append(delivery)
        self._attendant.fanout.add(self.queue, delivery, self._handed_on)

    def _handed_on(self, delivery: Delivery) -> None:
        self.deliveries.remove(delivery)
        if delivery.passed is not None:
            for member in self.members:
                member.pass_answers(delivery.passed, self.ended_epochs)
