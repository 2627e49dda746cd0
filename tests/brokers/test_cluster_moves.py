"""Slots that move while they are in use: nothing is lost, the order stays, no epoch ends."""

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest

from service.brokers.broker import Publication, Retention, RoomAddress
from service.protocol.errors import RoomcastError, Unavailable
from tests.brokers.conftest import Node, Nodes, Room
from tests.support.valkey_cluster import ValkeyCluster

pytestmark = pytest.mark.anyio

ALL = Retention(100_000, 300)
REPLICATED = Retention(100_000, 300, None, is_replicated=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"))
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
async def a(cluster: ValkeyCluster, nodes: Nodes) -> Node:
    return await nodes.start(cluster.url, "node-a")


@pytest.fixture
async def b(cluster: ValkeyCluster, nodes: Nodes) -> Node:
    return await nodes.start(cluster.url, "node-b")


def elsewhere(cluster: ValkeyCluster, address: RoomAddress) -> int:
    """A primary that does not serve the room."""
    owner = cluster.primary_of(f"p{address.partition}")
    return next(server for server in cluster.primaries() if server != owner)


async def move(cluster: ValkeyCluster, address: RoomAddress, pause_seconds: float = 0.0) -> None:
    await cluster.move_slots(f"p{address.partition}", elsewhere(cluster, address), pause_seconds=pause_seconds)


class Publisher:
    """Publishes numbers to a room, many in flight, and writes down what became of each, in the order of the answers."""

    def __init__(self, node: Node, address: RoomAddress, keep: Retention = ALL) -> None:
        self.results: list[tuple[int, Publication | RoomcastError]] = []
        self._keep = keep
        self._node = node
        self._address = address
        self._task = asyncio.create_task(self._run())
        self._sent = 0

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(0.001)
            number = self._sent
            self._sent += 1
            publishing = self._node.publishing(self._address, b'"data":%d' % number, keep=self._keep)
            asyncio.ensure_future(publishing).add_done_callback(partial(self._note, number))

    def _note(self, number: int, done: "asyncio.Future[Publication]") -> None:
        error = done.exception()
        assert error is None or isinstance(error, RoomcastError)
        self.results.append((number, error or done.result()))

    async def until(self, count: int) -> None:
        """So many more were acknowledged."""
        wanted = len(self.stored) + count
        async with asyncio.timeout(10):
            while len(self.stored) < wanted:
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        self._task.cancel()
        async with asyncio.timeout(5):
            while len(self.results) < self._sent:
                await asyncio.sleep(0.01)

    @property
    def stored(self) -> list[tuple[int, Publication]]:
        return [(number, result) for number, result in self.results if isinstance(result, Publication)]


async def everything(node: Node, address: RoomAddress) -> list[tuple[int, bytes]]:
    history = await node.history(address, limit=100_000, max_bytes=100_000_000)
    return [(message.offset, message.body) for message in history.messages]


@pytest.mark.parametrize("pause_seconds", [0.0, 0.2])
async def test_publishes_go_on_in_their_order_while_their_slot_moves(
    a: Node, b: Node, cluster: ValkeyCluster, pause_seconds: float
) -> None:
    address, room = a.address("T1", f"moved-{pause_seconds}"), Room()
    await b.subscribe(b.address("T1", address.room), room)
    filler = [a.address("T1", f"filler-{number}") for number in range(5_000)]
    await asyncio.gather(*[a.publish(each) for each in filler if each.partition == address.partition])
    await a.publish(address, b'"data":-1', keep=ALL)
    publisher = Publisher(a, address)
    for _ in range(3):
        await publisher.until(50)
        await move(cluster, address, pause_seconds)
    await publisher.until(50)
    await publisher.end()
    assert [number for number, _ in publisher.results] == sorted(number for number, _ in publisher.results)
    refused = [result for _, result in publisher.results if not isinstance(result, Publication)]
    assert all(isinstance(result, Unavailable) and "nothing was stored" in result.message for result in refused)
    assert len(refused) < len(publisher.results) / 2
    kept = dict(await everything(b, address))
    assert {result.epoch for _, result in publisher.stored} == {(await b.history(address)).head.epoch}
    assert [kept[result.offset] for _, result in publisher.stored] == [b'"data":%d' % n for n, _ in publisher.stored]
    assert len(kept) == len(publisher.stored) + 1
    await room.until(lambda: room.interruptions >= 3)  # what came between is read from history
    heard = [message.offset for message in room.messages]
    assert heard == sorted(set(heard))
    await b.publish(address, b'"data":"last"')
    await room.until(lambda: room.messages[-1].body == b'"data":"last"')


async def test_joins_and_leaves_that_meet_a_moving_slot_are_done_when_it_has_moved(
    a: Node, b: Node, cluster: ValkeyCluster
) -> None:
    address = a.address("T1", "moving-members")
    await a.enter("T1", "connection-1", "alice", address.room)
    await a.enter("T1", "connection-2", "bob", address.room)
    moving = asyncio.create_task(move(cluster, address, 0.3))
    await asyncio.sleep(0.1)  # the keys have gone, and nobody was told
    assert not moving.done()
    a.left(address, "connection-1")
    await asyncio.gather(a.join(address, "connection-3", "carol", None), moving)

    async def members() -> list[str]:
        return [member.connection for member in (await b.list_members(address, "", 10, 10_000)).members]

    assert await members() == ["connection-2", "connection-3"]
    assert a.listener.heard == b.listener.heard == []


async def test_what_waits_too_long_for_a_moving_slot_is_refused_in_time(a: Node, cluster: ValkeyCluster) -> None:
    address = a.address("T1", "slow-move")
    await a.publish(address)
    moving = asyncio.create_task(move(cluster, address, 2.5))
    await asyncio.sleep(0.1)
    began = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable, match="nothing was stored"):
        await a.publish(address)
    assert asyncio.get_running_loop().time() - began < 1.5
    await moving
    assert (await a.publish(address)).offset == 2


