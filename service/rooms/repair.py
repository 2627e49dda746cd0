"""Gaps are the node's business: one history read per room repairs it for all its sockets."""

import asyncio
from collections import deque

import structlog

from service.brokers.broker import Broker
from service.protocol.errors import RoomcastError
from service.rooms.room import Room
from service.rooms.turns import Fanout
from service.telemetry import counters, new_incident

log = structlog.get_logger()

# History reads under way at once: enough to keep Redis busy, few enough that live traffic is not queued behind them.
REPAIRS_AT_ONCE = 64
# Messages and bytes of one read.
PAGE_MESSAGES = 256
PAGE_BYTES = 512 * 1024
# A repair that found Redis away tries again after this; the reconnect itself asks for one too.
RETRY_SECONDS = 0.5


class Repairs:
    """The repairs of one node. A room that waits for its turn has no task: there may be 100,000 of them at once."""

    def __init__(self, broker: Broker, fanout: Fanout) -> None:
        self._broker = broker
        self._fanout = fanout
        # Rooms, each with whether it keeps its history.
        self._waiting: deque[tuple[Room, bool]] = deque()
        self._held: list[tuple[Room, bool]] = []  # their tenants' deliveries have no room
        self._again: set[Room] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopped = False

    def request(self, room: Room, keeps_history: bool) -> None:
        """Repair a room, then settle it; asked for while it is read, it is read once more."""
        if room.is_repairing:
            self._again.add(room)
            return
        room.is_repairing = True
        self._wait(room, keeps_history)

    def go_on(self) -> None:
        """Some tenant's deliveries have room again. Repairs wait for that: a flood could else come in by them."""
        held, self._held = self._held, []
        self._waiting.extend(held)
        self._begin()

    async def stop(self) -> None:
        """End what is under way."""
        self._is_stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _wait(self, room: Room, keeps_history: bool) -> None:
        self._waiting.append((room, keeps_history))
        self._begin()

    def _begin(self) -> None:
        while self._waiting and len(self._tasks) < REPAIRS_AT_ONCE and not self._is_stopped:
            task = asyncio.get_running_loop().create_task(self._repair(*self._waiting.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._begin()

    async def _repair(self, room: Room, keeps_history: bool) -> None:
        is_read = False
        while room.member_count and (not is_read or room in self._again):
            if room.queue in self._fanout.full:
                self._held.append((room, keeps_history))
                return
            self._again.discard(room)
            try:
                is_read = await self._read_page(room, keeps_history)
            except Exception as error:
                if not isinstance(error, RoomcastError):
                    counters.faults += 1
                    log.exception("a repair failed", incident=new_incident())
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._wait, room, keeps_history)
                return
        self._again.discard(room)
        room.is_repairing = False
        if not room.member_count:
            room.lose_place()  # what was missed concerns no one
        room.settle()

    async def _read_page(self, room: Room, keeps_history: bool) -> bool:
        """Whether that was all."""
        counters.repairs += 1
        epoch = room.epoch
        history = await self._broker.read_history(
            room.address, after=room.offset, before=None, limit=PAGE_MESSAGES, newest=False, max_bytes=PAGE_BYTES
        )
        if room.epoch != epoch:
            return False  # it began elsewhere meanwhile, and what was read is not what lies behind there
        if history.head.epoch == epoch and history.head.offset < room.offset:
            # Redis came back without messages that this node has seen: their offsets must not be given again.
            await self._broker.end_epoch(room.address, history.head.epoch)
            return False
        room.take_history(history, keeps_history)
        return not history.more and room.epoch == epoch
