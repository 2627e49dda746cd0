import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest

from service.brokers.broker import Envelope, Retention
from service.brokers.restoration import enter_again
from service.protocol.errors import Unavailable
from service.protocol.identifiers import Position
from tests.brokers.conftest import Node, Nodes, Room, Server, eventually

pytestmark = pytest.mark.anyio
AOF = ("--appendonly", "yes", "--appendfsync")


async def restart(server: Server, *nodes: Node) -> None:
    """kill -9, and again; returns when the nodes are back."""
    server.kill()
    for node in nodes:
        await node.listener.until_heard("lost")
        assert not node.is_ready
    server.start()
    for node in nodes:
        await node.listener.until_heard("back")
        assert node.is_ready


@pytest.mark.parametrize(
    ("options", "fsync", "keeps"),
    [
        ({}, "always", True),
        ({}, "everysec", False),
        ({"redis_restart": "trust"}, "everysec", True),
        ({"redis_is_embedded": True}, "everysec", True),
    ],
    ids=["always", "unproved", "trusted", "embedded"],
)
async def test_epochs_outlive_a_restart_only_if_no_data_can_be_lost(
    make_server: Callable[..., Server], nodes: Nodes, options: dict[str, Any], fsync: str, keeps: bool
) -> None:
    server = make_server(*AOF, fsync)
    a, b = await nodes.start(server.url, "a", **options), await nodes.start(server.url, "b", **options)
    address, room = a.address("T1", "chat"), Room()
    await b.subscribe(address, room)
    before = (await a.publish(address, b"1", key=("alice", "k"))).position
    await restart(server, a, b)
    assert room.interruptions == 1
    head = (await b.history(address)).head
    assert (head == before) == keeps
    assert (head.epoch == before.epoch) == keeps
    after = (await a.publish(address, b"2")).position
    assert after == Position(head.epoch, head.offset + 1)
    generations = {node._link.generations[0] for node in (a, b)}
    assert len(generations) == 1
    await room.until(lambda: room.messages and room.messages[-1].offset == after.offset)
    assert (await a.publish(address, key=("alice", "k"))).duplicate


async def test_an_emptied_redis_gives_new_epochs_and_gets_everything_again(a: Node, b: Node, server: Server) -> None:
    address = a.address("T1", "chat")
    await a.enter("T1", "connection-a", "alice", "chat", "news")
    await b.enter("T1", "connection-b", "bob", "chat")
    before = await a.publish(address)
    generation = a._link.generations[0]
    server.client.flushall()
    after = await a.publish(address)
    assert (after.position.epoch != before.position.epoch, after.position.offset) == (True, 1)

    async def is_whole() -> bool:
        return await a.counts("T1") == (2, 2, 2) and await a.list_rooms("T1", "", "", 5) == [
            ("chat", 2, 2),
            ("news", 1, 1),
        ]

    await eventually(is_whole)
    assert int(a._link.generations[0]) >= int(generation)
    assert server.client.hget("rc1:{n}:system", "database_id") == b"database-1"


async def test_what_was_sent_is_unknown_and_what_was_not_is_refused(a: Node, server: Server) -> None:
    address = a.address("T1", "chat")
    server.signal(signal.SIGSTOP)
    sent = a.publishing(address)
    await asyncio.sleep(0)  # it leaves at the end of this turn
    await asyncio.sleep(0)
    server.kill()
    with pytest.raises(Unavailable, match="unknown"):
        await sent
    with pytest.raises(Unavailable, match="nothing was stored"):
        await a.publish(address)
    server.start()


async def test_after_an_outage_everything_a_node_holds_is_entered_again(a: Node, b: Node, server: Server) -> None:
    for number in range(200):
        await a.enter("T1", f"connection-{number}", f"user-{number % 20}", "chat", f"room-{number % 50}")
    await b.enter("T1", "connection-b", "bob", "chat")
    await restart(server, a, b)  # nothing was kept
    assert await b.counts("T1") == (201, 21, 51)
    assert (await b.list_rooms("T1", "", "", 1))[0] == ("chat", 201, 21)
    found = await b.find_connection("T1", "connection-7")
    assert found is not None
    assert set(found.rooms) == {"chat", "room-7"}


