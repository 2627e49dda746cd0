"""Gaps are the node's business: one history read per room repairs it for all its sockets."""

import asyncio
from collections.abc import Coroutine
from typing import Any

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
    """The repairs of one node."""

    def __init__(self, broker: Broker, fanout: Fanout) -> None:
        self._broker = broker
        self._fanout = fanout
        self._freed = asyncio.Event()
        self._places = asyncio.Semaphore(REPAIRS_AT_ONCE)
        self._again: set[Room] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def request(self, room: Room, keeps_history: bool) -> None:
        """Repair a room, then settle it; asked for during a repair, another one follows."""
        if room.is_repairing:
            self._again.add(room)
            return
        room.is_repairing = True
        self._spawn(self._repair(room, keeps_history))

    def go_on(self) -> None:
        """Some tenant's deliveries have room again. Repairs wait for that: a flood could else come in by them."""
        self._freed.set()
        self._freed.clear()

    async def stop(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _repair(self, room: Room, keeps_history: bool) -> None:
        is_read = False
        try:
            while room.member_count and (not is_read or room in self._again):
                is_read = False
                while room.queue in self._fanout.full:
                    await self._freed.wait()
                try:
                    async with self._places:
                        if room.queue not in self._fanout.full:
                            self._again.discard(room)
                            is_read = await self._read_page(room, keeps_history)
                except RoomcastError:
                    await asyncio.sleep(RETRY_SECONDS)
                except Exception:
                    counters.faults += 1
                    log.exception("a repair failed", incident=new_incident())
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._again.discard(room)
            room.is_repairing = False
            if not room.member_count:
                room.lose_place()  # what was missed concerns no one
            room.settle()

    async def _read_page(self, room: Room, keeps_history: bool) -> bool:
        """Whether that was all."""
        history = await self._broker.read_history(
            room.address, after=room.offset, before=None, limit=PAGE_MESSAGES, newest=False, max_bytes=PAGE_BYTES
        )
        epoch = room.epoch
        if history.head.epoch == epoch and history.head.offset < room.offset:
            # Redis came back without messages that this node has seen: their offsets must not be given again.
            await self._broker.end_epoch(room.address, history.head.epoch)
            return False
        room.take_history(history, keeps_history)
        return not history.more and room.epoch == epoch
