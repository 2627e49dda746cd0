"""One event to many: encoded and framed once per subprotocol, sent in slices so that no room holds the loop.

A `Delivery` is what one room has for its subscribers after one read of the broker's socket: usually one message, under
load many. Deliveries of one room keep their order; tenants take turns (`turns.py`).
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from service.brokers.broker import Envelope
from service.protocol.codec import event_frame, frame, transcode
from service.protocol.errors import CloseCode
from service.protocol.events import Closing
from service.protocol.identifiers import Position
from service.rooms.spare_frames import join_frames
from service.rooms.usage import Usage
from service.telemetry import counters

# What one more send would cost in time, in bytes: a turn hands on 1 MiB at the most.
BYTES_OF_A_SEND = 4096
# A delivery takes no more items than this: then the tenant's other rooms have their turn.
ITEMS_OF_A_DELIVERY = 64
# The shape of a delivery to which nothing is added: a signal's.
NO_SHAPE = -1
# The same of one that is never dropped.
ALONE = -2

_encode = msgspec.json.encode


class Subscriber(Protocol):
    """What rooms need of a socket. Implemented by `transports/live_socket.py`."""

    binary: bool
    usage: Usage  # where what leaves is counted; set by whoever opens the connection

    def send(self, frame: bytes) -> bool:
        """Take one or more ready frames; False once the socket is closing: none. Never blocks, never raises."""

    def send_payload(self, payload: bytes) -> bool:
        """Take one payload and frame it; False once the socket is closing."""

    def close(self, code: int, reason: str = "", *, closing: bytes = b"") -> None:
        """Send `closing` (a ready frame), then the close frame."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the peer has not taken yet."""

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call once when little waits any more, at the earliest in the next loop turn."""


def message_payload(prefix: bytes, envelope: Envelope) -> bytes:
    """The `message` event of a kept or passing message; `prefix` is the room's, `{"type":"message","room":"r",`."""
    if envelope.stored:
        return b'%b%b,"offset":%d,"time_ms":%d}' % (prefix, envelope.body, envelope.offset, envelope.time_ms)
    return b'%b%b,"time_ms":%d}' % (prefix, envelope.body, envelope.time_ms)


class Ready:
    """One event with its ready frames: the JSON one now, the MessagePack one when the first subscriber needs it."""

    __slots__ = ("binary", "payload", "text")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.text = frame(payload, False)
        self.binary: bytes | None = None

    def for_subscriber(self, binary: bool) -> bytes:
        """The frame in the subscriber's subprotocol."""
        if not binary:
            return self.text
        if self.binary is None:
            self.binary = frame(transcode(self.payload), True)
        return self.binary


class Taker(Protocol):
    """Who does not simply get everything: the publisher itself, one that is catching up, an excluded one."""

    def take(self, items: Sequence["Item"]) -> None:
        """Take what applies of a delivery, in order."""

    def give_up(self) -> None:
        """A delivery could not be handed on: close."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """One event of a delivery; `envelope` is None for what is no message (`gap`)."""

    ready: Ready
    envelope: Envelope | None


class Loss(Item, frozen=True, gc=False):
    """A `gap` within an epoch, up to `end`: nothing for one who went past that before it is handed on."""

    end: Position


class Segment(NamedTuple):
    """Subscribers from `first` up to `last` have not got the items from `item` on."""

    first: int
    last: int
    item: int


class Delivery:
    """What one room has for its subscribers; they get all of it, each of `takers` what applies.

    Items may be added while it is being sent: whoever is still to come gets them in the same write, and whoever was
    served has its turn again. So under load each write carries all that there is (measured with 1,000 sockets and 16
    messages in flight: 8 messages a write, a quarter less CPU a delivery than with whole rounds).

    shape: the room's at the time (see `Room`): only while it is the same may items be added.
    passed: the end of a gap in it, whose answers follow when everybody has it.
    """

    __slots__ = ("_served", "_skipped", "_taken", "_waiting", "items", "passed", "shape", "subscribers", "takers")

    def __init__(self, items: list[Item], subscribers: list[Subscriber], takers: list[Taker], shape: int) -> None:
        self.items = items
        self.subscribers = subscribers
        self.takers = takers
        self.shape = shape
        self.passed: Position | None = None
        self._waiting = deque([Segment(0, len(subscribers), 0)] if subscribers else ())
        # Parts that have all items, and how many items the takers have.
        self._served: list[Segment] = []
        self._taken = 0
        self._skipped: set[Subscriber] | None = None

    def add(self, items: list[Item], takers: list[Taker], shape: int) -> bool:
        """Add items for the same subscribers and takers; False if that can't be."""
        if (
            self.passed is not None
            or self.shape != shape
            or len(self.items) > ITEMS_OF_A_DELIVERY
            or self.takers != takers
        ):
            return False
        for part in self._served:
            self._waiting.append(Segment(part.first, part.last, len(self.items)))
        self._served.clear()
        self.items.extend(items)
        return True

    def withdraw(self, subscriber: Subscriber) -> Sequence[Item]:
        """The subscriber gets no more of this; returns what it has not got."""
        for part in self._waiting:
            if subscriber in self.subscribers[part.first : part.last]:
                self._skipped = self._skipped or set()
                self._skipped.add(subscriber)
                return self.items[part.item :]
        return ()

    def give_up(self) -> None:
        """It can't be handed on: everybody in it is closed, and comes back for it. So no loss is silent."""
        self._waiting.clear()
        self._taken = len(self.items)
        closing = Closing(code=CloseCode.INTERNAL, reason="internal error", reconnect=True, after_ms=0)
        for subscriber in self.subscribers:
            subscriber.close(closing.code, closing.reason, closing=event_frame(closing, subscriber.binary))
        for taker in self.takers:
            taker.give_up()

    def send_slice(self, budget: int, usage: Usage) -> int:
        """Send to as many subscribers as the budget allows, at least one; returns what it cost, in sends."""
        if self._taken < len(self.items):
            untaken, self._taken = self.items[self._taken :], len(self.items)
            for taker in self.takers:
                taker.take(untaken)
        spent = 0
        while self._waiting and spent < budget:
            first, last, item = self._waiting.popleft()
            text = self._joined(item, False)
            cost = 1 + len(text) // BYTES_OF_A_SEND
            end = min(last, first + max(1, (budget - spent) // cost))
            handed = self._send(first, end, item, text) * (len(self.items) - item)
            counters.messages_fanned_out += handed
            usage.deliveries += handed
            self._served.append(Segment(first, end, item))
            spent += (end - first) * cost
            if end < last:
                self._waiting.appendleft(Segment(end, last, item))
        return max(1, spent)

    @property
    def is_sent(self) -> bool:
        """Whether everybody has it."""
        return not self._waiting and self._taken == len(self.items)

    def _send(self, first: int, end: int, item: int, text: bytes) -> int:
        """How many took it."""
        binary: bytes | None = None
        skipped = self._skipped
        taken = end - first
        for subscriber in self.subscribers[first:end]:
            if subscriber.binary:
                binary = ready = binary or self._joined(item, True)
            else:
                ready = text
            if (skipped is not None and subscriber in skipped) or not subscriber.send(ready):
                taken -= 1
        return taken

    def _joined(self, item: int, binary: bool) -> bytes:
        if len(self.items) == item + 1:
            return self.items[item].ready.for_subscriber(binary)
        return join_frames([item.ready.for_subscriber(binary) for item in self.items[item:]])
