"""Real rooms on a real Valkey whose announcements don't all arrive."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, cast

import pytest

from service.brokers import probe
from service.brokers.broker import ConnectionEntry, Origin, Retention, RoomAddress
from service.brokers.redis import RedisConnectionManager
from service.brokers.resp import pack
from service.protocol.identifiers import Position
from service.rooms import node as rooms_node
from service.rooms.connection import Connection
from service.rooms.connection_manager import ConnectionManager
from service.tenants.cache import TenantCache
from service.tenants.room_types import RoomType
from tests.brokers.conftest import KEEP, Node, Server, channels_of, eventually, listening
from tests.rooms.simulated_broker import Changes, ear, tenant
from tests.rooms.surroundings import Ear

pytestmark = pytest.mark.anyio
TAIL_SECONDS = 2.0  # in which a lost last message is there (RELIABILITY.md)


class HearingNode(rooms_node.Node):
    """A node with rooms. loses: which payloads of its subscription are lost. reads: rooms whose history it read."""

    def __init__(self, broker: RedisConnectionManager) -> None:
        super().__init__(broker.node, broker, cast(TenantCache, Changes()))
        self.loses: Callable[[bytes, bytes], bool] = lambda channel, payload: False
        self.reads: list[str] = []
        self.channels = channels_of(broker)
        hear, read_history = self.channels.hear, broker.read_history

        def hear_some(channel: bytes, payload: bytes) -> None:
            if not self.loses(channel, payload):
                hear(channel, payload)

        def count_reads(address: RoomAddress, **bounds: Any) -> Any:
            self.reads.append(address.room)
            return read_history(address, **bounds)

        self.channels.hear = hear_some  # type: ignore[method-assign]
        broker.read_history = count_reads  # type: ignore[method-assign]

    @property
    def tenant_manager(self) -> ConnectionManager:
        return self.manager(tenant(unkept=RoomType(pattern="unkept", history_messages=0)))

    async def joins(self, name: str, *rooms: str) -> Ear:
        connection = Connection(Ear(), self._entry(name), max_held_bytes=100_000)
        await self.tenant_manager.reserve(self._entry(name))
        self.tenant_manager.connect(connection)
        for room in rooms:
            await self.tenant_manager.join_room(connection, room, None, lambda joined, gap: None)
        return ear(connection)

    def _entry(self, name: str) -> ConnectionEntry:
        return ConnectionEntry(name, name, self.name, 0, "")


@pytest.fixture
async def node(server: Server) -> AsyncIterator[HearingNode]:
    broker = RedisConnectionManager(server.url, "node-r", database_id="database-1", sweep_delay_seconds=0.0)
    node = HearingNode(broker)
    broker.listener = node
    await broker.start()
    async with listening(cast(Node, broker)):
        ticks = asyncio.create_task(node.keep_rooms())
        yield node
        ticks.cancel()
        await node.stop()


async def publish(a: Node, room: str, count: int, keep: Retention = KEEP) -> None:
    address = a.address("t1", room)
    await asyncio.gather(*[a.publishing(address, b'"data":%d,"from":null' % n, keep=keep) for n in range(1, count + 1)])


async def hear(ears: list[Ear], count: int, seconds: float = TAIL_SECONDS + 0.5) -> None:
    async def have_all() -> bool:
        return all(len(each.offsets) >= count for each in ears)

    await eventually(have_all, seconds)
    assert [each.offsets for each in ears] == [list(range(1, count + 1))] * len(ears)


async def test_a_lost_last_message_comes_within_two_seconds_by_one_read(node: HearingNode, a: Node) -> None:
    ears = [await node.joins(f"user-{number}", "chat") for number in range(20)]
    await publish(a, "chat", 3)
    await hear(ears, 3)
    node.loses = lambda channel, payload: payload.startswith(b"1 m ")
    begun = asyncio.get_running_loop().time()
    await a.publish(a.address("t1", "chat"), b'"data":4,"from":null')
    await hear(ears, 4)
    assert asyncio.get_running_loop().time() - begun < TAIL_SECONDS
    assert node.reads == ["chat"]


async def test_a_jump_is_repaired_at_once_by_one_read_however_many_wait(node: HearingNode, a: Node) -> None:
    ears = [await node.joins(f"user-{number}", "chat") for number in range(20)]
    lost = iter([True])
    node.loses = lambda channel, payload: payload.startswith(b"1 m ") and next(lost, False)
    begun = asyncio.get_running_loop().time()
    await publish(a, "chat", 1)
    await publish(a, "chat", 1)
    await hear(ears, 2)
    assert asyncio.get_running_loop().time() - begun < 0.5
    assert node.reads == ["chat"]


async def test_of_one_announcement_in_twenty_that_is_lost_nothing_is_missing(node: HearingNode, a: Node) -> None:
    source = random.Random(11)
    rooms = [f"room-{number}" for number in range(10)]
    ears = {room: await node.joins(f"user-{room}", room) for room in rooms}
    node.loses = lambda channel, payload: source.random() < 0.05
    for number in range(1, 41):
        await asyncio.gather(*[a.publish(a.address("t1", room), b'"data":%d,"from":null' % number) for room in rooms])
    await hear(list(ears.values()), 40)
    assert not [event for each in ears.values() for event in each.events if event["type"] == "gap"]


async def test_what_a_room_that_keeps_nothing_lost_is_told_as_a_gap(node: HearingNode, a: Node) -> None:
    alice = await node.joins("alice", "unkept")
    keep = Retention(0, 300)
    await publish(a, "unkept", 1, keep)

    async def has_heard() -> bool:
        return len(alice.events) == 1

    await eventually(has_heard)
    node.loses = lambda channel, payload: payload.startswith(b"1 m ")
    await publish(a, "unkept", 1, keep)

    async def is_told() -> bool:
        return bool(alice.events[-1]["type"] == "gap")

    await eventually(is_told, TAIL_SECONDS + 0.5)
    assert (alice.events[-1]["reason"], alice.events[-1].get("from"), len(alice.events)) == ("unstored", None, 2)


async def test_an_epoch_whose_end_was_not_heard_is_told(node: HearingNode, a: Node) -> None:
    alice = await node.joins("alice", "chat")
    await publish(a, "chat", 2)
    await hear([alice], 2)
    node.loses = lambda channel, payload: payload.startswith(b"1 e ")
    head = await a.forget_history(a.address("t1", "chat"))

    async def is_told() -> bool:
        return bool(alice.events[-1]["type"] == "gap")

    await eventually(is_told, TAIL_SECONDS + 0.5)
    assert (alice.events[-1]["reason"], alice.events[-1]["to"]) == ("epoch", str(head))


async def test_a_second_confirmation_of_a_subscription_is_repaired_by_one_read(node: HearingNode, a: Node) -> None:
    ears = [await node.joins(f"user-{number}", "chat") for number in range(5)]
    await publish(a, "chat", 1)
    await hear(ears, 1)
    connection = node.channels._connection
    assert connection is not None
    node.loses = lambda channel, payload: payload.startswith(b"1 m ")
    await publish(a, "chat", 1)
    connection.write(pack("SUBSCRIBE", a.address("t1", "chat").keys.channel), 1)  # as if something between came back
    await hear(ears, 2, 0.5)
    assert node.reads == ["chat"]


async def test_all_rooms_of_a_subscription_that_went_deaf_are_repaired_by_one_read_each(
    node: HearingNode, a: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "SILENT_PROBES", 4)
    rooms = [f"room-{number}" for number in range(30)]
    ears = [await node.joins(f"user-{number}", *rooms) for number in range(3)]
    connection = node.channels._connection
    assert connection is not None
    connection.write(pack("UNSUBSCRIBE"), 32)
    await asyncio.gather(*[publish(a, room, 2) for room in rooms])

    async def have_all() -> bool:
        return all(len(each.offsets) == 60 for each in ears)

    await eventually(have_all)
    assert sorted(node.reads) == sorted(rooms)
    assert all(sorted(each.offsets) == [1] * 30 + [2] * 30 for each in ears)


async def test_a_head_of_which_all_has_come_reads_nothing(node: HearingNode, a: Node) -> None:
    alice = await node.joins("alice", "chat")
    await publish(a, "chat", 50)
    await hear([alice], 50)
    heads: list[Position] = []
    tell_heads = node.channels.tell_heads

    async def is_looked_at() -> bool:
        return bool(heads)

    def note(told: Iterable[tuple[bytes, bytes, int]]) -> None:
        heads.extend(Position(epoch.decode(), offset) for _, epoch, offset in told)
        tell_heads(told)

    node.channels.tell_heads = note  # type: ignore[method-assign,assignment]
    await a.signal_room(a.address("t1", "chat"), b'"data":1', Origin())
    await eventually(is_looked_at)
    assert heads[-1].offset == 50
    assert node.reads == []
