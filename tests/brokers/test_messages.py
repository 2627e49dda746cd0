import asyncio
import random

import pytest

from service import telemetry
from service.brokers.broker import Origin, Retention
from service.protocol.errors import Unavailable
from tests.brokers.conftest import Node, Room, Server

pytestmark = pytest.mark.anyio
POISON = b'"data":"' + bytes(range(256)) + b'\n\r\n 1 m [9]\n"'


async def test_a_message_arrives_on_every_node_as_it_was_sent(a: Node, b: Node) -> None:
    address = a.address("T1", "chat")
    here, there = Room(), Room()
    await asyncio.gather(a.subscribe(address, here), b.subscribe(b.address("T1", "chat"), there))
    origin = Origin("connection-1234567", 7, True, ("excluded-connection", "another-connection"))
    published = await a.publish(address, POISON, origin=origin)
    assert (published.position.offset, published.stored, published.duplicate, published.members) == (1, True, False, 0)
    for room in (here, there):
        await room.until_messages(1)
        (envelope,) = room.messages
        assert (envelope.epoch, envelope.offset, envelope.stored) == (published.epoch, 1, True)
        assert envelope.origin == origin
        assert envelope.body == POISON
    history = await b.history(address)
    assert list(history.messages) == here.messages
    assert a.listener.turns > 0


async def test_a_servers_message_has_an_empty_origin(a: Node) -> None:
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    await a.publish(address, b"")
    await room.until(lambda: room.messages)
    assert room.messages[0].origin == Origin()
    assert room.messages[0].body == b""


async def test_a_thousand_pipelined_publishes_keep_their_order_and_their_answers(a: Node, b: Node) -> None:
    address, room = a.address("T1", "chat"), Room()
    await b.subscribe(b.address("T1", "chat"), room)
    answered: list[int] = []
    waiting = []
    for number in range(1_000):
        publishing = asyncio.ensure_future(a.publishing(address, b"%d" % number, keep=Retention(1_000, 60)))
        publishing.add_done_callback(lambda future: answered.append(future.result().position.offset))
        waiting.append(publishing)
    await asyncio.gather(*waiting)
    assert answered == list(range(1, 1_001))
    await room.until(lambda: len(room.messages) == 1_000)
    assert [(m.offset, m.body) for m in room.messages] == [(n + 1, b"%d" % n) for n in range(1_000)]


async def test_a_known_key_answers_the_first_position_from_any_node_and_announces_nothing(a: Node, b: Node) -> None:
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    counted = telemetry.counters.messages_published
    first = await a.publish(address, b"1", key=("alice", "k/1"))
    again = await b.publish(address, b"1", key=("alice", "k/1"))
    assert again.position == first.position
    assert again.duplicate
    assert again.stored
    assert telemetry.counters.messages_published == counted + 1
    others = [("", "k/1"), ("alice", "k"), ("alic", "e/k/1"), ("bob", "k/1")]
    for number, key in enumerate(others):
        other = await b.publish(address, b"1", key=key)
        assert (other.duplicate, other.position.offset) == (False, 2 + number)
    assert not (await b.publish(b.address("T1", "chat2"), b"1", key=("alice", "k/1"))).duplicate
    await room.until(lambda: len(room.messages) == 1 + len(others))


async def test_a_key_is_known_even_when_its_message_is_gone(a: Node, server: Server) -> None:
    address = a.address("T1", "chat")
    first = await a.publish(address, key=("alice", "k"))
    server.client.delete(address.keys.key(b"s"))
    again = await a.publish(address, key=("alice", "k"))
    assert (again.position, again.duplicate) == (first.position, True)


async def test_signals_arrive_and_are_not_kept(a: Node, b: Node) -> None:
    address, room = a.address("T1", "chat"), Room()
    await b.subscribe(address, room)
    await a.signal_room(address, POISON, Origin("connection-1234567", 3, False, ()))
    await room.until(lambda: room.signals)
    assert room.signals == [(Origin("connection-1234567", 3, False, ()), POISON)]
    assert not (await a.history(address)).messages


