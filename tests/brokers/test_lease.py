import asyncio
import time
from typing import Any

import pytest

from service.brokers import resp
from service.brokers.broker import ConnectionEntry, Origin
from service.protocol.errors import Unavailable
from tests.brokers.conftest import Node, Nodes, Server, eventually

pytestmark = pytest.mark.anyio


async def test_a_dead_nodes_connections_members_and_rooms_are_swept_once(
    a: Node, b: Node, server: Server, nodes: Nodes
) -> None:
    third = await nodes.start(server.url, "node-c")
    await a.enter("T1", "connection-a", "alice", "chat")
    await b.enter("T1", "connection-b", "bob", "chat")
    for number in range(300):
        await third.enter("T1", f"connection-{number}", "alice" if number % 2 else "carol", "chat", f"room-{number}")
    assert await a.counts("T1") == (302, 3, 301)
    begun = time.monotonic()
    third._is_stopping = True  # dies: nothing is handed back
    third._channels.abort()
    third._link.abort()

    async def is_swept() -> bool:
        return await a.counts("T1") == (2, 2, 1)

    await eventually(is_swept)
    assert time.monotonic() - begun < 2.5 * 1.2
    assert await b.list_rooms("T1", "", "", 10) == [("chat", 2, 2)]
    assert await a.find_user("T1", "carol") == []

    async def is_forgotten() -> bool:
        return not server.client.zcard("rc1:{n}:sweeps")

    await eventually(is_forgotten)
    assert not [key for key in server.client.scan_iter("*") if b"node-c" in key]


async def test_a_sweeper_that_dies_is_replaced(a: Node, server: Server) -> None:
    await a.enter("T1", "connection-a", "alice", "chat")
    dead = b"node-dead.1"
    server.client.zadd("rc1:{n}:sweeps", {dead: 1})  # claimed long ago, never finished
    server.client.sadd(a._link.keyspace.tenants_of(dead), "T1")
    keys = a.address("T1", "chat").keys
    server.client.hset(keys.key(b"n"), "connection-dead", "node-dead.1 1700000000000 0 bob\n")
    server.client.hset(keys.key(b"u"), "bob", 1)
    server.client.sadd(b"rc1:{p%d}:lr/T1/node-dead.1" % a.address("T1", "").partition, "chat")

    async def is_swept() -> bool:
        described = await a.describe_room(a.address("T1", "chat"))
        return described is not None and described[1:3] == (1, 1)

    await eventually(is_swept)


async def test_a_node_whose_lease_ended_takes_a_new_one_and_comes_back_whole(a: Node, b: Node, server: Server) -> None:
    await a.enter("T1", "connection-a", "alice", "chat")
    await b.enter("T1", "connection-b", "bob", "chat", "news")
    lease = b._link.lease
    await b._lease.end(lease)  # as a sweeper does to a node that slept
    assert await a.counts("T1") == (1, 1, 1)
    await b.listener.until_heard("back")
    assert b._link.lease != lease
    assert await a.counts("T1") == (2, 2, 2)
    described = await a.describe_room(a.address("T1", "chat"))
    assert described is not None
    assert described[1:3] == (2, 2)
    b.left(b.address("T1", "chat"), "connection-b")
    b.disconnected("T1", "connection-b", "bob")
    await b.release_room(b.address("T1", "chat"))
    assert await b.counts("T1") == (1, 1, 2)


async def test_nothing_is_entered_under_a_lease_that_may_have_ended(a: Node) -> None:
    address = a.address("T1", "chat")
    a._link.lease_ends_at = 0.0
    assert not a.is_ready
    for operation in (
        a.join(address, "connection-1", "alice", None),
        a.claim_room(address, None),
        a.connect("T1", ConnectionEntry("connection-1", "alice", "node-a", 1, ""), None, None),
    ):
        with pytest.raises(Unavailable, match="lease ended"):
            await operation
    assert (await a.publish(address)).members == 0


async def test_nothing_is_entered_under_the_old_lease_while_a_new_one_is_taken(
    a: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, take = a.address("T1", "chat"), a._lease.take
    joins: list[asyncio.Future[Any]] = []

    async def take_while_others_join() -> bytes | None:
        joins.append(asyncio.gather(a.join(address, "c1", "alice", None), return_exceptions=True))
        return await take()

    monkeypatch.setattr(a._lease, "take", take_while_others_join)
    a._link.abort()
    await a.listener.until_back(1)
    [joined] = await joins[0]
    assert isinstance(joined, Unavailable)


async def test_removals_and_renewals_are_sent_however_much_is_in_flight(
    a: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = a.address("T1", "chat")
    await a.enter("T1", "c1", "alice", "chat")
    await a.enter("T1", "c2", "alice", "chat")
    monkeypatch.setattr(resp, "MAX_COMMANDS_IN_FLIGHT", 2)
    signals = [a.signal_room(address, b'"data":1', Origin()) for _ in range(10)]
    leaving = a.leave(address, "c2")
    a.left(address, "c1")
    releasing = a.release_room(address)
    a.disconnected("T1", "c1", "alice")
    a.disconnected("T1", "c2", "alice")
    renewing = asyncio.ensure_future(a._lease.renew())
    results = await asyncio.gather(*signals, leaving, releasing, renewing, return_exceptions=True)
    assert [isinstance(result, Unavailable) for result in results] == [False] * 2 + [True] * 8 + [False] * 3
    monkeypatch.undo()
    assert await a.counts("T1") == (0, 0, 0)
    described = await a.describe_room(address)
    assert described is not None
    assert described.connections == 0


async def test_an_old_lease_keeps_its_claims_by_which_its_sweep_finds_what_is_left_of_it(a: Node, b: Node) -> None:
    await a.enter("T1", "c1", "alice", "chat")
    old = a._link.lease
    a._link.lease_ends_at = 0.0
    with pytest.raises(Unavailable):
        await a.release_room(a.address("T1", "chat"))
    await b._lease.end(old)
    described = await b.describe_room(b.address("T1", "chat"))
    assert described is not None
    assert described.connections == 0
