"""The node's fan-out: deliveries of all tenants, in turn.

Deficit round robin (Shreedhar and Varghese 1996): a tenant's 10,000-member room delays another tenant's message by one
slice, not by the whole fan-out.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

import structlog

from service.rooms.fanout import NO_SHAPE, Delivery
from service.rooms.usage import DELAYS_A_SECOND, Usage
from service.telemetry import counters, new_incident

log = structlog.get_logger()

# Sends in one loop turn. One costs 5-6 us with its write (STACK.md), so a turn of fan-out stays below 2 ms.
SENDS_PER_TURN = 256
# The same while several tenants have something to send: a message passes four turns of the loop on its way, and each
# send's write takes 10 us of one, so that it is through within 6 ms beside a tenant whose fan-out never ends.
SHARED_SENDS_PER_TURN = 96
# For so many turns after two tenants took turns, about a second, they are expected to do so again.
SHARED_TURNS = 1_000
# Sends of one tenant before the next one's turn, while others wait.
SENDS_PER_TENANT = 64
# Deliveries of one tenant that wait; with more, its rooms leave what arrives where it is until half of them have gone.
# One of a room with 10,000 connections takes 80 KB.
MAX_DELIVERIES = 500


class DeliveryQueue:
    """One tenant's deliveries, in order. usage: the tenant's, where what is handed on counts."""

    __slots__ = ("deliveries", "is_waiting", "usage")

    def __init__(self, usage: Usage) -> None:
        self.usage = usage
        self.deliveries: deque[tuple[Delivery, Callable[[Delivery], None]]] = deque()
        self.is_waiting = False


class Fanout:
    """The node's fan-out: takes slices from the tenants' queues in turn.

    full: queues to which nothing more is to be added. when_freed: called when there are less of them.
    """

    __slots__ = ("_is_behind", "_is_scheduled", "_last", "_loop", "_shared_turns", "_turns", "full", "when_freed")

    def __init__(self) -> None:
        self._turns: deque[DeliveryQueue] = deque()
        self._is_scheduled = False
        self._is_behind = False  # the last turn left something for the next one
        self._last: DeliveryQueue | None = None
        self._shared_turns = 0
        self.full: frozenset[DeliveryQueue] = frozenset()
        self.when_freed: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, queue: DeliveryQueue, delivery: Delivery, sent: Callable[[Delivery], None]) -> None:
        """Queue a delivery behind its tenant's others; `sent` is called when everybody has it.

        A signal is dropped while the queue is full (PROTOCOL.md, "Words").
        """
        if self.full and delivery.shape == NO_SHAPE and queue in self.full:
            sent(delivery)
            return
        queue.deliveries.append((delivery, sent))
        if not queue.is_waiting:
            queue.is_waiting = True
            self._turns.append(queue)
            if queue is not self._last:
                self._shared_turns = 0 if self._last is None else SHARED_TURNS
                self._last = queue
        self._schedule()

    def run(self) -> None:
        """Send what has just come, unless this turn of the loop has its fan-out already."""
        if not self._is_behind:
            self._run_turn()

    def _run_turn(self) -> None:
        """Send one turn's worth, and come back in the next turn while something is left."""
        left = SENDS_PER_TURN
        if self._shared_turns:
            self._shared_turns -= 1
            left = SHARED_SENDS_PER_TURN
        while self._turns and left > 0:
            queue = self._turns[0]
            most = left if len(self._turns) == 1 else min(left, SENDS_PER_TENANT)
            left -= self._serve(queue, most)
            if queue.deliveries:
                self._turns.rotate(-1)
            else:
                queue.is_waiting = False
                self._turns.remove(queue)
        self._is_behind = bool(self._turns)
        if self._is_behind:
            self._schedule()
        if self._is_behind or self.full:
            self._note_full()

    def _note_full(self) -> None:
        before = self.full
        self.full = frozenset(
            queue
            for queue in self._turns
            if len(queue.deliveries) > (MAX_DELIVERIES // 2 if queue in before else MAX_DELIVERIES)
        )
        if before - self.full and self.when_freed is not None:
            self.when_freed()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._run_again)

    def _run_again(self) -> None:
        self._is_scheduled = False
        self._run_turn()

    @staticmethod
    def _serve(queue: DeliveryQueue, most: int) -> int:
        """Up to `most` sends of one tenant; a delivery without local subscribers counts as one."""
        served = 0
        while queue.deliveries and served < most:
            delivery, sent = queue.deliveries[0]
            try:
                served += delivery.send_slice(most - served, queue.usage)
            except Exception:  # a mistake in one room must not stop the others behind it
                counters.faults += 1
                log.exception("a delivery failed", incident=new_incident())
                delivery.give_up()
            if delivery.is_sent:
                queue.deliveries.popleft()
                if len(queue.usage.delays_ms) < DELAYS_A_SECOND and (oldest := delivery.items[0].envelope) is not None:
                    queue.usage.delays_ms.append(time.time() * 1000 - oldest.time_ms)
                sent(delivery)
        return served