async def test_a_room_that_keeps_nothing_still_counts(a: Node) -> None:
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    kept = await a.publish(address)
    unkept = [await a.publish(address, keep=Retention(0, 300)) for _ in range(2)]
    assert [p.position.offset for p in unkept] == [2, 3]
    assert not any(p.stored for p in unkept)
    history = await a.history(address)
    assert (history.head, history.first, list(history.messages)) == (unkept[-1].position, 4, [])
    await room.until(lambda: len(room.messages) == 3)
    assert [m.stored for m in room.messages] == [True, False, False]
    assert (await a.publish(address)).position.epoch == kept.position.epoch
    assert [m.offset for m in (await a.history(address)).messages] == [4]


async def test_history_is_read_in_pages_forwards_and_backwards(a: Node) -> None:
    address = a.address("T1", "chat")
    await asyncio.gather(*[a.publishing(address, b"%d" % n, keep=Retention(500, 60)) for n in range(1, 201)])
    source = random.Random(5)
    for _ in range(200):
        after = source.choice([None, source.randrange(0, 210)])
        before = source.choice([None, source.randrange(0, 210)])
        limit, newest = source.randrange(1, 120), source.random() < 0.5
        history = await a.history(address, after=after, before=before, limit=limit, newest=newest)
        wanted = [n for n in range(1, 201) if (after is None or n > after) and (before is None or n < before)]
        expected = wanted[-limit:] if newest else wanted[:limit]
        assert [m.offset for m in history.messages] == expected
        assert [m.body for m in history.messages] == [b"%d" % n for n in expected]
        assert history.more == (len(wanted) > limit)
        assert (history.head.offset, history.first, history.cut_offset) == (200, 1, 0)


async def test_a_page_of_history_ends_at_its_bytes_with_at_least_one_message(a: Node) -> None:
    address = a.address("T1", "chat")
    for _ in range(5):
        await a.publish(address, b"x" * 100)
    page = await a.history(address, max_bytes=250)
    assert ([m.offset for m in page.messages], page.more) == ([1, 2], True)
    page = await a.history(address, max_bytes=250, newest=True)
    assert ([m.offset for m in page.messages], page.more) == ([4, 5], True)
    page = await a.history(address, max_bytes=1, after=4)
    assert ([m.offset for m in page.messages], page.more) == ([5], False)


async def test_at_least_the_wanted_messages_are_kept_and_trimmed_ones_show_in_first(a: Node) -> None:
    address = a.address("T1", "chat")
    await asyncio.gather(*[a.publishing(address, b"x" * 300, keep=Retention(50, 60)) for _ in range(1_000)])
    history = await a.history(address, limit=1_000)
    assert 1 < history.first <= 951
    assert [m.offset for m in history.messages] == list(range(history.first, 1_001))


async def test_an_expired_history_gives_no_offset_twice(a: Node, server: Server) -> None:
    address = a.address("T1", "chat")
    first = await a.publish(address)
    ttl = server.client.ttl(address.keys.key(b"s"))
    assert 0 < int(ttl) <= 300
    server.client.hset(address.keys.key(b"m"), "x", int(server.client.time()[0]))  # its time has come
    server.client.delete(address.keys.key(b"s"))
    history = await a.history(address)
    assert (history.head, history.first, list(history.messages)) == (first.position, 2, [])
    second = await a.publish(address)
    assert (second.position.epoch, second.position.offset) == (first.position.epoch, 2)


async def test_a_lost_meta_begins_a_new_epoch_and_drops_what_was_kept(a: Node, server: Server) -> None:
    address = a.address("T1", "chat")
    first = await a.publish(address, b"old")
    server.client.delete(address.keys.key(b"m"))
    second = await a.publish(address, b"new")
    assert second.position.epoch != first.position.epoch
    assert second.position.offset == 1
    assert [m.body for m in (await a.history(address)).messages] == [b"new"]


@pytest.mark.parametrize("offset", [1, 9])
async def test_a_stream_that_does_not_end_at_the_head_is_no_continuation(a: Node, server: Server, offset: int) -> None:
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    for _ in range(3):
        before = await a.publish(address)
    server.client.hset(address.keys.key(b"m"), "o", offset)
    history = await a.history(address)
    assert history.head.epoch != before.position.epoch
    assert (history.head.offset, list(history.messages)) == (0, [])
    await room.until(lambda: room.epochs)
    assert room.epochs == [history.head]


