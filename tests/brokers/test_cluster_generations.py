"""A generation that begins in a part of a Cluster while this node is connected to it, and replicas that come."""

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest

from service.brokers.broker import Retention
from service.protocol.errors import Unavailable
from tests.brokers.conftest import Node, Nodes, Room, eventually
from tests.brokers.test_cluster_failovers import room_on
from tests.brokers.test_cluster_moves import Publisher
from tests.support.valkey_cluster import ValkeyCluster

pytestmark = pytest.mark.anyio

REPLICATED = Retention(100, 300, None, is_replicated=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"))
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
async def a(cluster: ValkeyCluster, nodes: Nodes) -> Node:
    return await nodes.start(cluster.url, "node-a")


def cluster_words(cluster: ValkeyCluster, server: int, *words: str) -> None:
    cluster.clients[server].execute_command(*words)  # type: ignore[no-untyped-call]


async def test_a_generation_that_another_node_began_ends_the_epochs_of_rooms_in_which_nothing_happens(
    a: Node, cluster: ValkeyCluster
) -> None:
    address, elsewhere = room_on(a, cluster, cluster.primaries()[0], "idle"), a.address("T1", "elsewhere")
    assert address.partition != elsewhere.partition
    room, undisturbed = Room(), Room()
    await a.subscribe(address, room)
    await a.subscribe(elsewhere, undisturbed)
    before = await a.publish(address)
    server = cluster.primary_of(f"p{address.partition}")
    cluster.clients[server].hincrby(f"rc1:{{p{address.partition}}}:system", "generation", 1)
    await room.until(lambda: room.interruptions)
    assert (await a.history(address)).head.epoch != before.epoch
    await room.until(lambda: room.epochs)
    assert undisturbed.interruptions == 0


async def test_no_position_is_given_twice_when_a_replica_that_lacks_some_takes_over(
    a: Node, cluster: ValkeyCluster
) -> None:
    server = cluster.primaries()[1]
    address = room_on(a, cluster, server, "taken-over")
    publisher = Publisher(a, address)
    await publisher.until(50)
    (replica,) = cluster.replicas_of(server)
    client = cluster.clients[replica]
    client.config_set("masteruser", "nobody")
    client.config_set("masterauth", "wrong")
    cluster_words(cluster, replica, "CLIENT", "KILL", "TYPE", "master")
    await publisher.until(50)  # which the replica does not have
    cluster_words(cluster, replica, "CLUSTER", "FAILOVER", "TAKEOVER")
    epoch = publisher.stored[-1][1].epoch
    async with asyncio.timeout(10):
        while publisher.stored[-1][1].epoch == epoch:
            await asyncio.sleep(0.01)
    await publisher.end()
    client.config_set("masteruser", "")
    client.config_set("masterauth", "")
    positions = [result.position for _, result in publisher.stored]
    assert len(set(positions)) == len(positions)
    assert [number for number, _ in publisher.results] == sorted(number for number, _ in publisher.results)
    await cluster.until_whole()


async def test_a_replica_that_came_is_waited_for(a: Node, cluster: ValkeyCluster) -> None:
    await cluster.until_whole()
    one, another = cluster.primaries()[:2]
    (moved,) = cluster.replicas_of(another)
    address = room_on(a, cluster, one, "replicated")
    assert (await a.publish(address, keep=REPLICATED)).offset == 1
    cluster_words(cluster, moved, "CLUSTER", "REPLICATE", cluster.ids[one])
    await eventually(partial(waits_for, a, a._link.owner_of(address.partition), 2), seconds=15)  # type: ignore[attr-defined]
    await cluster.until_whole()
    cluster.freeze(moved)
    try:
        with pytest.raises(Unavailable, match="unknown"):
            await a.publish(address, keep=REPLICATED)
    finally:
        cluster.thaw(moved)
        cluster_words(cluster, moved, "CLUSTER", "REPLICATE", cluster.ids[another])
    await cluster.until_whole()


async def waits_for(node: Node, owner: object, replicas: int) -> bool:
    return node._link.endpoint_of(owner).replicas == replicas  # type: ignore[attr-defined,no-any-return]
