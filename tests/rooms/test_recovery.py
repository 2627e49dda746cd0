"""Recovery against a history of our own: plain lists, one read a page."""

import asyncio
import gc
import weakref
from collections.abc import Sequence
from typing import Any, cast

import pytest

from service.brokers.broker import Broker, Envelope, History, Origin, RoomAddress, RoomHead
from service.protocol.errors import CloseCode, Internal
from service.protocol.identifiers import Position, parse_position
from service.rooms import recovery
from service.rooms.connection import Connection
from service.rooms.membership import Membership
from tests.rooms.surroundings import EPOCH, Ear, Surroundings, message, rules

pytestmark = pytest.mark.anyio


class KeptHistory:
    """The one call of the broker that recovery makes."""

    def __init__(self, messages: Sequence[Envelope], page: int = 3, epoch: str = EPOCH) -> None:
        self.messages = list(messages)
        self.page = page
        self.epoch = epoch
        self.cut_offset = 0
        self.reads = 0
        self.max_bytes = 0

    async def read_history(
        self, address: RoomAddress, *, after: int, before: int | None, limit: int, newest: bool, max_bytes: int
    ) -> History:
        self.reads += 1
        self.max_bytes = max_bytes
        kept = [envelope for envelope in self.messages if envelope.offset > after][: self.page]
        head = self.messages[-1].offset if self.messages else 0
        first = self.messages[0].offset if self.messages else head + 1
        return History(Position(self.epoch, head), first, self.cut_offset, kept, kept[-1:] != self.messages[-1:])


