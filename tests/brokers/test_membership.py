import asyncio

import pytest

from service.protocol.errors import TooMany
from tests.brokers.conftest import Node, Nodes, Server

pytestmark = pytest.mark.anyio


async def test_joining_counts_connections_and_users_on_all_nodes(a: Node, b: Node) -> None:
    here, there = a.address("T1", "chat"), b.address("T1", "chat")
    heads = [
        await a.join(here, "connection-1", "alice", None),
        await b.join(there, "connection-2", "alice", None),
        await b.join(there, "connection-3", "bob with spaces", None),
    ]
    assert [(head.connections, head.users) for head in heads] == [(1, 1), (2, 1), (3, 2)]
    published = await b.publish(there)
    assert (await a.join(here, "connection-1", "alice", None)) == (published.position, 3, 2, None)
    await b.leave(there, "connection-3")
    await b.leave(there, "connection-3")
    assert await a.describe_room(here) == (published.position, 2, 1, None)


async def test_only_its_own_node_ends_a_membership(a: Node, b: Node) -> None:
    address = a.address("T1", "chat")
    await a.join(address, "connection-1", "alice", None)
    await b.leave(address, "connection-1")
    assert (await a.join(address, "connection-1", "alice", None)).connections == 1
    a.left(address, "connection-1")
    described = await a.describe_room(address)
    assert described is not None
    assert described.connections == 0


async def test_a_full_room_takes_nobody_but_those_that_are_in_it(a: Node, b: Node) -> None:
    address = a.address("T1", "chat")
    joins = [(a if n % 2 else b).join(address, f"connection-{n}", f"user-{n % 5}", 10) for n in range(40)]
    joined = await asyncio.gather(*joins, return_exceptions=True)
    refused = [error for error in joined if isinstance(error, TooMany)]
    assert len(refused) == 30
    assert {(error.limit, error.scope, error.room) for error in refused} == {("max_members_per_room", "room", "chat")}
    inside = next(n for n, head in enumerate(joined) if not isinstance(head, BaseException))
    again = await (a if inside % 2 else b).join(address, f"connection-{inside}", f"user-{inside % 5}", 10)
    assert again.connections == 10


async def test_occupied_rooms_are_counted_once_whoever_claims_them(a: Node, b: Node) -> None:
    rooms = [a.address("T1", f"room-{n}") for n in range(3)]
    for node in (a, b):
        for room in rooms[:2]:
            await node.claim_room(room, 2)
            await node.claim_room(room, 2)
    with pytest.raises(TooMany) as refused:
        await b.claim_room(rooms[2], 2)
    assert (refused.value.limit, refused.value.scope) == ("max_rooms", "tenant")
    assert (await a.counts("T1")).rooms == 2
    await a.release_room(rooms[0])
    await a.release_room(rooms[0])
    assert (await a.counts("T1")).rooms == 2
    await b.release_room(rooms[0])
    assert (await a.counts("T1")).rooms == 1
    await b.claim_room(rooms[2], 2)
    assert (await a.counts("T2")) == (0, 0, 0)


async def test_rooms_are_listed_by_name_with_their_counts(a: Node, b: Node) -> None:
    for number, name in enumerate(["b", "chat:2", "chat:1", "chat:10", "chau", "cha"]):
        await (a if number % 2 else b).enter("T1", f"connection-{number}", "alice", name)
    await a.enter("T2", "connection-x", "alice", "chat:0")
    await a.claim_room(a.address("T1", "chat:3"), None)  # nobody is in it yet
    assert await a.list_rooms("T1", "chat:", "", 10) == [("chat:1", 1, 1), ("chat:10", 1, 1), ("chat:2", 1, 1)]
    names: list[str] = []
    while page := await b.list_rooms("T1", "", names[-1] if names else "", 2):
        names += [room.room for room in page]
        assert len(page) == 2
    assert names == sorted(["b", "cha", "chat:1", "chat:10", "chat:2", "chau"])
    assert [room.room for room in await a.list_rooms("T1", "chat:", "chat:10", 10)] == ["chat:2"]
    assert [room.room for room in await a.list_rooms("T1", "chat:", "a", 1)] == ["chat:1"]


async def test_a_stopped_node_leaves_nothing_behind(server: Server, nodes: Nodes, a: Node) -> None:
    b = await nodes.start(server.url, "node-b")
    await a.enter("T1", "connection-a", "alice", "chat")
    for number in range(450):
        await b.enter("T1", f"connection-{number}", f"user {number % 7}", "chat", f"room-{number % 150}")
    await b.enter("T2", "connection-other", "bob", "chat")
    assert await a.counts("T1") == (451, 8, 151)
    await b.stop()
    assert await a.counts("T1") == (1, 1, 1)
    assert await a.counts("T2") == (0, 0, 0)
    assert await a.list_rooms("T1", "", "", 10) == [("chat", 1, 1)]
    left = {key for key in server.client.scan_iter("*") if b"node-b" in key}
    assert not left
    assert server.client.zrange("rc1:{n}:leases", 0, -1) == [a._link.lease]
