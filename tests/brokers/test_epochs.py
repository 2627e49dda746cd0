"""Every way in which Redis loses data ends in new epochs, and a restart that loses nothing in none."""

import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.brokers import scripts
from service.brokers.broker import Retention, RoomAddress
from service.brokers.cluster_marks import PartitionMarks
from service.brokers.endpoint import make_endpoint
from service.brokers.greeting import Policy, enter
from service.brokers.keys import Keyspace
from service.brokers.pulse import LastPublishes
from service.brokers.resp import CommandConnection
from service.protocol.identifiers import Position
from tests.brokers.conftest import Node, Nodes, Room, Server, eventually, listening
from tests.brokers.node_listener import NodeListener

pytestmark = pytest.mark.anyio

AOF = ("--appendonly", "yes", "--appendfsync")
KEEPS = pytest.mark.parametrize(
    ("options", "fsync"),
    [({}, "always"), ({"redis_restart": "trust"}, "no"), ({"redis_is_embedded": True}, "no")],
    ids=["always", "trusted", "embedded"],
)


def back_up(server: Server) -> None:
    """Copy what is on the disk aside; Redis has written all that it acknowledged, if it has nothing else to do."""
    shutil.copytree(server.folder / "appendonlydir", server.folder / "backup")


def put_back(server: Server) -> None:
    server.kill()
    shutil.rmtree(server.folder / "appendonlydir")
    shutil.copytree(server.folder / "backup", server.folder / "appendonlydir")
    server.start()


async def pulses(server: Server, count: int = 1) -> None:
    """Wait until the pulse has come so much further."""
    before = int(server.client.hget("rc1:{n}:system", "pulse") or 0)

    async def has_come() -> bool:
        return int(server.client.hget("rc1:{n}:system", "pulse") or 0) >= before + count

    await eventually(has_come)


async def back(*nodes: Node) -> None:
    for node in nodes:
        await node.listener.until_heard("back")


async def publish(node: Node, address: RoomAddress, count: int) -> Position:
    for number in range(count):
        last = await node.publish(address, b"%d" % number)
    return last.position


@asynccontextmanager
async def one_life(url: str, name: str, mark: tuple[int, int], **options: Any) -> AsyncIterator[Node]:
    """A node that ends in good order; mark: what its SQL knows."""
    node = Node(url, name, database_id="database-1", lease_seconds=1.2, sweep_delay_seconds=0.0, **options)
    node.listener = NodeListener()
    node.expect(mark)
    await node.start()
    async with listening(node):
        yield node


@KEEPS
async def test_a_backup_that_was_put_back_is_found_out_by_nodes_that_live(
    make_server: Callable[..., Server], nodes: Nodes, options: dict[str, Any], fsync: str
) -> None:
    server = make_server(*AOF, fsync)
    a, b = await nodes.start(server.url, "a", **options), await nodes.start(server.url, "b", **options)
    opened, closed = a.address("T1", "open"), a.address("T1", "closed")
    room = Room()
    await b.subscribe(opened, room)
    for address in (opened, closed):
        await publish(a, address, 5)
    back_up(server)
    lost = [await publish(a, address, 3) for address in (opened, closed)]
    await pulses(server, 4)  # both nodes have heard of it
    put_back(server)
    await back(a, b)
    for address, before in zip((opened, closed), lost, strict=True):
        assert before.offset == 8
        head = (await b.history(address)).head
        assert head.epoch != before.epoch
        assert (await a.publish(address)).position == Position(head.epoch, head.offset + 1)
    assert room.interruptions
    assert a.mark[0] == b.mark[0], "the second one to come back found it dealt with"


@KEEPS
async def test_a_backup_that_was_put_back_is_found_out_when_all_nodes_have_ended_meanwhile(
    make_server: Callable[..., Server], options: dict[str, Any], fsync: str
) -> None:
    server = make_server(*AOF, fsync)
    async with one_life(server.url, "a", (0, 0), **options) as node:
        address = node.address("T1", "chat")
        await publish(node, address, 5)
        back_up(server)
        lost = await publish(node, address, 3)
    put_back(server)
    async with one_life(server.url, "b", node.mark, **options) as node:
        after = await publish(node, address, 4)
        assert after.epoch != lost.epoch


@KEEPS
async def test_what_was_cut_off_the_end_a_moment_ago_is_found_out(
    make_server: Callable[..., Server], nodes: Nodes, options: dict[str, Any], fsync: str
) -> None:
    server = make_server(*AOF, fsync)
    a = await nodes.start(server.url, "a", **options, lease_seconds=60)  # no pulse for a while
    busy, quiet = a.address("T1", "busy"), a.address("T1", "quiet")
    kept = await publish(a, quiet, 1)
    await publish(a, busy, 1)
    back_up(server)
    lost = await publish(a, busy, 1)
    put_back(server)
    await back(a)
    assert (await publish(a, busy, 2)).epoch != lost.epoch
    assert (await a.history(quiet)).head.epoch != kept.epoch, "who knows what else is lost"


async def test_an_end_that_was_cut_is_found_out_although_others_have_published_there_since(
    make_server: Callable[..., Server], nodes: Nodes
) -> None:
    server = make_server(*AOF, "always")
    a = await nodes.start(server.url, "a", lease_seconds=60)
    address = a.address("T1", "chat")
    await publish(a, address, 1)
    back_up(server)
    lost = await publish(a, address, 3)
    put_back(server)
    await back(a)
    other = await nodes.start(server.url, "b")
    assert (await publish(other, address, 3)).epoch != lost.epoch


