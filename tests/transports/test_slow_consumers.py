"""What becomes of a reader that is too slow where its rooms may leave messages out (see also `test_outbox`)."""

import asyncio
import json
from collections.abc import Iterator, Sequence

import pytest

from service.rooms.slow_consumers import message_items
from service.telemetry import counters
from service.tenants.room_types import SlowConsumer
from service.transports import outbox as outbox_module
from service.transports.frames import PING, TEXT, frame
from service.transports.outbox import GAPS_ROOM_BYTES, HIGH_WATER_BYTES, Outbox, Turn
from tests.rooms.surroundings import message
from tests.support.raw_socket import RawSocket, upgraded
from tests.transports.conftest import Hosting
from tests.transports.test_outbox import KILOBYTE, NotingTransport

pytestmark = pytest.mark.anyio

PREFIX = b'{"type":"message","room":"chat",'
LIMIT_BYTES = 256 * 1024


def spare(first: int, count: int, policy: SlowConsumer = "drop_oldest", text: str = "x" * 900) -> list[bytes]:
    """Messages of a room, about a kilobyte each."""
    messages = [message(offset, text=text) for offset in range(first, first + count)]
    return [item.ready.for_subscriber(False) for item in message_items("chat", PREFIX, messages, policy)]


class FullTransport(NotingTransport):
    """Holds `held_bytes` that the peer does not take."""

    held_bytes = HIGH_WATER_BYTES

    def get_write_buffer_size(self) -> int:
        return self.held_bytes


class Slow(Outbox):
    """An outbox whose transport is full; `ended`: it was too much."""

    def __init__(self, limit_bytes: int, turn: Turn | None = None) -> None:
        self.noting = FullTransport()
        super().__init__(self.noting, turn or Turn(asyncio.get_running_loop()), limit_bytes)
        self.ended = False
        self.pause_writing()

    def outbox_overflowed(self) -> None:
        self.ended = True

    def wake(self) -> list[str]:
        """The peer reads on: what it gets is told, offsets of messages and bounds of gaps."""
        self.noting.held_bytes = 0
        self.resume_writing()
        self.flush()
        return list(told(b"".join(self.noting.writes)))


def told(stream: bytes) -> Iterator[str]:
    while stream:
        size, head = (stream[1], 2) if stream[1] < 126 else (int.from_bytes(stream[2:4], "big"), 4)
        yield told_by(stream[head : head + size])
        stream = stream[head + size :]


def told_by(payload: bytes) -> str:
    if not payload.startswith(b"{"):
        return payload[:5].decode()
    event = json.loads(payload)
    return f"{event['from']}-{event['to']}" if event["type"] == "gap" else str(event["offset"])


async def send(slow: Slow, frames: Sequence[bytes]) -> None:
    """One a loop turn."""
    for ready in frames:
        assert slow.send(ready)
        await asyncio.sleep(0)


async def test_the_oldest_messages_make_room_and_replies_stay() -> None:
    slow = Slow(LIMIT_BYTES)
    drops = counters.slow_drops
    await send(slow, [frame(b"first"), *spare(1, 500), frame(b"reply"), *spare(501, 500)])
    assert slow.waiting_bytes <= LIMIT_BYTES
    seen = slow.wake()
    assert not slow.ended
    assert seen[0] == "first"
    assert "reply" in seen
    gap = [event for event in seen if "-" in event]
    assert gap == ["e1:0-e1:500", f"e1:500-e1:{int(seen[-1]) - len(seen) + 4}"]
    assert seen[-1] == "1000"
    assert counters.slow_drops == drops + 1_000 - (len(seen) - 4)
    assert len(seen) > 100


async def test_what_waits_never_passes_the_limit_by_more_than_a_quarter() -> None:
    slow = Slow(LIMIT_BYTES)
    for ready in spare(1, 2_000):  # in one loop turn
        assert slow.send(ready)
        assert slow.waiting_bytes <= 1.25 * LIMIT_BYTES + len(ready)
    await asyncio.sleep(0)
    assert slow.waiting_bytes <= LIMIT_BYTES
    assert not slow.ended
    seen = slow.wake()
    assert seen[0].startswith("e1:0-")
    assert seen[-1] == "2000"


async def test_a_socket_that_has_nothing_to_spare_ends() -> None:
    slow = Slow(LIMIT_BYTES)
    for _ in range(300):
        slow.send(KILOBYTE)
    await asyncio.sleep(0)
    assert slow.ended
    assert not slow.accepts


async def test_messages_are_spared_for_replies_but_too_many_replies_are_the_end() -> None:
    slow = Slow(LIMIT_BYTES)
    await send(slow, spare(1, 150))
    await send(slow, [KILOBYTE] * 100)
    assert not slow.ended
    for _ in range(150):
        slow.send(KILOBYTE)
        await asyncio.sleep(0)
    assert slow.ended


