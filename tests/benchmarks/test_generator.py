"""The load generator against a small server that does what it is told, and counts by itself."""

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.failures import BenchmarkError
from benchmarks.generator import drive
from benchmarks.workload import Figure, Load, Server, Words, figure_of

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc: the load generator can't be built")

WORDS = Words(
    path="/ws",
    subscribe=('{"hello":{socket}}', 'welcome>>{"join":"r{room}"}'),
    ready='"joined"',
    publish='{"to":"r{room}","data":"{payload}"}',
    again=('{"hello":{socket}}', 'welcome>>{"join":"r{room}","since":"{epoch}:{offset}"}'),
    epoch_after='"position":"',
)


class Rooms:
    """Rooms with a history and an epoch each; what it saw: messages by room, recoveries by what was asked for."""

    def __init__(self) -> None:
        self.members: dict[str, set[ServerConnection]] = {}
        self.kept: dict[str, list[str]] = {}
        self.since: list[str] = []
        self.loses = False
        self.port = 0

    async def handle(self, socket: ServerConnection) -> None:
        async for text in socket:
            command: dict[str, Any] = json.loads(text)
            if "hello" in command:
                await socket.send("welcome")
            elif "join" in command:
                await self._join(socket, command["join"], command.get("since"))
            else:
                await self._publish(command["to"], command["data"])

    async def _join(self, socket: ServerConnection, room: str, since: str | None) -> None:
        self.members.setdefault(room, set()).add(socket)
        await socket.send(f'{{"joined":"{room}","position":"epoch-of-{room}:0"}}')
        if since is not None:
            self.since.append(f"{room} {since}")
            for data in self.kept[room][int(since.rpartition(":")[2]) :]:
                await socket.send(data)

    async def _publish(self, room: str, data: str) -> None:
        self.kept.setdefault(room, []).append(data)
        if self.loses and len(self.kept[room]) == 2:
            return
        members = self.members.get(room, set())
        self.members[room] = members = {member for member in members if member.state.name == "OPEN"}
        for member in members:
            await member.send(data)

    async def serve(self, started: threading.Event, ended: asyncio.Event) -> None:
        async with serve(self.handle, "127.0.0.1", 0, compression=None) as server:
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            await ended.wait()


@pytest.fixture
def rooms() -> Iterator[Rooms]:
    found, started = Rooms(), threading.Event()
    loop, ended = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(found.serve(started, ended),))
    thread.start()
    assert started.wait(10)
    yield found
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


def driven(rooms: Rooms, load: Load) -> dict[str, Any]:
    return drive(load, Server(rooms.port, 1, WORDS), {"node": [1]})


def messages(rooms: Rooms) -> dict[str, int]:
    return {room: len(kept) for room, kept in rooms.kept.items()}


def test_a_closed_loop_counts_each_delivery(rooms: Rooms) -> None:
    result = driven(rooms, Load(6, messages=40, deliveries=6, window=4, settle_ms=10))
    assert (result["deliveries"]["count"], result["missing"], result["closed"]) == (240, 0, 0)
    assert messages(rooms) == {"r0": 40}
    assert len(rooms.kept["r0"][0]) == 100
    assert 0 < result["deliveries"]["p50_us"] <= result["deliveries"]["p99_us"] <= result["deliveries"]["p999_us"]
    assert result["connects"]["count"] == 6


def test_an_open_loop_takes_its_time_and_goes_round_the_rooms(rooms: Rooms) -> None:
    result = driven(rooms, Load(6, rooms=3, messages=60, deliveries=2, rate=200.0, settle_ms=10))
    assert result["deliveries"]["count"] == 120
    assert 0.28 < result["deliveries"]["seconds"] < 5
    assert messages(rooms) == {"r0": 20, "r1": 20, "r2": 20}


def test_everyone_publishes_in_its_own_room(rooms: Rooms) -> None:
    load = Load(4, rooms=2, messages=40, deliveries=2, rate=400.0, everyone_publishes=True, settle_ms=10)
    assert driven(rooms, load)["deliveries"]["count"] == 80
    assert messages(rooms) == {"r0": 20, "r1": 20}


def test_one_socket_joins_many_rooms(rooms: Rooms) -> None:
    result = driven(rooms, Load(2, rooms=40, joins=20, messages=80, window=4, settle_ms=10))
    assert result["deliveries"]["count"] == 80
    assert len(rooms.members) == 40


def test_large_payloads_are_found_wherever_reads_cut_them(rooms: Rooms) -> None:
    load = Load(3, messages=50, deliveries=3, window=16, payload_bytes=100_000, settle_ms=10)
    assert driven(rooms, load)["deliveries"]["count"] == 150
    assert len(rooms.kept["r0"][0]) == 100_000


def test_a_storm_comes_back_to_each_rooms_own_position(rooms: Rooms) -> None:
    load = Load(6, rooms=3, messages=30, deliveries=2, at_once=6, comes_back=True, settle_ms=50)
    result = driven(rooms, load)
    assert (result["recoveries"]["count"], result["unrecovered"]) == (6, 0)
    assert sorted(set(rooms.since)) == [f"r{room} epoch-of-r{room}:10" for room in range(3)]


def test_a_lost_delivery_is_told(rooms: Rooms) -> None:
    rooms.loses = True
    with pytest.raises(BenchmarkError, match="2 deliveries never came"):
        driven(rooms, Load(2, messages=4, deliveries=2, window=4, settle_ms=10))


def test_figures_are_for_one_unit_of_each_group(rooms: Rooms) -> None:
    result = driven(rooms, Load(2, messages=4, deliveries=2, window=4, settle_ms=10))
    assert set(figure_of(Figure.DELIVERY, result)) == {"node"}
    assert set(figure_of(Figure.MEMORY, result)) == {"node"}