async def test_a_loss_that_one_node_found_is_no_less_one_when_another_renews_its_lease_meanwhile(
    make_server: Callable[..., Server], nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server(*AOF, "always")
    a, b = [await nodes.start(server.url, name, lease_seconds=60) for name in ("a", "b")]  # no renewal by itself
    address = a.address("T1", "chat")
    await publish(a, address, 3)
    back_up(server)
    lost = await publish(a, address, 2)
    known, are_there = a._link.publishes, LastPublishes.are_there

    async def found(publishes: LastPublishes, connection: CommandConnection) -> bool:
        result = await are_there(publishes, connection)
        if publishes is known:
            assert not result
            await b.listener.until_heard("back")
            await b._lease.renew()
        return result

    monkeypatch.setattr(LastPublishes, "are_there", found)
    put_back(server)
    await back(a, b)
    assert (await publish(a, address, 1)).epoch != lost.epoch


async def test_a_loss_that_was_found_in_one_partition_of_a_cluster_is_one_though_its_pulse_goes_on(
    server: Server,
) -> None:
    connection = CommandConnection(lambda: None, lambda: None)
    endpoint, policy = make_endpoint(server.url, "node"), Policy("database-1")
    await endpoint.open(connection)
    facts = await enter(connection, endpoint, policy)

    class Losing(LastPublishes):
        async def are_there(self, connection: CommandConnection, partitions: Sequence[int] = ()) -> bool:
            await connection.command(scripts.BEAT.pack([Keyspace.system(b"{p7}")], 100))  # another node's
            return False

    marks = PartitionMarks(policy, Losing())
    before = await marks.greet(connection, facts, 7, [])
    marks.note(7, before)
    after = await marks.greet(connection, facts, 7, [])
    connection.abort()
    assert after.generation > before.generation


@KEEPS
async def test_a_restart_with_all_data_keeps_every_epoch_whoever_lived_through_it(
    make_server: Callable[..., Server], options: dict[str, Any], fsync: str
) -> None:
    server = make_server(*AOF, fsync)
    async with one_life(server.url, "a", (0, 0), **options) as node:
        address = node.address("T1", "chat")
        for times in range(1, 4):
            before = await publish(node, address, 5)
            server.kill()
            server.start()
            await node.listener.until_back(times)
            assert (await node.history(address)).head == before
        await publish(node, node.address("T1", "gone"), 1)
        await node.forget_history(node.address("T1", "gone"))
        server.kill()
        server.start()
        await node.listener.until_back(4)
    server.kill()
    server.start()
    async with one_life(server.url, "b", node.mark, **options) as node:
        assert (await node.history(address)).head == before
        assert (await node.publish(address)).position == Position(before.epoch, before.offset + 1)


async def test_nodes_that_noticed_nothing_learn_that_another_one_found_data_lost(a: Node, b: Node) -> None:
    address, room = a.address("T1", "chat"), Room()
    before = await publish(a, address, 3)
    await a.subscribe(address, room)
    generation, pulse = b.mark
    b.expect((generation, pulse + 1_000))  # knows of what a does not
    b._link.abort()
    await a.listener.until_heard("back")
    assert a.mark[0] > generation
    assert (await a.publish(address)).position.epoch != before.epoch
    assert room.interruptions


async def test_data_put_back_that_is_older_than_the_last_new_generation_gets_a_newer_one(
    make_server: Callable[..., Server],
) -> None:
    server = make_server()
    async with one_life(server.url, "a", (4_000_000_000, 7)) as node:
        assert node.mark[0] == 4_000_000_001


async def test_a_server_that_was_a_replica_in_between_is_no_continuation(
    make_server: Callable[..., Server], nodes: Nodes
) -> None:
    server = make_server()
    a = await nodes.start(server.url, "a")
    address = a.address("T1", "chat")
    before = await publish(a, address, 3)
    server.client.replicaof("127.0.0.1", "1")
    server.client.replicaof("no", "one")
    a._link.abort()
    await a.listener.until_heard("back")
    assert (await a.history(address)).head.epoch != before.epoch
    again = await publish(a, address, 1)
    a._link.abort()
    await a.listener.until_back(2)
    assert (await a.history(address)).head == again


async def test_a_lost_connection_alone_ends_no_epoch(a: Node) -> None:
    address = a.address("T1", "chat")
    before = await publish(a, address, 3)
    for times in range(1, 4):
        a._link.abort()
        a._channels.abort()
        await a.listener.until_back(times)
    assert (await a.history(address)).head == before


@pytest.mark.parametrize("finder", ["a publish", "a read", "a join"])
async def test_a_stream_that_was_evicted_ends_its_rooms_epoch(a: Node, b: Node, server: Server, finder: str) -> None:
    address, room = a.address("T1", "chat"), Room()
    other = await publish(a, a.address("T1", "other"), 3)
    await b.subscribe(address, room)
    before = await publish(a, address, 3)
    server.client.delete(address.keys.key(b"s"))
    if finder == "a publish":
        found = (await a.publish(address)).position
    elif finder == "a read":
        found = (await a.history(address, after=2)).head
    else:
        found = (await a.join(address, "connection-1", "alice", None)).position
    assert found.epoch != before.epoch
    assert found.offset == (1 if finder == "a publish" else 0)
    await room.until(lambda: room.epochs)
    assert (await a.history(a.address("T1", "other"))).head == other


async def test_a_room_that_keeps_nothing_any_more_goes_on(a: Node) -> None:
    address = a.address("T1", "chat")
    before = await publish(a, address, 3)
    for offset in (4, 5):
        unkept = await a.publish(address, keep=Retention(0, 300))
        assert unkept.position == Position(before.epoch, offset)
    assert (await a.history(address)).head.epoch == before.epoch
