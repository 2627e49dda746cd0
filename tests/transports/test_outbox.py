import asyncio

import pytest

from service.telemetry import counters
from service.transports.frames import PING, PONG, TEXT, frame
from service.transports.outbox import HIGH_WATER_BYTES, WRITES_PER_TURN, Outbox, Turn
from tests.support.raw_socket import RawSocket, client_frame, upgraded
from tests.transports.conftest import Hosting

pytestmark = pytest.mark.anyio

KILOBYTE = frame(b"x" * 1_020)


class NotingTransport(asyncio.Transport):
    """Takes all at once, and notes each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.writes.append(b"aborted")


async def test_what_a_turn_has_for_a_socket_leaves_in_one_write() -> None:
    transport, turn = NotingTransport(), Turn(asyncio.get_running_loop())
    outbox = Outbox(transport, turn, 1_000)
    for number in range(5):
        outbox.send(b"%d" % number)
    assert transport.writes == []
    assert outbox.waiting_bytes == 5
    await asyncio.sleep(0)
    outbox.send(b"later")
    await asyncio.sleep(0)
    assert transport.writes == [b"01234", b"later"]
    assert outbox.waiting_bytes == 0


async def test_bytes_are_counted_as_sent_once_they_are_written() -> None:
    outbox = Outbox(NotingTransport(), Turn(asyncio.get_running_loop()), 1_000)
    before = counters.bytes_sent
    outbox.send(b"12345")
    outbox.send(b"678")
    assert counters.bytes_sent == before
    await asyncio.sleep(0)
    assert counters.bytes_sent == before + 8
    outbox.send(b"90")
    outbox.stop_sending(b"last")
    assert counters.bytes_sent == before + 14


async def test_a_big_fan_out_lets_others_have_the_loop_in_between() -> None:
    turn = Turn(asyncio.get_running_loop())
    transports = [NotingTransport() for _ in range(2 * WRITES_PER_TURN + 1)]
    for transport in transports:
        Outbox(transport, turn, 1_000).send(b"x")
    written = []
    for _ in range(3):
        await asyncio.sleep(0)
        written.append(sum(len(transport.writes) for transport in transports))
    assert written == [WRITES_PER_TURN, 2 * WRITES_PER_TURN, 2 * WRITES_PER_TURN + 1]


async def test_a_failing_outbox_is_dropped_and_the_others_are_written() -> None:
    turn = Turn(asyncio.get_running_loop())
    failing, fine = NotingTransport(), NotingTransport()
    Outbox(failing, turn, 3).send(b"over the limit")  # a bare Outbox does not know what to do then
    Outbox(fine, turn, 1_000).send(b"x")
    await asyncio.sleep(0)
    assert (failing.writes, fine.writes) == ([b"aborted"], [b"x"])


async def _fill(hosted: Outbox, least_bytes: int) -> int:
    """Send without reading until so much waits; how many kilobytes that took."""
    count = 0
    while hosted.accepts and hosted.waiting_bytes < least_bytes:
        hosted.send(KILOBYTE)
        count += 1
        if count % 16 == 0:
            await asyncio.sleep(0)
    return count


async def _receive(client: RawSocket, count: int) -> None:
    for _ in range(count):
        assert await client.receive_frame() == (TEXT, KILOBYTE[4:])


async def test_a_reader_who_sleeps_a_while_gets_everything_in_order(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port) as client:
        live = (await host.accepted.get()).live
        client.fall_asleep()
        count = await _fill(live, 512 * 1024)
        client.wake_up()
        live.send(frame(b"last"))
        await _receive(client, count)
        assert await client.receive_frame() == (TEXT, b"last")
        assert live.waiting_bytes == 0


async def test_a_slow_reader_is_closed_with_4450_between_two_frames(hosting: Hosting) -> None:
    async with hosting(outbox_max_bytes=256 * 1024) as host, upgraded(host.port) as client:
        recorder = await host.accepted.get()
        slow_closes = counters.slow_closes
        client.fall_asleep()
        sent = await _fill(recorder.live, 1 << 30)
        client.wake_up()
        assert recorder.live.waiting_bytes <= 256 * 1024 + len(KILOBYTE)
        received = 0
        while (arrived := await client.receive_frame()) == (TEXT, KILOBYTE[4:]):
            received += 1
        assert 0 < received < sent
        assert arrived == (TEXT, b"closing 4450")
        assert await client.receive_close() == 4450
        client.send(client_frame((4450).to_bytes(2), 8))
        assert await recorder.lost == 4450
        assert counters.slow_closes == slow_closes + 1


async def test_a_slow_reader_who_never_wakes_is_dropped(hosting: Hosting) -> None:
    async with hosting(outbox_max_bytes=64 * 1024, close_timeout_seconds=0.05) as host, upgraded(host.port) as client:
        client.fall_asleep()
        recorder = await host.accepted.get()
        await _fill(recorder.live, 1 << 30)
        assert await recorder.lost == 4450


async def test_more_than_the_limit_in_one_turn_is_too_much_too(hosting: Hosting) -> None:
    async with hosting(outbox_max_bytes=100_000) as host, upgraded(host.port) as client:
        recorder = await host.accepted.get()
        for _ in range(110):
            recorder.live.send(KILOBYTE)
        assert recorder.asked_closings == []  # never from within send: fan-out walks over its sockets
        assert await client.receive_frame() == (TEXT, b"closing 4450")
        assert await client.receive_close() == 4450


async def test_who_feeds_a_socket_is_called_once_when_it_has_drained(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port) as client:
        live = (await host.accepted.get()).live
        calls: list[int] = []
        client.fall_asleep()
        count = await _fill(live, 4 * HIGH_WATER_BYTES)
        drained = asyncio.Event()

        def note() -> None:
            calls.append(live.waiting_bytes)
            drained.set()

        live.when_drained(note)
        await asyncio.sleep(0)
        assert calls == []
        client.wake_up()
        await _receive(client, count)
        await drained.wait()
        assert len(calls) == 1
        assert calls[0] <= HIGH_WATER_BYTES
        drained.clear()
        live.when_drained(note)  # with nothing waiting: in the next turn
        assert len(calls) == 1
        await drained.wait()
        assert len(calls) == 2


async def test_every_ping_of_a_reading_client_is_answered(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port) as client:
        client.send(b"".join(client_frame(b"%d" % number, PING) for number in range(200)))
        for number in range(200):
            assert await client.receive_frame() == (PONG, b"%d" % number)


async def test_a_ping_flood_from_a_client_that_does_not_read_keeps_memory_bounded(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port) as client:
        live = (await host.accepted.get()).live
        flood = client_frame(b"p" * 125, PING) * 1_000
        client.fall_asleep()
        most = 0
        for _ in range(100):  # 13 MB
            client.send(flood)
            await client.writer.drain()
            most = max(most, live.waiting_bytes)
        assert HIGH_WATER_BYTES < most < 2 * HIGH_WATER_BYTES
        client.wake_up()
        client.send(client_frame(b"latest", PING))
        while (arrived := await client.receive_frame()) == (PONG, b"p" * 125):
            pass
        assert arrived == (PONG, b"latest")