class Returning:
    """A connection that joins again with `since`, as `ConnectionManager.join_room` does it."""

    def __init__(self, around: Surroundings, history: KeptHistory, head: int) -> None:
        self.ear = Ear()
        self.around = around
        self.history = cast(Broker, history)
        connection = Connection(self.ear, _entry("back"), max_held_bytes=100_000)
        around.connections["back"] = connection
        self.member = connection.rooms["chat"] = Membership(connection, around.room)
        self.member.is_recovering = True
        around.room.claims += 1
        around.room.enter(self.member, RoomHead(Position(EPOCH, head), 1, 1))

    async def begin(self, since: str) -> recovery.Recovery:
        epoch, _, offset = since.partition(":")
        return await recovery.begin(self.history, self.member, Position(epoch, int(offset)))

    async def feed(self, since: str) -> "asyncio.Task[None]":
        found = await self.begin(since)
        assert found.page is not None
        task = asyncio.create_task(recovery.feed(self.history, self.member, parse_position(since), [found.page]))
        await self.turn()
        return task

    async def turn(self) -> None:
        """Let the feed go on until it waits for the socket or is done."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def drain(self) -> None:
        """The socket has taken what waited."""
        assert self.ear.drained is not None
        drained, self.ear.drained = self.ear.drained, None
        drained()
        await self.turn()


def _entry(name: str) -> Any:
    from service.brokers.broker import ConnectionEntry

    return ConnectionEntry(name, name, "n", 0, "")


def kept(first: int, last: int) -> list[Envelope]:
    return [message(offset) for offset in range(first, last + 1)]


async def test_a_page_fits_into_a_small_outbox_several_times() -> None:
    around = Surroundings()
    around.join("alice")
    history = KeptHistory([message(offset) for offset in range(1, 6)])
    await Returning(around, history, head=5).feed(f"{EPOCH}:0")
    assert history.max_bytes == 100_000 // recovery.PAGE_PART


async def test_since_the_head_is_recovered_even_if_nothing_is_kept() -> None:
    back = Returning(Surroundings(), KeptHistory([]), head=7)
    assert await back.begin(f"{EPOCH}:7") == recovery.Recovery(None, None)


async def test_missed_messages_come_page_by_page_as_the_socket_drains() -> None:
    back = Returning(Surroundings(), KeptHistory(kept(1, 8)), head=8)
    task = await back.feed(f"{EPOCH}:2")
    assert back.ear.offsets == [3, 4, 5]
    await back.drain()
    assert back.ear.offsets == [3, 4, 5, 6, 7, 8]
    await task
    assert back.member in back.around.room.live.values()


@pytest.mark.parametrize("is_behind_others", [True, False])
async def test_a_recovery_whose_epoch_ends_before_its_first_page_is_taken_closes_the_client(
    is_behind_others: bool,
) -> None:
    around = Surroundings()
    around.join("alice")
    history = KeptHistory(kept(1, 8))
    back = Returning(around, history, head=8)
    if is_behind_others:
        await back.member.connection.feeding.acquire()
    found = await back.begin(f"{EPOCH}:5")
    assert found.page is not None
    task = asyncio.create_task(recovery.feed(back.history, back.member, Position(EPOCH, 5), [found.page]))
    around.room.receive_epoch(Position("e2", 0))
    history.epoch, history.messages = "e2", [message(offset, "e2") for offset in (1, 2, 3)]
    if is_behind_others:
        await back.turn()
        back.member.connection.feeding.release()
        await back.turn()
        await back.drain()
    await task
    assert back.ear.closed is not None
    assert (back.ear.closed[0], back.ear.events) == (CloseCode.SLOW_CONSUMER, [])


class Page(list[Envelope]):
    """Messages that tell when they are let go."""


@pytest.mark.parametrize("is_behind_others", [True, False])
async def test_a_recovery_that_waits_or_was_stopped_holds_no_page(
    monkeypatch: pytest.MonkeyPatch, is_behind_others: bool
) -> None:
    monkeypatch.setattr(Ear, "waiting_bytes", 2 * recovery.LITTLE_BYTES)
    around = Surroundings()
    back = Returning(around, KeptHistory([]), head=6)
    page = Page(kept(1, 6))
    held = weakref.ref(page)
    first_page = [History(Position(EPOCH, 6), 1, 0, page, False)]
    del page
    gc.disable()
    try:
        if is_behind_others:
            await back.member.connection.feeding.acquire()
        back.member.feed = asyncio.create_task(recovery.feed(back.history, back.member, Position(EPOCH, 0), first_page))
        await asyncio.sleep(0)
        if not is_behind_others:
            assert held() is not None
            around.room.remove(back.member)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert held() is None
    finally:
        gc.enable()
        back.member.stop_feeding()


async def test_live_messages_during_a_recovery_come_once_and_behind_it() -> None:
    around = Surroundings()
    history = KeptHistory(kept(1, 5))
    back = Returning(around, history, head=5)
    task = await back.feed(f"{EPOCH}:1")
    history.messages.append(message(6))
    around.arrive(message(6))
    assert back.ear.offsets == [2, 3, 4]
    await back.drain()
    await task
    around.arrive(message(7))
    assert back.ear.offsets == [2, 3, 4, 5, 6, 7]


async def test_own_messages_are_recovered_as_messages() -> None:
    history = KeptHistory([message(1), message(2, origin=Origin("back", 3))])
    back = Returning(Surroundings(), history, head=2)
    await (await back.feed(f"{EPOCH}:0"))
    assert back.ear.offsets == [1, 2]


@pytest.mark.parametrize(
    ("since", "first", "cut_offset", "reason"),
    [
        (f"{EPOCH}:2", 4, 0, "expired"),
        (f"{EPOCH}:2", 4, 3, "limit"),
        ("older:2", 1, 0, "epoch"),
        (f"{EPOCH}:99", 1, 0, "epoch"),
    ],
)
async def test_what_cannot_be_promised_is_refused_whole(since: str, first: int, cut_offset: int, reason: str) -> None:
    history = KeptHistory(kept(first, 8))
    history.cut_offset = cut_offset
    found = await Returning(Surroundings(), history, head=8).begin(since)
    assert found.page is None
    assert found.gap is not None
    assert (found.gap.from_, found.gap.to, found.gap.reason) == (since, f"{EPOCH}:8", reason)


async def test_a_room_that_keeps_nothing_recovers_nothing() -> None:
    around = Surroundings()
    around.room.rules = rules(history_messages=0)
    found = await Returning(around, KeptHistory([]), head=8).begin(f"{EPOCH}:2")
    assert found.gap is not None
    assert (found.gap.to, found.gap.reason) == (None, "unstored")


async def test_a_history_trimmed_after_joined_closes_with_4450_and_sends_nothing_out_of_order() -> None:
    history = KeptHistory(kept(1, 9))
    back = Returning(Surroundings(), history, head=9)
    task = await back.feed(f"{EPOCH}:0")
    del history.messages[:5]
    await back.drain()
    await task
    assert back.ear.offsets == [1, 2, 3]
    assert back.ear.closed is not None
    assert back.ear.closed[0] == 4450


async def test_an_epoch_that_ends_during_a_recovery_closes_with_4450() -> None:
    around = Surroundings()
    back = Returning(around, KeptHistory(kept(1, 9)), head=9)
    task = await back.feed(f"{EPOCH}:0")
    around.room.receive_epoch(Position("e2", 0))
    await back.drain()
    await task
    assert back.ear.closed is not None
    assert back.ear.closed[0] == 4450


async def test_a_recovery_that_redis_refuses_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, code in ((Internal("incident-1"), 1013), (ZeroDivisionError(), 1011)):
        history = KeptHistory(kept(1, 9))
        back = Returning(Surroundings(), history, head=9)
        task = await back.feed(f"{EPOCH}:0")

        async def refuse(*_arguments: Any, error: Exception = error, **_bounds: Any) -> History:
            raise error

        monkeypatch.setattr(history, "read_history", refuse)
        await back.drain()
        await asyncio.wait([task])
        assert back.ear.closed is not None
        assert back.ear.closed[0] == code
