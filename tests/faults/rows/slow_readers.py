"""A quarter of all sockets stop reading for a while, in rooms of each policy for the slow, and read again."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple

import httpx
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
PAGE_MESSAGES: Final = 50  # of 8,000 bytes; a page of history ends at 512 KiB, and the load reads one
SPOKEN_PER_SECOND: Final = 15.0  # by publishers who are in the rooms, and wait for each answer
TIMED_PER_SECOND: Final = 20.0  # by those whose messages are timed
EARS: Final = 3  # of each room, which time what comes
CHECKED: Final = 100  # of those that stop, whose log the checker judges; the others only stop
MAX_GROWTH_BYTES: Final = 64 * 1024 * 1024
MAX_P99_SECONDS: Final = 0.1
MAX_WAITED_PART: Final = 0.2  # of the time, in which node or harness had no core: above it p99 says nothing of them
PATIENCE_SECONDS: Final = 30.0
MIB: Final = 2**20


class Timed:
    """Steady messages in each room, and how long they take to some who read; not of the others' number."""

    def __init__(self, address: str, tenant: Tenant, rooms: list[str], payload_bytes: int) -> None:
        self.taken_seconds: list[float] = []
        self._padding = "." * payload_bytes
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
            data = {"key": key, "padding": self._padding}
            room = self._rooms[number % len(self._rooms)]
            await mouth.sends("publish", room=room, data=data, name=f"n{number % 7}")

    async def _listen(self, ear: Client) -> None:
        while True:
            event = await ear.next(60)
            if isinstance(event, Message):
                sent_at = self._sent_at.get(ear.value(event.data)["key"])
                if sent_at is not None:
                    self.taken_seconds.append(time.perf_counter() - sent_at)


class Found(NamedTuple):
    """What one stall came to. waited_part: of its time, in which node or harness were ready to run without a core."""

    growth_bytes: int
    taken_seconds: list[float]
    waited_part: float


async def run(run: Run) -> Outcome:
    """Stall a quarter, let them wake up; in between the node's memory and the others' waiting are bounded."""
    sockets = 400 if run.is_short else 2_000
    # What the kernel holds for a socket, 200 KB, and its outbox are full after half of the time.
    stall_seconds, payload_bytes = (5.0, 8_000) if run.is_short else (20.0, 3_000)
    valkey = run.start_valkey(loses_nothing=False)
    valkey.client.config_set("appendfsync", "no")  # what is measured here is not the disk
    # Nobody is asked for a pong: who does not read does not answer, and would be closed for that.
    [node] = await run.start_nodes(1, valkey.url, outbox_max_bytes=OUTBOX_BYTES, ping_interval_seconds=3_600)
    [tenant] = await run.make_tenants(1)
    for number, policy in enumerate(POLICIES):
        rules = {"slow_consumer": policy, "history_messages": KEPT_MESSAGES, "presence_grace_seconds": 0}
        await tenant.room_type(policy, pattern=f"room-{number}", **rules)
    load = run.load(
        rooms=len(POLICIES),
        publishers_per_room=1,
        subscribers=CHECKED,
        rooms_per_subscriber=1,
        watchers=0,
        messages_per_second=SPOKEN_PER_SECOND,
        payload_bytes=payload_bytes,
    )
    found: list[Found] = []
    async with load, AsyncExitStack() as others:
        timed = await others.enter_async_context(Timed(node.address, tenant, load.rooms, payload_bytes))
        sleepers = sockets // 4 - CHECKED
        readers = sockets - sleepers - len(load.participants) - EARS * len(POLICIES)
        greed = Greed(port=node.port, token=tenant.token("crowd"), api_key="")
        await _begin(others, greed, load.rooms, readers)
        await asyncio.sleep(1)
        for _ in range(run.times):
            async with AsyncExitStack() as stall:
                asleep = await _begin(stall, greed, load.rooms, sleepers)
                found.append(await _stall(load, asleep, node.pid, stall_seconds, timed))
                await asyncio.sleep(run.chance.uniform(1, 2))
        await _everybody_is_in(run, tenant, load, len(POLICIES) * (readers // len(POLICIES) + EARS))
    return _judge(run, load, found, caps_bytes=sockets // 4 * OUTBOX_BYTES)


def _judge(run: Run, load: Load, found: list[Found], caps_bytes: int) -> Outcome:
    growth_bytes, waited_part = max(each.growth_bytes for each in found), max(each.waited_part for each in found)
    taken_seconds = sorted(seconds for each in found for seconds in each.taken_seconds)
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


async def _stall(load: Load, asleep: Sequence[Process], node: int, seconds: float, timed: Timed) -> Found:
    """Subscribers and those crowds do not read for so long. node: its process id."""
    clients = [each.client for each in load.subscribers if each.client is not None]
    before_bytes, first, pids = _memory_bytes(node), len(timed.taken_seconds), (node, os.getpid())
    waited_seconds, began = _waited_seconds(pids), time.monotonic()
    for client in clients:
        client.stops_reading()
    for crowd in asleep:
        crowd.send_signal(signal.SIGSTOP)
    most_bytes = 0
    while time.monotonic() < began + seconds:
        most_bytes = max(most_bytes, _memory_bytes(node))
        await asyncio.sleep(0.1)
    waited_part = (_waited_seconds(pids) - waited_seconds) / (time.monotonic() - began)
    for client in clients:
        client.reads_again()
    for crowd in asleep:
        crowd.send_signal(signal.SIGCONT)
    return Found(most_bytes - before_bytes, timed.taken_seconds[first:], waited_part)


async def _everybody_is_in(run: Run, tenant: Tenant, load: Load, others: int) -> None:
    """Those who read all the time are there still, and those who woke up are again."""
    wanted, found = len(load.participants) + others, 0
    until = time.monotonic() + PATIENCE_SECONDS
    async with Rest(run.nodes[0].address, tenant.api_key) as rest:
        while found != wanted and time.monotonic() < until:
            await asyncio.sleep(0.1)
            with suppress(httpx.HTTPError):  # whoever wakes up has much to read, and this process reads it all
                answers = [await rest.ask("GET", f"/v1/rooms/{room}") for room in load.rooms]
                found = sum(answer.json().get("connections", 0) for answer in answers)
    if found != wanted:
        run.complain("client", f"{found} are in the rooms, not {wanted}")


async def _begin(ending: AsyncExitStack, greed: Greed, rooms: Sequence[str], sockets: int) -> list[Process]:
    """Crowds that read, one in each room, in processes of their own until the end."""
    crowds = []
    for room in rooms if sockets else ():
        crowd = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.greedy", stdin=PIPE, stdout=PIPE
        )
        ending.push_async_callback(crowd.wait)
        ending.callback(crowd.kill)
        assert crowd.stdin is not None
        members = sockets // len(rooms)
        crowd.stdin.write(msgspec.json.encode(msgspec.structs.replace(greed, room=room, members=members)) + b"\n")
        crowds.append(crowd)
    for crowd in crowds:
        assert crowd.stdin is not None
        assert crowd.stdout is not None
        assert await crowd.stdout.readline() == b"ready\n"
        crowd.stdin.write(b"\n")
    return crowds


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
