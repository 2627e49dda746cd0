"""A quarter of all sockets stop reading for a while, in rooms of each policy for the slow, and read again."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec

from service.protocol.events import Message
from tests.faults.run import KEPT_MESSAGES, Outcome, Row, Run
from tests.support.greedy import Greed
from tests.support.load import Load
from tests.support.records import Told
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant
from tests.support.wire_client import Client

POLICIES: Final = ("disconnect", "drop_oldest", "latest_by_name")  # of room-0, room-1 and room-2
OUTBOX_BYTES: Final = 128 * 1024  # a low cap, so that memory beyond the caps shows
PAYLOAD_BYTES: Final = 8_000
PAGE_MESSAGES: Final = 50  # of these; a page of history ends at 512 KiB, and the load reads one
SPOKEN_PER_SECOND: Final = 15.0  # by publishers who are in the rooms, and wait for each answer
TIMED_PER_SECOND: Final = 20.0  # by those whose messages are timed
EARS: Final = 3  # of each room, which time what comes
MAX_GROWTH_BYTES: Final = 64 * 1024 * 1024
MAX_P99_SECONDS: Final = 0.1
MAX_WAITED_PART: Final = 0.05  # of the time, in which node or harness had no core: above it p99 says nothing of them
MIB: Final = 2**20


class Timed:
    """Steady messages in each room, and how long they take to some who read; not of the others' number."""

    def __init__(self, address: str, tenant: Tenant, rooms: list[str]) -> None:
        self.taken_seconds: list[float] = []
        self._address = address
        self._tenant = tenant
        self._rooms = rooms
        self._sent_at: dict[str, float] = {}
        self._clients: list[Client] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Timed":
        mouth = await self._open("mouth")
        for room in self._rooms:
            for number in range(EARS):
                ear = await self._open(f"ear-{number}")
                await ear.joins(room)
                self._tasks.append(asyncio.create_task(self._listen(ear)))
        self._tasks.append(asyncio.create_task(self._speak(mouth)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients:
            client.drop()
        for end in ends:
            if isinstance(end, Exception):
                raise end  # one who reads must not be cut off

    async def _open(self, user: str) -> Client:
        self._clients.append(await Client.open(self._address, self._tenant.token(user)))
        return self._clients[-1]

    async def _speak(self, mouth: Client) -> None:
        began, number = time.perf_counter(), 0
        while True:
            number += 1
            await asyncio.sleep(began + number / TIMED_PER_SECOND - time.perf_counter())
            key = f"timed-{number}-{began}"
            self._sent_at[key] = time.perf_counter()
            data = {"key": key, "padding": "." * PAYLOAD_BYTES}
            room = self._rooms[number % len(self._rooms)]
            await mouth.sends("publish", room=room, data=data, name=f"n{number % 7}")

    async def _listen(self, ear: Client) -> None:
        while True:
            event = await ear.next(60)
            if isinstance(event, Message):
                sent_at = self._sent_at.get(ear.value(event.data)["key"])
                if sent_at is not None:
                    self.taken_seconds.append(time.perf_counter() - sent_at)


async def run(run: Run) -> Outcome:
    """Stall a quarter, let them wake up; in between the node's memory and the others' waiting are bounded."""
    sockets = 400 if run.is_short else 2_000
    stall_seconds = 5.0 if run.is_short else 20.0
    valkey = run.start_valkey(loses_nothing=False)
    [node] = await run.start_nodes(1, valkey.url, outbox_max_bytes=OUTBOX_BYTES)
    [tenant] = await run.make_tenants(1)
    for number, policy in enumerate(POLICIES):
        rules = {"slow_consumer": policy, "history_messages": KEPT_MESSAGES, "presence_grace_seconds": 0}
        await tenant.room_type(policy, pattern=f"room-{number}", **rules)
    load = run.load(
        rooms=len(POLICIES),
        publishers_per_room=1,
        subscribers=sockets // 4,
        rooms_per_subscriber=1,
        watchers=0,
        messages_per_second=SPOKEN_PER_SECOND,
        payload_bytes=PAYLOAD_BYTES,
    )
    growth_bytes, waited_part, taken_seconds = 0, 0.0, []
    async with load, AsyncExitStack() as others:
        timed = await others.enter_async_context(Timed(node.address, tenant, load.rooms))
        readers = sockets - len(load.participants) - EARS * len(POLICIES)
        for room in load.rooms:
            crowd = Greed(port=node.port, token=tenant.token("crowd"), api_key="", room=room, members=readers // 3)
            await _begin(others, crowd)
        await asyncio.sleep(2)
        for _ in range(run.times):
            before_bytes, first = _memory_bytes(node.pid), len(timed.taken_seconds)
            pids = node.pid, os.getpid()
            waited, began = _waited_seconds(pids), time.monotonic()
            growth_bytes = max(growth_bytes, await _stall(load, node.pid, stall_seconds) - before_bytes)
            waited_part = max(waited_part, (_waited_seconds(pids) - waited) / (time.monotonic() - began))
            taken_seconds += timed.taken_seconds[first:]
            await asyncio.sleep(run.chance.uniform(1, 2))
        await _everybody_is_in(run, tenant, load, len(POLICIES) * (readers // 3 + EARS))
    return _judge(run, load, growth_bytes, sorted(taken_seconds), waited_part)


def _judge(run: Run, load: Load, growth_bytes: int, taken_seconds: list[float], waited_part: float) -> Outcome:
    caps_bytes = len(load.subscribers) * OUTBOX_BYTES
    p99_seconds = taken_seconds[len(taken_seconds) * 99 // 100]
    cut_off = sum(each.connects - 1 for each in load.subscribers)
    gaps = sum(isinstance(record, Told) for record in run.log)
    if growth_bytes > caps_bytes + MAX_GROWTH_BYTES:
        run.complain("client", f"the node grew by {growth_bytes / MIB:.0f} MiB, the caps are {caps_bytes / MIB:.0f}")
    if p99_seconds > MAX_P99_SECONDS and waited_part <= MAX_WAITED_PART:
        run.complain("client", f"the others' p99 was {1_000 * p99_seconds:.0f} ms")
    if not cut_off or not gaps:
        run.complain("client", f"they were not slow enough: {cut_off} were cut off, {gaps} gaps were told")
    return run.outcome(
        kept_messages=PAGE_MESSAGES,
        node_grew_mib=growth_bytes / MIB,
        caps_mib=caps_bytes / MIB,
        others_p99_ms=1_000 * p99_seconds,
        waited_part=waited_part,
        cut_off=cut_off,
        gaps=gaps,
    )


async def _stall(load: Load, pid: int, seconds: float) -> int:
    """The most memory that the node had while the subscribers did not read, and until they do again."""
    sleepers = [each.client for each in load.subscribers if each.client is not None]
    for client in sleepers:
        client.stops_reading()
    most_bytes, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        most_bytes = max(most_bytes, _memory_bytes(pid))
        await asyncio.sleep(0.1)
    for client in sleepers:
        client.reads_again()
    return max(most_bytes, _memory_bytes(pid))


async def _everybody_is_in(run: Run, tenant: Tenant, load: Load, others: int) -> None:
    """Those who read all the time are there still, and those who woke up are again."""
    wanted, found = len(load.participants) + others, 0
    async with Rest(run.nodes[0].address, tenant.api_key) as rest:
        for _ in range(100):
            found = sum([(await rest.get(f"/v1/rooms/{room}"))["connections"] for room in load.rooms])
            if found == wanted:
                return
            await asyncio.sleep(0.1)
    run.complain("client", f"{found} are in the rooms, not {wanted}")


async def _begin(ending: AsyncExitStack, crowd: Greed) -> None:
    """A crowd that reads, in a process of its own, until the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.greedy", stdin=PIPE, stdout=PIPE
    )
    ending.push_async_callback(process.wait)
    ending.callback(process.kill)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(crowd) + b"\n")
    assert await process.stdout.readline() == b"ready\n"
    process.stdin.write(b"\n")


def _waited_seconds(pids: Sequence[int]) -> float:
    """How long these processes were ready to run and had no core, where Linux tells."""
    told = [Path(f"/proc/{pid}/schedstat") for pid in pids]
    return sum(int(each.read_text().split()[1]) / 1e9 for each in told if each.exists())


def _memory_bytes(pid: int) -> int:
    """What a process has of the machine's memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


ROW = Row(
    name="slow_readers",
    fault="a quarter of 2,000 sockets stop reading for 20 s, in rooms of each policy",
    done_when="the node grows by at most 64 MiB above the sum of the caps; the others' p99 stays ≤ 100 ms",
    full_times=20,
    round_times=5,
    short_times=1,
    run=run,
)
