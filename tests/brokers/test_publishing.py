"""Publishes of one loop turn: together to Redis, each answered by itself, in their order."""

import asyncio
import random
from itertools import groupby

import pytest

from service.brokers import publishing
from service.brokers.broker import Origin, Publication, Retention
from service.protocol.errors import RoomcastError, Unavailable
from tests.brokers.conftest import KEEP, SERVER, Node, Room, Server

pytestmark = pytest.mark.anyio


def calls(server: Server) -> int:
    """How often the script was called."""
    return int(server.client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


async def test_what_one_turn_publishes_to_a_room_is_one_call_and_one_announcement(a: Node, server: Server) -> None:
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    before, turns = calls(server), a.listener.turns
    bodies = [b'"data":"%b"' % (b"x" * size) for size in (0, 1, 1_000, 0, 7)]
    answers = await asyncio.gather(
        *[a.publishing(address, body, origin=Origin(f"connection-{n}", n, n % 2 == 1)) for n, body in enumerate(bodies)]
    )
    assert calls(server) == before + 1
    assert [answer.offset for answer in answers] == [1, 2, 3, 4, 5]
    await room.until_messages(5)
    assert a.listener.turns == turns + 1
    assert [message.body for message in room.messages] == bodies
    assert [message.origin.reference for message in room.messages] == [0, 1, 2, 3, 4]
    assert list((await a.history(address)).messages) == room.messages


async def test_a_batch_ends_at_its_messages_and_at_its_bytes(a: Node, server: Server) -> None:
    address, before = a.address("T1", "chat"), calls(server)
    most = publishing.MAX_BATCH_MESSAGES
    answers = await asyncio.gather(*[a.publishing(address) for _ in range(2 * most + 1)])
    assert [answer.offset for answer in answers] == list(range(1, 2 * most + 2))
    assert calls(server) == before + 3
    large = b"x" * publishing.MAX_BATCH_BYTES
    await asyncio.gather(*[a.publishing(address, large) for _ in range(3)])
    assert calls(server) == before + 6


async def test_every_mixture_keeps_the_order_of_each_room(a: Node, b: Node) -> None:
    """Rooms, keys and retentions as they come: what Redis has is what each node said, in its order."""
    source = random.Random(7)
    names = ("chat", "news", "unkept")
    rooms = {name: Room() for name in names}
    await asyncio.gather(*[b.subscribe(b.address("T1", name), room) for name, room in rooms.items()])
    addresses = {name: a.address("T1", name) for name in names}
    sent: list[tuple[str, bytes]] = []
    waiting = []
    for number in range(2_000):
        name = source.choice(names)
        keep = Retention(0, 1) if name == "unkept" else source.choice([Retention(5_000, 300), Retention(6_000, 300)])
        key = ("alice", str(number)) if source.random() < 0.1 else None
        sent.append((name, b"%d" % number))
        waiting.append(a.publishing(addresses[name], b"%d" % number, keep=keep, key=key))
        if source.random() < 0.02:
            await asyncio.sleep(0)
    answers = await asyncio.gather(*waiting)
    for name, room in rooms.items():
        mine = [body for where, body in sent if where == name]
        await room.until_messages(len(mine))
        assert [message.body for message in room.messages] == mine
        told = [answer.offset for (where, _), answer in zip(sent, answers, strict=True) if where == name]
        assert told == list(range(1, len(mine) + 1)) == [message.offset for message in room.messages]
        kept = [message.body for message in (await a.history(addresses[name], limit=5_000)).messages]
        assert kept == ([] if name == "unkept" else mine)


async def test_who_is_not_in_the_room_keeps_its_order_with_and_without_keys(a: Node) -> None:
    """Nobody here has the room open, so each publish comes with an address of its own."""
    bodies = [b"%d" % number for number in range(6)]
    keys = [None, ("alice", "1"), None, None, ("alice", "2"), None]
    waiting = [a.publishing(a.address("T1", "chat"), body, key=key) for body, key in zip(bodies, keys, strict=True)]
    assert [answer.offset for answer in await asyncio.gather(*waiting)] == [1, 2, 3, 4, 5, 6]
    assert [message.body for message in (await a.history(a.address("T1", "chat"))).messages] == bodies


async def test_what_is_asked_after_a_publish_finds_it(a: Node) -> None:
    address = a.address("T1", "chat")
    published = a.publishing(address)
    history = await a.history(address)
    assert [message.offset for message in history.messages] == [1]
    head = asyncio.ensure_future(a.join(address, "connection-1", "alice", None))
    assert (await head).position.offset == (await published).offset == 1


async def test_a_batch_is_refused_whole_and_each_of_it_is_told(a: Node, server: Server) -> None:
    address = a.address("T1", "chat")
    await a.publish(address)
    server.client.config_set("maxmemory", 1)
    waiting = [a.publishing(address) for _ in range(10)]
    for refused in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(refused, Unavailable)
        assert "nothing was stored" in refused.message
    server.client.config_set("maxmemory", 0)
    assert (await a.publish(address)).offset == 2


async def test_a_batch_behind_its_own_stream_begins_one_new_epoch(a: Node, server: Server) -> None:
    address = a.address("T1", "chat")
    old = await a.publish(address)
    await a.publish(address)
    server.client.hset(address.keys.key(b"m"), "o", 0)
    answers = await asyncio.gather(*[a.publishing(address, b"%d" % number) for number in range(3)])
    assert [epoch for epoch, _ in groupby(answer.epoch for answer in answers)] == [answers[0].epoch] != [old.epoch]
    assert [answer.offset for answer in answers] == [1, 2, 3]
    assert [message.body for message in (await a.history(address)).messages] == [b"0", b"1", b"2"]


async def test_one_answer_that_cannot_be_handled_keeps_none_from_the_others(a: Node) -> None:
    address = a.address("T1", "chat")
    answered: list[Publication | RoomcastError] = []

    def fail(_result: Publication | RoomcastError) -> None:
        raise RuntimeError("a bug")

    a.broadcast_to_room(address, b"1", SERVER, KEEP, fail)
    a.broadcast_to_room(address, b"2", SERVER, KEEP, answered.append)
    await a.publish(address)
    assert [isinstance(answer, Publication) and answer.offset for answer in answered] == [2]


async def test_gathered_publishes_are_refused_when_the_connection_goes_in_their_turn(a: Node) -> None:
    address = a.address("T1", "chat")
    waiting = [a.publishing(address) for _ in range(3)]
    a._link.abort()
    for refused in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(refused, Unavailable)
    await a.listener.until_back(1)
    again = await a.publish(address)
    assert again.offset in (1, 4)  # the write may have left before the end


async def test_more_messages_than_redis_can_take_in_time_are_refused(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "MAX_PUBLISHES_IN_FLIGHT", 3)
    address = a.address("T1", "chat")
    answers = await asyncio.gather(*[a.publishing(address) for _ in range(5)], return_exceptions=True)
    assert [isinstance(answer, Publication) for answer in answers] == [True, True, True, False, False]
    assert isinstance(answers[4], Unavailable)
    assert answers[4].retry_after_ms
    assert (await a.publish(address)).offset == 4
