"""A primary of a Cluster that is lost: its own rooms are out of reach until its replica is promoted, and begin anew."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from service.brokers.broker import Publication, RoomAddress
from service.protocol.errors import Unavailable
from tests.brokers.conftest import Node, Nodes, Room, eventually
from tests.support.valkey_cluster import ValkeyCluster

pytestmark = pytest.mark.anyio


@contextmanager
def started(folder: Path, *options: str) -> Iterator[ValkeyCluster]:
    cluster = ValkeyCluster(folder, *options)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ValkeyCluster]:
    with started(tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def a(cluster: ValkeyCluster, nodes: Nodes) -> Node:
    return await nodes.start(cluster.url, "node-a", lease_seconds=6.0)


@pytest.fixture
async def b(cluster: ValkeyCluster, nodes: Nodes) -> Node:
    return await nodes.start(cluster.url, "node-b", lease_seconds=6.0)


def room_on(node: Node, cluster: ValkeyCluster, server: int, name: str = "room") -> RoomAddress:
    """A room that this primary serves."""
    every = (node.address("T1", f"{name}-{number}") for number in range(1_000))
    return next(each for each in every if cluster.primary_of(f"p{each.partition}") == server)


def leaders(cluster: ValkeyCluster) -> tuple[int, list[int]]:
    """The primary that has the leases, and the others."""
    first = cluster.primary_of("n")
    return first, [server for server in cluster.primaries() if server != first]


async def publishes(node: Node, address: RoomAddress) -> Publication:
    """As soon as it can be."""
    found: list[Publication] = []

    async def can() -> bool:
        found.append(await node.publish(address))
        return True

    await eventually(can)
    return found[-1]


@pytest.mark.parametrize("way", ["killed", "frozen"])
async def test_only_the_rooms_of_a_lost_primary_begin_new_epochs(
    a: Node, b: Node, cluster: ValkeyCluster, way: str
) -> None:
    _, (lost, other) = leaders(cluster)
    there, elsewhere = room_on(a, cluster, lost), room_on(a, cluster, other)
    heard, undisturbed = Room(), Room()
    await b.subscribe(b.address("T1", there.room), heard)
    await b.subscribe(b.address("T1", elsewhere.room), undisturbed)
    before = await a.publish(there)
    first = await a.publish(elsewhere)
    lease = a._link.lease
    (cluster.kill if way == "killed" else cluster.freeze)(lost)
    failing_over = asyncio.create_task(cluster.failed_over(lost))
    offset = first.offset
    while not failing_over.done():
        published = await a.publish(elsewhere)
        offset += 1
        assert (published.epoch, published.offset) == (first.epoch, offset)
        await asyncio.sleep(0.02)
    promoted_at = asyncio.get_running_loop().time()
    after = await publishes(a, there)
    assert asyncio.get_running_loop().time() - promoted_at < 5
    assert after.epoch != before.epoch
    assert after.offset == 1
    assert a.is_ready
    assert a.listener.heard.count(("back",)) == 0, "the leases' primary was there all the time"
    await heard.until(lambda: heard.interruptions)
    await publishes(a, there)
    await heard.until(lambda: heard.messages[-1].epoch == after.epoch)
    await undisturbed.until_messages(offset)
    assert undisturbed.interruptions == 0
    await eventually(lambda: changed_lease(a, lease))
    if way == "frozen":
        cluster.thaw(lost)
        await cluster.until_whole()
        assert (await publishes(a, there)).epoch == (await publishes(b, there)).epoch == after.epoch


async def changed_lease(node: Node, lease: bytes) -> bool:
    return node._link.lease != lease and node._link.holds_lease


async def test_members_of_a_lost_primary_are_entered_again_and_those_who_left_meanwhile_are_not(
    a: Node, b: Node, cluster: ValkeyCluster
) -> None:
    _, (lost, other) = leaders(cluster)
    there, elsewhere = room_on(a, cluster, lost), room_on(a, cluster, other)
    for connection, user in (("connection-1", "alice"), ("connection-2", "bob")):
        await a.enter("T1", connection, user, there.room, elsewhere.room)
    await b.enter("T1", "connection-3", "carol", there.room)
    cluster.kill(lost)
    failing_over = asyncio.create_task(cluster.failed_over(lost))
    a.listener.held = [held for held in a.listener.held if held[1].connection != "connection-1"]
    for address in (there, elsewhere):
        a.left(address, "connection-1")
    a.disconnected("T1", "connection-1", "alice")
    await failing_over

    def are(node: Node, address: RoomAddress, *connections: str) -> Callable[[], Awaitable[bool]]:
        async def seen() -> bool:
            page = await node.list_members(address, "", 10, 10_000)
            return [member.connection for member in page.members] == list(connections)

        return seen

    await eventually(are(b, there, "connection-2", "connection-3"), seconds=5)
    await eventually(are(b, elsewhere, "connection-2"), seconds=5)

    async def counted() -> bool:
        return await b.counts("T1") == (2, 2, 2)

    await eventually(counted, seconds=5)


async def test_publishes_and_joins_go_on_while_the_primary_of_the_leases_fails_over(
    a: Node, b: Node, cluster: ValkeyCluster
) -> None:
    first, (other, third) = leaders(cluster)
    room = room_on(a, cluster, other)
    tenant = next(f"T{n}" for n in range(100) if cluster.primary_of(f"p{a.address(f'T{n}', '').partition}") == third)
    entry = await a.enter(tenant, "connection-1", "alice", "chat")
    before = await a.publish(room)
    cluster.kill(first)
    failing_over = asyncio.create_task(cluster.failed_over(first))
    count = 0
    while not failing_over.done():
        count += 1
        assert (await a.publish(room)).offset == before.offset + count
        await a.connect(tenant, entry, None, None)
        await asyncio.sleep(0.02)
    assert not a.is_ready
    await a.listener.until_back(1)
    await b.listener.until_back(1)
    assert a.is_ready
    assert (await a.publish(room)).epoch == before.epoch
    assert a.listener.heard.count(("lost",)) >= 1
    await a.broadcast_to_user(tenant, "alice", b'"data":1')
    await a.listener.until_heard("direct", tenant, "alice", b'"data":1')

    async def counted() -> bool:
        return await b.counts(tenant) == (1, 1, 1) and a.node_count() == 2

    await eventually(counted, seconds=8)


async def test_a_node_starts_while_a_part_is_lost_and_not_while_that_of_the_leases_is(
    nodes: Nodes, cluster: ValkeyCluster
) -> None:
    first, (lost, other) = leaders(cluster)
    cluster.kill(lost)
    node = await nodes.start(cluster.url, "node-a", lease_seconds=6.0)
    assert node.is_ready
    assert (await node.publish(room_on(node, cluster, other))).offset == 1
    there = room_on(node, cluster, await cluster.failed_over(lost))
    assert (await publishes(node, there)).offset == 1
    cluster.kill(first)
    with pytest.raises((OSError, Unavailable)):
        await nodes.start(cluster.url, "node-b")


async def test_a_primary_that_comes_back_with_all_its_data_before_anybody_is_promoted_keeps_its_epochs(
    nodes: Nodes, tmp_path: Path
) -> None:
    with started(tmp_path, "--appendfsync", "always") as cluster:
        for replica in range(3, 6):
            cluster.kill(replica)
        node = await nodes.start(cluster.url, "node-a")
        _, (lost, _) = leaders(cluster)
        address = room_on(node, cluster, lost)
        before = await node.publish(address)
        cluster.kill(lost)
        cluster.restart(lost)
        after = await publishes(node, address)
        assert (after.epoch, after.offset) == (before.epoch, 2)


async def test_a_backup_that_was_put_back_while_no_node_lived_ends_the_epochs_of_its_server_alone(
    tmp_path: Path,
) -> None:
    with started(tmp_path, "--appendfsync", "always") as cluster:
        _, (restored, other) = leaders(cluster)
        saved, backup = cluster.folder_of(restored) / "appendonlydir", tmp_path / "backup"
        async with one_life(cluster, "node-a") as node:
            there, elsewhere = room_on(node, cluster, restored), room_on(node, cluster, other)
            before = [await node.publish(there), await node.publish(elsewhere)]
        await restart_primaries(cluster, lambda: shutil.copytree(saved, backup))
        async with one_life(cluster, "node-b", node.mark) as node:
            assert [(await node.publish(each)).epoch for each in (there, elsewhere)] == [each.epoch for each in before]
            pulse = node.mark[1]
            await eventually(lambda: has_beaten(node, pulse + 4))
        await restart_primaries(cluster, lambda: shutil.copytree(backup, saved), saved)
        async with one_life(cluster, "node-c", node.mark) as node:
            after = [await node.publish(there), await node.publish(elsewhere)]
        assert after[0].epoch != before[0].epoch
        assert (after[1].epoch, after[1].offset) == (before[1].epoch, 3)


@asynccontextmanager
async def one_life(cluster: ValkeyCluster, name: str, mark: tuple[int, int] = (0, 0)) -> AsyncIterator[Node]:
    async with AsyncExitStack() as stack:
        yield await Nodes(stack).start(cluster.url, name, mark)


async def restart_primaries(cluster: ValkeyCluster, meanwhile: Callable[[], object], gone: Path | None = None) -> None:
    """While they are down a folder goes, and something is done."""
    for server in range(6):
        cluster.kill(server)
    if gone is not None:
        shutil.rmtree(gone)
    meanwhile()
    for server in range(3):
        cluster.restart(server)
    await cluster.until_served()


async def has_beaten(node: Node, pulse: int) -> bool:
    return node.mark[1] >= pulse