async def test_the_leases_may_move_too(a: Node, b: Node, cluster: ValkeyCluster) -> None:
    lease = a._link.lease
    await a.enter("T1", "connection-4", "alice", "chat")
    owner = cluster.primary_of("n")
    await cluster.move_slots("n", next(server for server in cluster.primaries() if server != owner))
    for _ in range(20):
        await asyncio.sleep(0.1)
        assert a.is_ready
    assert a._link.lease == lease
    await a.broadcast_to_user("T1", "alice", b'"data":1')
    await a.listener.until_heard("direct", "T1", "alice", b'"data":1')
    assert await b.ask_to_drain("node-a")
    assert a.listener.heard.count(("direct", "T1", "alice", b'"data":1')) == 1
    assert a.node_count() == 2


async def test_a_move_in_one_step_loses_nothing_either(a: Node, b: Node, cluster: ValkeyCluster) -> None:
    address, room = a.address("T1", "atomic"), Room()
    await b.subscribe(b.address("T1", "atomic"), room)
    epoch = (await a.publish(address, keep=ALL)).epoch
    publisher = Publisher(a, address)
    await publisher.until(50)
    await cluster.move_in_one_step(f"p{address.partition}", elsewhere(cluster, address))
    await publisher.until(50)
    await publisher.end()
    assert {result.epoch for _, result in publisher.stored} == {epoch}
    assert [result.offset for _, result in publisher.stored] == list(range(2, 2 + len(publisher.results)))
    await room.until(lambda: room.interruptions)


async def test_replicated_publishes_wait_for_the_replicas_of_their_own_primary(a: Node, cluster: ValkeyCluster) -> None:
    address = a.address("T1", "replicated")
    frozen = next(server for server in cluster.primaries() if server != cluster.primary_of(f"p{address.partition}"))
    (replica,) = cluster.replicas_of(frozen)
    elsewhere = next(a.address("T1", f"r-{n}") for n in range(99) if serves(cluster, frozen, a.address("T1", f"r-{n}")))
    assert (await a.publish(elsewhere, keep=REPLICATED)).offset == 1
    cluster.freeze(replica)
    try:
        for offset in (1, 2):
            assert (await a.publish(address, keep=REPLICATED)).offset == offset
        with pytest.raises(Unavailable, match="unknown"):
            await a.publish(elsewhere, keep=REPLICATED)
    finally:
        cluster.thaw(replica)
    await cluster.until_whole()


def serves(cluster: ValkeyCluster, server: int, address: RoomAddress) -> bool:
    return cluster.primary_of(f"p{address.partition}") == server


async def test_replicated_publishes_keep_their_order_while_their_slot_moves(a: Node, cluster: ValkeyCluster) -> None:
    address = a.address("T1", "replicated-moves")
    epoch = (await a.publish(address, keep=REPLICATED)).epoch
    publisher = Publisher(a, address, REPLICATED)
    for _ in range(2):
        await publisher.until(20)
        await move(cluster, address)
    await publisher.until(20)
    await publisher.end()
    assert [number for number, _ in publisher.results] == sorted(number for number, _ in publisher.results)
    assert {result.epoch for _, result in publisher.stored} == {epoch}
    kept = dict(await everything(a, address))
    assert [kept[result.offset] for _, result in publisher.stored] == [b'"data":%d' % n for n, _ in publisher.stored]
