"""One event to many: encoded and framed once per subprotocol, sent in slices so that no room holds the loop.

A `Delivery` is what one room has for its subscribers after one read of the broker's socket: usually one message, under
load many. Deliveries of one room keep their order; tenants take turns (deficit round robin, Shreedhar and Varghese
1996), so a tenant's 10,000-member room delays another tenant's message by one slice, not by the whole fan-out.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from service.brokers.broker import Envelope
from service.protocol.codec import frame, transcode
from service.protocol.events import Sender
from service.telemetry import counters

# Sends in one loop turn. One costs 5-6 us with its write (STACK.md), so a turn of fan-out stays below 2 ms.
SENDS_PER_TURN = 256
# What one more send would cost in time, in bytes: a turn hands on 1 MiB at the most.
BYTES_OF_A_SEND = 4096
# A delivery that waits takes more messages up to this size; beyond it a write gains nothing.
JOINED_BYTES = 32 * 1024
# Sends of one tenant before the next one's turn, while others wait.
SENDS_PER_TENANT = 64

_encode = msgspec.json.encode


class Subscriber(Protocol):
    """What rooms need of a socket. Implemented by `transports/live_socket.py`."""

    binary: bool

    def send(self, frame: bytes) -> None:
        """Take one or more ready frames; nothing once the socket is closing. Never blocks, never raises."""

    def send_payload(self, payload: bytes) -> None:
        """Take one payload and frame it."""

    def close(self, code: int, reason: str = "", *, closing: bytes = b"") -> None:
        """Send `closing` (a ready frame), then the close frame."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the peer has not taken yet."""

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call once when little waits any more, at the earliest in the next loop turn."""


class OutgoingMessage(NamedTuple):
    """What a client or a tenant's server sends: `data` is checked JSON; `sender` None is the tenant's server."""

    data: bytes
    name: str | None = None
    sender: Sender | None = None

    def body(self) -> bytes:
        """The inside of a JSON object, as it travels between the nodes and is kept."""
        sender = b'"from":' + _encode(self.sender)
        if self.name is None:
            return b'"data":%b,%b' % (self.data, sender)
        return b'"name":%b,"data":%b,%b' % (_encode(self.name), self.data, sender)


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


class Item(NamedTuple):
    """One event of a delivery; `envelope` is None for what is no message (`gap`)."""

    ready: Ready
    envelope: Envelope | None


class Delivery:
    """What one room has for its subscribers; `subscribers` get all of it, each of `takers` what applies.

    shape: the room's at the time (see `Room`): while it is the same and nothing was sent, more may be added.
    """

    __slots__ = ("_size_bytes", "items", "next", "shape", "skipped", "subscribers", "takers")

    def __init__(self, items: list[Item], subscribers: list[Subscriber], takers: list[Taker], shape: int) -> None:
        self.items = items
        self.subscribers = subscribers
        self.takers = takers
        self.shape = shape
        self.skipped: set[Subscriber] | None = None
        self.next = 0
        self._size_bytes = sum(len(item.ready.text) for item in items)

    def add(self, items: list[Item], takers: list[Taker], shape: int) -> bool:
        """Add items for the same subscribers, so that they leave in the same write; False if that can't be."""
        if self.shape != shape or self.next or self._size_bytes > JOINED_BYTES or self.takers != takers:
            return False
        self.items.extend(items)
        self._size_bytes += sum(len(item.ready.text) for item in items)
        return True

    def withdraw(self, subscriber: Subscriber, taker: Taker | None = None) -> None:
        """The subscriber gets no more of this; `taker`, if it still waits for its place, instead of it."""
        if self.skipped is None:
            self.skipped = set()
        self.skipped.add(subscriber)
        if taker is not None and subscriber in self.subscribers[self.next :]:
            self.takers.append(taker)

    def send_slice(self, budget: int) -> int:
        """Send to as many subscribers as the budget allows, at least one; returns what it cost, in sends."""
        if self.takers:
            takers, self.takers = self.takers, []
            for taker in takers:
                taker.take(self.items)
        cost = 1 + self._size_bytes // BYTES_OF_A_SEND
        first = self.next
        self.next = min(first + max(1, budget // cost), len(self.subscribers))
        text = self._joined(False)
        binary: bytes | None = None
        skipped = self.skipped
        for index in range(first, self.next):
            subscriber = self.subscribers[index]
            if skipped is not None and subscriber in skipped:
                continue
            if subscriber.binary:
                binary = binary or self._joined(True)
                subscriber.send(binary)
            else:
                subscriber.send(text)
        sent = self.next - first
        counters.messages_fanned_out += sent * len(self.items)
        return max(1, sent * cost)

    @property
    def is_sent(self) -> bool:
        """Whether everybody has it."""
        return self.next >= len(self.subscribers) and not self.takers

    def _joined(self, binary: bool) -> bytes:
        if len(self.items) == 1:
            return self.items[0].ready.for_subscriber(binary)
        return b"".join([item.ready.for_subscriber(binary) for item in self.items])


class DeliveryQueue:
    """One tenant's deliveries, in order."""

    __slots__ = ("deliveries", "is_waiting")

    def __init__(self) -> None:
        self.deliveries: deque[tuple[Delivery, Callable[[Delivery], None]]] = deque()
        self.is_waiting = False


class Fanout:
    """The node's fan-out: takes slices from the tenants' queues in turn."""

    __slots__ = ("_is_scheduled", "_loop", "_turns")

    def __init__(self) -> None:
        self._turns: deque[DeliveryQueue] = deque()
        self._is_scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, queue: DeliveryQueue, delivery: Delivery, sent: Callable[[Delivery], None]) -> None:
        """Queue a delivery behind its tenant's others; `sent` is called when everybody has it."""
        queue.deliveries.append((delivery, sent))
        if not queue.is_waiting:
            queue.is_waiting = True
            self._turns.append(queue)
        self._schedule()

    def run(self) -> None:
        """Send one turn's worth, and come back in the next turn while something is left."""
        left = SENDS_PER_TURN
        while self._turns and left > 0:
            queue = self._turns[0]
            most = left if len(self._turns) == 1 else min(left, SENDS_PER_TENANT)
            left -= self._serve(queue, most)
            if queue.deliveries:
                self._turns.rotate(-1)
            else:
                queue.is_waiting = False
                self._turns.remove(queue)
        if self._turns:
            self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._run_again)

    def _run_again(self) -> None:
        self._is_scheduled = False
        self.run()

    @staticmethod
    def _serve(queue: DeliveryQueue, most: int) -> int:
        """Up to `most` sends of one tenant; a delivery without local subscribers counts as one."""
        served = 0
        while queue.deliveries and served < most:
            delivery, sent = queue.deliveries[0]
            served += delivery.send_slice(most - served)
            if delivery.is_sent:
                queue.deliveries.popleft()
                sent(delivery)
        return served