async def test_only_the_latest_of_a_name_waits() -> None:
    slow = Slow(LIMIT_BYTES)
    await send(slow, spare(1, 1_000, "latest_by_name"))
    assert not slow.ended
    seen = slow.wake()
    assert seen[0].startswith("e1:0-e1:")
    assert [*map(int, seen[1:])] == list(range(1_001 - len(seen) + 1, 1_001))


async def test_while_the_transport_alone_holds_the_limit_gaps_wait_and_grow() -> None:
    slow = Slow(LIMIT_BYTES)
    slow.noting.held_bytes = LIMIT_BYTES + 10_000
    slow.pause_writing()
    await send(slow, spare(1, 300))
    await asyncio.sleep(0)
    assert not slow.ended
    assert slow.waiting_bytes - slow.noting.held_bytes <= GAPS_ROOM_BYTES
    assert slow.wake() == ["e1:0-e1:300"]


async def test_a_burst_in_one_turn_leaves_no_more_than_the_limit_to_the_transport() -> None:
    slow = Slow(LIMIT_BYTES)
    slow.noting.held_bytes = 0
    slow.resume_writing()
    await asyncio.sleep(0)
    for ready in spare(1, 300):
        slow.send(ready)
    await asyncio.sleep(0)
    assert 0.5 * LIMIT_BYTES < sum(map(len, slow.noting.writes)) <= LIMIT_BYTES
    assert not slow.ended


async def test_many_full_outboxes_are_relieved_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "THINNING_SECONDS", 0.0)  # one a turn
    turn = Turn(asyncio.get_running_loop())
    every = [Slow(LIMIT_BYTES, turn) for _ in range(5)]
    for slow in every:
        for ready in spare(1, 200):
            slow.send(ready)
    relieved = []
    for _ in range(5):
        await asyncio.sleep(0)
        relieved.append(sum(slow.waiting_bytes <= LIMIT_BYTES for slow in every))
    assert relieved == [1, 2, 3, 4, 5]
    assert not any(slow.ended for slow in every)


async def test_a_socket_that_closes_meanwhile_writes_what_waits_and_ends_once() -> None:
    slow = Slow(LIMIT_BYTES)
    for ready in spare(1, 200):
        slow.send(ready)
    slow.stop_sending(frame(b"closing"))
    await asyncio.sleep(0)
    assert [*told(b"".join(slow.noting.writes))] == [*map(str, range(1, 201)), "closi"]


async def test_a_ping_goes_ahead_of_what_waits() -> None:
    slow = Slow(LIMIT_BYTES)
    ping = frame(b"", PING)
    await send(slow, spare(1, 1))
    slow.send_ahead(ping)
    await send(slow, spare(2, 500))
    slow.send_ahead(ping)
    slow.wake()
    assert not slow.ended
    stream = b"".join(slow.noting.writes)
    assert stream.startswith(ping * 2)
    assert [*told(stream[2 * len(ping) :])][-1] == "501"
    slow.send_ahead(ping)
    slow.flush()
    assert b"".join(slow.noting.writes).endswith(ping)


async def test_a_slow_reader_gets_its_ping_before_all_that_waits_for_it(hosting: Hosting) -> None:
    async with (
        hosting(ping_interval_seconds=0.3, outbox_max_bytes=32 * 1024 * 1024) as host,
        upgraded(host.port) as client,
    ):
        live = (await host.accepted.get()).live
        client.fall_asleep()
        for ready in spare(1, 320, text="x" * 50_000):  # 16 MB, of which the kernel takes less than half
            live.send(ready)
            await asyncio.sleep(0)
        while not live._is_silent:
            await asyncio.sleep(0.01)  # until the ping's time has come
        client.wake_up()
        before = 0
        while (await client.receive_frame())[0] != PING:
            before += 1
        assert before < 300


async def test_a_sleeping_reader_of_such_a_room_wakes_up_to_what_is_new(hosting: Hosting) -> None:
    async with hosting(outbox_max_bytes=LIMIT_BYTES) as host, upgraded(host.port) as client:
        recorder = await host.accepted.get()
        client.fall_asleep()
        for number in range(4_000):
            assert recorder.live.send(spare(number + 1, 1)[0])
            if number == 1_000:
                recorder.live.send(frame(b"reply"))
            if number % 16 == 0:
                await asyncio.sleep(0)
        assert recorder.live.waiting_bytes <= 1.25 * LIMIT_BYTES
        client.wake_up()
        recorder.live.send(frame(b"last"))
        await _counts_on(client)
        assert recorder.asked_closings == []


async def _counts_on(client: RawSocket) -> None:
    """Every message up to the last is there, or in a gap."""
    at, gaps, replies = 0, 0, 0
    while (arrived := await client.receive_frame())[1] != b"last":
        assert arrived[0] == TEXT
        event = told_by(arrived[1])
        if event == "reply":
            replies += 1
        elif "-" in event:
            assert event.startswith(f"e1:{at}-")
            at = int(event.rpartition(":")[2])
            gaps += 1
        else:
            assert int(event) == at + 1
            at += 1
    assert (at, replies) == (4_000, 1)
    assert gaps
