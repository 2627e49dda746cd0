import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from service.brokers import heads, redis
from service.brokers.keys import Keyspace
from service.brokers.resp import bulk
from service.protocol.identifiers import Position
from tests.brokers.conftest import Node, Room, Server, channels_of, eventually

pytestmark = pytest.mark.anyio


async def eventually_told(rooms: Sequence[Room]) -> None:
    async def are_told() -> bool:
        return all(room.heads for room in rooms)

    await eventually(are_told)


@pytest.fixture(autouse=True)
def _many_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round in 0.08 s."""
    monkeypatch.setattr(redis, "LOOK_SECONDS", 0.08)
    monkeypatch.setattr(redis, "PROBE_SECONDS", 0.02)


async def test_an_open_room_is_told_where_it_stands_after_its_messages(a: Node, b: Node) -> None:
    address, room, other = a.address("T1", "chat"), Room(), Room()
    await asyncio.gather(a.subscribe(address, room), a.subscribe(a.address("T2", "chat"), other))
    (first, *_) = await asyncio.gather(b.publish(address), b.publish(address), b.publish(b.address("T1", "closed")))
    await room.until(lambda: room.heads)
    assert room.heads[-1] == Position(first.epoch, room.messages[-1].offset)
    await room.until(lambda: room.heads[-1].offset == 2)
    assert not other.heads


async def test_a_head_is_told_though_the_messages_announcement_was_lost(a: Node, b: Node) -> None:
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    channels = channels_of(a)
    hear = channels.hear
    channels.hear = lambda channel, payload: None if channel == address.keys.channel else hear(channel, payload)  # type: ignore[method-assign]
    published = await b.publish(address)
    await room.until(lambda: published.position in room.heads)
    assert not room.messages


async def test_a_history_that_is_forgotten_shows_by_the_rooms_head(a: Node, b: Node) -> None:
    address, room = a.address("T1", "chat"), Room()
    await b.publish(address)
    await a.subscribe(address, room)
    head = await b.forget_history(address)
    await room.until(lambda: head in room.heads)


async def test_more_changed_rooms_than_one_look_takes_are_told_by_the_next_ones(
    a: Node, b: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "MAX_CHANGED", bulk(b"3"))
    every = [a.address("T1", f"room-{number}") for number in range(2_000)]
    mine = [address for address in every if address.partition == every[0].partition]
    rooms = [Room() for _ in mine]
    await asyncio.gather(*[a.subscribe(address, room) for address, room in zip(mine, rooms, strict=True)])
    assert len(mine) > 3
    for address in mine:
        await b.publish(address)
        await asyncio.sleep(0.11)  # Redis' clock in tenths of a second
    await eventually_told(rooms)


async def test_what_changed_is_forgotten_after_ten_seconds_and_the_set_goes_by_itself(a: Node, server: Server) -> None:
    address = a.address("T1", "chat")
    await a.publish(address)
    changed = Keyspace.changed(address.partition)
    kept: Any = server.client.zrange(changed, 0, -1, withscores=True)
    ((name, tenths),) = kept
    assert name == b"T1/chat"
    now: Any = server.client.time()
    assert abs(tenths / 10 - now[0]) < 2
    assert 50 < int(server.client.ttl(changed)) <= 60
    server.client.zadd(changed, {"T1/old": tenths - 150, "T1/chat": tenths - 150})
    await a.publish(address)  # it was there already: nothing is dropped on the busy path
    assert server.client.zcard(changed) == 2
    other = next(
        each
        for each in (a.address("T1", f"room-{number}") for number in range(10_000))
        if each.partition == address.partition
    )
    await a.publish(other)
    assert set(server.client.zrange(changed, 0, -1)) == {b"T1/chat", f"T1/{other.room}".encode()}

    async def is_dropped() -> bool:
        return server.client.zscore(changed, "T1/old") is None

    server.client.zadd(changed, {"T1/old": tenths - 150})
    await a.subscribe(address, Room())
    await eventually(is_dropped)


async def test_only_partitions_with_open_rooms_are_looked_at(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, looked_at = heads.Heads(a._link, channels_of(a)), []
    monkeypatch.setattr(looks, "_looked", lambda partition, reply: looked_at.append(partition))
    addresses = [a.address("T1", f"room-{number}") for number in range(5)]
    await asyncio.gather(*[a.subscribe(address, Room()) for address in addresses])
    for _ in range(heads.TURNS):
        looks.look()
    await a.counts("T1")  # what was asked before is answered
    assert sorted(looked_at) == sorted(address.partition for address in addresses)
    for address in addresses:
        a.unsubscribe(address)
    looked_at.clear()
    for _ in range(heads.TURNS):
        looks.look()
    await a.counts("T1")
    assert not looked_at


async def test_when_nobody_could_look_for_too_long_all_rooms_are_read(
    a: Node, b: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "KEPT_SECONDS", 0.3)
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    await b.publish(address)
    await room.until(lambda: room.heads)
    send = a._link.send
    monkeypatch.setattr(a._link, "send", lambda packed, done: None if b"changed" in packed else send(packed, done))
    await room.until(lambda: room.interruptions == 1)
    await a.listener.until_heard("back")