async def test_a_publish_behind_its_own_stream_begins_a_new_epoch(a: Node, server: Server) -> None:
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    for _ in range(3):
        before = await a.publish(address)
    server.client.hset(address.keys.key(b"m"), "o", 1)
    after = await a.publish(address, b"new")
    assert (after.position.epoch != before.position.epoch, after.position.offset) == (True, 1)
    assert [m.body for m in (await a.history(address)).messages] == [b"new"]


async def test_forgetting_the_history_begins_an_epoch_that_all_nodes_hear_of(a: Node, b: Node) -> None:
    address, room = a.address("T1", "chat"), Room()
    await b.subscribe(b.address("T1", "chat"), room)
    before = await a.publish(address)
    head = await a.forget_history(address)
    assert head.epoch != before.position.epoch
    assert head.offset == 0
    await room.until(lambda: room.epochs)
    assert room.epochs == [head]
    assert not (await b.history(address)).messages
    assert (await b.publish(address)).position.epoch == head.epoch


async def test_only_the_given_epoch_is_ended(a: Node, b: Node) -> None:
    address = a.address("T1", "chat")
    old = (await a.publish(address)).position.epoch
    ended = await asyncio.gather(a.end_epoch(address, old), b.end_epoch(address, old))
    assert ended[0] == ended[1]
    assert ended[0].epoch != old
    assert (await a.end_epoch(address, old)) == ended[0]


async def test_an_epoch_has_at_most_16_characters_of_the_contract(a: Node) -> None:
    epoch = (await a.history(a.address("T1", "chat"))).head.epoch
    assert epoch.isalnum()
    assert len(epoch) <= 16


async def test_a_room_is_described_once_it_was_seen(a: Node) -> None:
    address = a.address("T1", "chat")
    assert await a.describe_room(address) is None
    published = await a.publish(address)
    await a.join(address, "connection-1", "alice", None)
    await a.join(address, "connection-2", "alice", None)
    described = await a.describe_room(address)
    assert described == (published.position, 2, 1, None)
    assert (await a.publish(address)).members == 2


async def test_tenants_and_rooms_whose_names_run_together_never_meet(a: Node) -> None:
    names = [("T1", "a"), ("T1", "a:b"), ("T1", "c"), ("T1c", "a"), ("T", "1a"), ("T11", "a"), ("T1", "*"), ("T1a", "")]
    rooms = [Room() for _ in names]
    addresses = [a.address(*name) for name in names]
    await asyncio.gather(*[a.subscribe(address, room) for address, room in zip(addresses, rooms, strict=True)])
    for number, address in enumerate(addresses):
        assert (await a.publish(address, b"%d" % number, key=("u", "k"))).position.offset == 1
        await a.signal_room(address, b"%d" % number, Origin())
    for number, (address, room) in enumerate(zip(addresses, rooms, strict=True)):
        await room.until_signals(1)
        assert [m.body for m in room.messages] == [b"%d" % number]
        assert [m.body for m in (await a.history(address)).messages] == [b"%d" % number]


async def test_a_full_redis_refuses_whole_and_leaves_no_hole(a: Node, server: Server) -> None:
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    await a.publish(address)
    server.client.config_set("maxmemory", 1)
    for key in (None, ("alice", "k")):
        with pytest.raises(Unavailable, match="full: nothing was stored"):
            await a.publish(address, key=key)
    with pytest.raises(Unavailable, match="full"):
        await a.join(address, "connection-1", "alice", None)
    assert [m.offset for m in (await a.history(address)).messages] == [1]
    await a.signal_room(address, b"", Origin())
    server.client.config_set("maxmemory", 0)
    again = await a.publish(address, key=("alice", "k"))
    assert (again.position.offset, again.duplicate) == (2, False)
    await room.until(lambda: len(room.messages) == 2)
    assert [m.offset for m in room.messages] == [1, 2]


async def test_flushed_scripts_are_loaded_again(a: Node, server: Server) -> None:
    address = a.address("T1", "chat")
    server.client.script_flush()
    with pytest.raises(Unavailable, match="nothing was stored"):
        await a.publish(address)
    assert (await a.publish(address)).position.offset == 1
