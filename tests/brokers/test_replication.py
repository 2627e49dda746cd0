"""Rooms whose messages count only when all replicas have them, on a real primary with real replicas."""

import asyncio
import random
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.brokers import replication
from service.brokers.broker import Publication, Retention
from service.protocol.errors import Unavailable
from tests.brokers.conftest import Node, Nodes, Room, Server, eventually

pytestmark = pytest.mark.anyio

REPLICATED = Retention(5_000, 300, None, is_replicated=True)
STORED = Retention(5_000, 300)
KEY = ("alice", "k")


class Group:
    """A primary with two replicas. A new replica confirms nothing for a second, so all tests share them."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = str(free.getsockname()[1])
        self._folder = folder
        self._options = ("--repl-diskless-sync-delay", "0")
        self.primary = self._start("primary", "--port", self._port)
        self.replicas = [self._start_replica(number) for number in range(2)]

    def _start(self, name: str, *options: str) -> Server:
        (self._folder / name).mkdir(exist_ok=True)
        server = Server(self._folder / name, *self._options, *options)
        server.start()
        return server

    def _start_replica(self, number: int) -> Server:
        return self._start(f"replica-{number}", "--replicaof", "127.0.0.1", self._port)

    def replace(self, number: int) -> None:
        """Another replica in the place of one that was killed."""
        self.replicas[number] = self._start_replica(number)

    def get_in_sync(self) -> None:
        """Back when all replicas confirm."""
        deadline = time.monotonic() + 10
        while not self.primary.client.set("any", 1) or self.primary.client.wait(2, 1_000) < 2:
            assert time.monotonic() < deadline

    def stop(self) -> None:
        for server in (self.primary, *self.replicas):
            server.kill()


@pytest.fixture(scope="module")
def shared() -> Iterator[Group]:
    with tempfile.TemporaryDirectory(prefix="rc", dir="/tmp") as folder:
        group = Group(Path(folder))
        yield group
        group.stop()


@pytest.fixture
def group(shared: Group) -> Iterator[Group]:
    """Empty and in sync."""
    shared.primary.client.flushall()
    shared.get_in_sync()
    yield shared
    for server in (shared.primary, *shared.replicas):
        server.signal(signal.SIGCONT)


@pytest.fixture
async def a(group: Group, nodes: Nodes) -> Node:
    return await nodes.start(group.primary.url, "node-a", redis_restart="trust")


async def refused(a: Node, *, key: tuple[str, str] | None = KEY) -> Unavailable:
    """Why a publish was refused, within its deadline."""
    began = time.monotonic()
    with pytest.raises(Unavailable) as refusal:
        await a.publish(a.address("T1", "chat"), keep=REPLICATED, key=key)
    assert time.monotonic() - began < 1.5
    assert refusal.value.retry_after_ms
    return refusal.value


async def test_what_is_acknowledged_is_on_every_replica(a: Node, group: Group) -> None:
    address = a.address("T1", "chat")
    for number in range(1, 6):
        assert (await a.publish(address, keep=REPLICATED)).offset == number
        assert [replica.client.xlen(address.keys.key(b"s")) for replica in group.replicas] == [number, number]


async def test_rooms_of_other_types_wait_for_no_replica(a: Node, group: Group) -> None:
    for replica in group.replicas:
        replica.signal(signal.SIGSTOP)
    slow = asyncio.ensure_future(a.publishing(a.address("T1", "chat"), keep=REPLICATED))
    assert (await a.publish(a.address("T1", "news"), keep=STORED)).offset == 1
    assert not slow.done()
    with pytest.raises(Unavailable):
        await slow


async def test_with_a_frozen_replica_the_outcome_is_unknown_and_a_retry_with_the_key_is_the_same_message(
    a: Node, group: Group, nodes: Nodes
) -> None:
    b = await nodes.start(group.primary.url, "node-b")
    address = a.address("T1", "chat")
    assert (await a.publish(address, b"1", keep=REPLICATED)).offset == 1
    group.replicas[1].signal(signal.SIGSTOP)
    assert "unknown" in (await refused(a)).message
    assert "unknown" in (await refused(b)).message, "what the first one wrote is on no more replicas now"
    group.replicas[1].signal(signal.SIGCONT)
    again = await b.publish(address, keep=REPLICATED, key=KEY)
    assert (again.duplicate, again.offset) == (True, 2)
    assert [message.offset for message in (await a.history(address)).messages] == [1, 2]
    assert group.replicas[1].client.xlen(address.keys.key(b"s")) == 2
    assert not (await a.publish(address, keep=REPLICATED)).duplicate


async def test_with_a_killed_replica_nothing_is_acknowledged_until_another_is_there(a: Node, group: Group) -> None:
    await a.publish(a.address("T1", "chat"), keep=REPLICATED)
    group.replicas[0].kill()
    assert "unknown" in (await refused(a)).message
    group.replace(0)
    group.get_in_sync()
    again = await a.publish(a.address("T1", "chat"), keep=REPLICATED, key=KEY)
    assert (again.duplicate, again.offset) == (True, 2)


async def test_without_any_replica_nothing_is_acknowledged(server: Server, nodes: Nodes) -> None:
    a = await nodes.start(server.url, "node-a")
    assert "unknown" in (await refused(a)).message
    assert (await a.publish(a.address("T1", "chat"), keep=STORED)).offset == 2


async def test_what_comes_during_a_wait_is_sent_with_the_next_one_or_not_at_all(a: Node, group: Group) -> None:
    address = a.address("T1", "chat")
    await a.publish(address, keep=REPLICATED)
    group.replicas[0].signal(signal.SIGSTOP)
    first = asyncio.ensure_future(a.publishing(address, keep=REPLICATED))
    await eventually(lambda: asyncio.sleep(0, group.primary.client.xlen(address.keys.key(b"s")) == 2))
    behind = [asyncio.ensure_future(a.publishing(address, keep=REPLICATED)) for _ in range(3)]
    with pytest.raises(Unavailable, match="unknown"):
        await first
    for refusal in await asyncio.gather(*behind, return_exceptions=True):
        assert isinstance(refusal, Unavailable)
        assert "nothing was stored" in refusal.message
    group.replicas[0].signal(signal.SIGCONT)
    await eventually(lambda: a.publish(address, keep=REPLICATED, key=KEY))
    assert [message.offset for message in (await a.history(address)).messages] == [1, 2, 3]


async def test_the_order_of_a_room_is_that_of_the_calls_whichever_way_they_go(a: Node) -> None:
    """Its type changes back and forth while publishes are under way."""
    source = random.Random(11)
    rooms = {name: Room() for name in ("chat", "news")}
    addresses = {name: a.address("T1", name) for name in rooms}
    await asyncio.gather(*[a.subscribe(addresses[name], room) for name, room in rooms.items()])
    sent: dict[str, list[bytes]] = {name: [] for name in rooms}
    answered: dict[str, list[int]] = {name: [] for name in rooms}
    waiting = []

    async def publish(name: str, number: int, keep: Retention, key: tuple[str, str] | None) -> None:
        publication = await a.publishing(addresses[name], b"%d" % number, keep=keep, key=key)
        answered[name].append(publication.offset)

    keep = STORED
    for number in range(2_000):
        name = source.choice(["chat", "news"])
        if source.random() < 0.05:
            keep = source.choice([STORED, REPLICATED])
        key = ("alice", str(number)) if source.random() < 0.2 else None
        sent[name].append(b"%d" % number)
        waiting.append(asyncio.ensure_future(publish(name, number, keep, key)))
        await asyncio.sleep(0)
        if source.random() < 0.1:
            await waiting[source.randrange(len(waiting))]
    await asyncio.gather(*waiting)
    for name, room in rooms.items():
        await room.until_messages(len(sent[name]))
        assert [message.body for message in room.messages] == sent[name]
        assert answered[name] == list(range(1, len(sent[name]) + 1))
    assert not any(a._replication.rooms.values())
    assert isinstance(a._replication, replication.Replication)
    assert a._replication._held_bytes == 0


async def test_a_connection_that_is_lost_leaves_the_outcome_unknown_and_is_made_anew(a: Node, group: Group) -> None:
    address = a.address("T1", "chat")
    await a.publish(address, keep=REPLICATED)
    group.replicas[0].signal(signal.SIGSTOP)
    waiting = asyncio.ensure_future(a.publishing(address, keep=REPLICATED, key=KEY))
    await eventually(lambda: asyncio.sleep(0, group.primary.client.xlen(address.keys.key(b"s")) == 2))
    a._link.abort()
    with pytest.raises(Unavailable, match="unknown"):
        await waiting
    assert "nothing was stored" in (await refused(a)).message  # the link is not back yet
    group.replicas[0].signal(signal.SIGCONT)
    await a.listener.until_back(1)
    again = await a.publish(address, keep=REPLICATED, key=KEY)
    assert (again.duplicate, again.offset) == (True, 2)


async def test_a_frozen_primary_is_left_in_time(a: Node, group: Group) -> None:
    await a.publish(a.address("T1", "chat"), keep=REPLICATED)
    group.primary.signal(signal.SIGSTOP)
    assert "unknown" in (await refused(a)).message
    group.primary.signal(signal.SIGCONT)
    again = False

    async def publish() -> bool:
        nonlocal again
        again = (await a.publish(a.address("T1", "chat"), keep=REPLICATED, key=KEY)).duplicate
        return True

    await eventually(publish)
    assert again
    assert len((await a.history(a.address("T1", "chat"))).messages) == 2


async def test_too_much_behind_one_wait_is_refused(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "MAX_HELD_BYTES", 100_000)
    address = a.address("T1", "chat")
    await a.publish(address, keep=REPLICATED)
    answers = await asyncio.gather(
        *[a.publishing(address, b"%50000d" % number, keep=REPLICATED) for number in range(10)], return_exceptions=True
    )
    stored = [answer for answer in answers if isinstance(answer, Publication)]
    assert [answer.offset for answer in stored] == list(range(2, len(stored) + 2))
    assert 2 <= len(stored) < 10
    assert all("nothing was stored" in answer.message for answer in answers if isinstance(answer, Unavailable))


async def test_rooms_that_were_replicated_once_are_forgotten(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "MAX_KNOWN_ROOMS", 10)
    await asyncio.gather(*[a.publish(a.address("T1", f"room-{number}"), keep=REPLICATED) for number in range(50)])
    assert (await a.publish(a.address("T1", "another"), keep=REPLICATED)).offset == 1
    assert len(a._replication.rooms) <= 11


async def test_one_that_is_acknowledged_late_does_not_hide_a_later_one_of_its_partition(a: Node) -> None:
    await a.publish(a.address("T1", "chat"), keep=STORED)
    (partition,) = [place for place, last in enumerate(a._link.publishes.latest) if last is not None]
    later = a._link.publishes.latest[partition]
    await a.publish(a.address("T1", "chat"), keep=REPLICATED)
    assert a._link.publishes.latest[partition] is later
    assert a._link.publishes.replicated[partition] is not None