async def test_what_ends_while_it_is_entered_again_does_not_stay(a: Node, server: Server) -> None:
    for number in range(700):
        await a.enter("T1", f"connection-{number}", "alice", f"room-{number}")
    restoring = asyncio.ensure_future(enter_again(a._link, a.listener.local_connections()))
    await asyncio.sleep(0)  # the first slice is sent
    for tenant_id, entry in a.listener.held[::-1]:
        a.listener.held.remove((tenant_id, entry))
        address = a.address(tenant_id, entry.rooms[0])
        a.left(address, entry.connection)
        a.disconnected(tenant_id, entry.connection, entry.user)
        release = a.release_room(address)
        if address.room.endswith("9"):
            await release
    await restoring
    assert await a.counts("T1") == (0, 0, 0)
    assert not server.client.keys("rc1:{p*}:n/*")


async def test_rooms_are_heard_again_after_an_outage_and_told_of_it(a: Node, server: Server) -> None:
    addresses = [a.address("T1", f"room-{number}") for number in range(2_500)]
    rooms = [Room() for _ in addresses]
    await asyncio.gather(*[a.subscribe(address, room) for address, room in zip(addresses, rooms, strict=True)])
    a.unsubscribe(addresses[0])
    await restart(server, a)
    assert [room.interruptions for room in rooms] == [0] + [1] * 2_499
    assert [what for (what,) in a.listener.heard] == ["lost", "back"]
    await a.publish(addresses[-1], b"x")
    await rooms[-1].until_messages(1)
    assert server.client.pubsub_numsub(addresses[0].keys.channel) == [(addresses[0].keys.channel, 0)]


async def test_a_bug_while_coming_back_is_not_the_end(a: Node, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    await a.enter("T1", "connection-a", "alice", "chat")
    failures: list[int] = []
    local_connections = a.listener.local_connections

    def fails_twice() -> object:
        if len(failures) < 2:
            failures.append(1)
            raise RuntimeError("a bug")
        return local_connections()

    monkeypatch.setattr(a.listener, "local_connections", fails_twice)
    await restart(server, a)
    assert len(failures) == 2
    assert await a.counts("T1") == (1, 1, 1)


async def test_a_primary_that_became_a_replica_is_left_until_it_is_one_again(a: Node, server: Server) -> None:
    address = a.address("T1", "chat")
    server.client.replicaof("127.0.0.1", "1")
    with pytest.raises(Unavailable, match="READONLY"):
        await a.publish(address)
    await a.listener.until_heard("lost")
    with pytest.raises(Unavailable, match="nothing was stored"):
        await a.publish(address)
    server.client.replicaof("no", "one")
    await a.listener.until_heard("back")
    assert (await a.publish(address)).stored


async def more_than(acknowledged: dict[bytes, Position], count: int) -> None:
    async def are_there() -> bool:
        return len(acknowledged) > count

    await eventually(are_there)


async def test_nothing_acknowledged_is_lost_or_doubled_by_kills_under_load(
    make_server: Callable[..., Server], nodes: Nodes
) -> None:
    server = make_server(*AOF, "always")
    both = [await nodes.start(server.url, name) for name in ("a", "b")]
    address, keep = both[0].address("T1", "chat"), Retention(100_000, 300)
    acknowledged: dict[bytes, Position] = {}
    unknown: set[bytes] = set()
    refused: set[bytes] = set()
    is_over = asyncio.Event()

    async def publish(node: Node) -> None:
        number = 0
        while not is_over.is_set():
            body = f"{node.node} {number}".encode()
            number += 1
            try:
                acknowledged[body] = (await node.publish(address, body, keep=keep)).position
            except Unavailable as error:
                (unknown if "unknown" in error.message else refused).add(body)
                await asyncio.sleep(0.002)

    publishers = [asyncio.ensure_future(publish(both[number % 2])) for number in range(2)]
    for kills in range(1, 4):
        server.kill()
        server.start()
        await asyncio.gather(*[node.listener.until_back(kills) for node in both])
        await more_than(acknowledged, len(acknowledged) + 50)
    is_over.set()
    await asyncio.gather(*publishers)
    kept: list[Envelope] = []
    while (page := await both[0].history(address, after=kept[-1].offset if kept else 0, limit=1_000)).messages:
        kept += page.messages
    assert [envelope.offset for envelope in kept] == list(range(1, len(kept) + 1))
    places = {envelope.body: Position(envelope.epoch, envelope.offset) for envelope in kept}
    assert len(places) == len(kept)
    assert len(acknowledged) > 150
    assert {body: places.get(body) for body in acknowledged} == acknowledged
    assert not refused & set(places)
    assert set(places) <= set(acknowledged) | unknown
