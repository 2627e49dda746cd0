import asyncio
import signal
from collections.abc import Mapping
from typing import cast

import pytest

from service.brokers.keys import Keyspace, is_key_of
from tests.brokers.conftest import Node, Nodes, Server, eventually

pytestmark = pytest.mark.anyio


async def becomes(node: Node, tenant_id: str, connections: Mapping[str, int], seconds: float = 2) -> None:
    """The node comes to tell these counts."""

    async def tells() -> bool:
        return await node.key_connections(tenant_id) == connections

    await eventually(tells, seconds)


async def test_connections_under_each_key_are_told_within_2_s_over_all_nodes(a: Node, b: Node) -> None:
    a.note_key_use("T1", {"first": 2, "second.key:x": 1})
    b.note_key_use("T1", {"first": 3})
    b.note_key_use("T2", {"first": 7})
    for node in (a, b):
        await becomes(node, "T1", {"first": 5, "second.key:x": 1})
    a.note_key_use("T1", {"second.key:x": 0})
    a.note_key_use("T1", {"first": 1})
    await becomes(b, "T1", {"first": 4})
    assert await b.key_connections("T2") == {"first": 7}
    assert await b.key_connections("T3") == {}


async def test_keys_that_nobody_uses_any_more_are_not_remembered(a: Node, server: Server) -> None:
    a.note_key_use("T1", {"first": 1})
    await becomes(a, "T1", {"first": 1})
    a.note_key_use("T1", {"first": 0})
    await becomes(a, "T1", {})
    async with asyncio.timeout(2):
        while a._key_use._counts:
            await asyncio.sleep(0.01)
    assert keys_of(server, "T1", "*:y/*") == []


async def test_a_new_lease_is_told_of_keys_in_use_again(a: Node, b: Node, server: Server) -> None:
    a.note_key_use("T1", {"first": 2})
    await becomes(b, "T1", {"first": 2})
    server.client.client_kill_filter(_type="normal", skipme=True)
    await a.listener.until_back(1)
    await becomes(b, "T1", {"first": 2})
    server.client.zrem(Keyspace.LEASES, a._link.lease)  # as if another node had ended it
    await becomes(b, "T1", {})
    await becomes(b, "T1", {"first": 2}, seconds=5)
    (noted,) = keys_of(server, "T1", "*:y/*")
    async with asyncio.timeout(5):
        while server.client.hlen(noted.decode()) != 1:
            await asyncio.sleep(0.01)


async def test_a_dead_nodes_connections_under_a_key_end_with_its_lease(a: Node, server: Server, nodes: Nodes) -> None:
    gone = await nodes.start(server.url, "node-gone")
    gone.note_key_use("T1", {"first": 2})
    a.note_key_use("T1", {"first": 1})
    await becomes(a, "T1", {"first": 3})
    server.client.zadd(Keyspace.LEASES, {gone._link.lease: 1})  # its time is over
    await becomes(a, "T1", {"first": 1}, seconds=5)


async def test_what_redis_could_not_be_told_is_told_when_it_is_back(a: Node, server: Server) -> None:
    a.note_key_use("T1", {"first": 1})
    await becomes(a, "T1", {"first": 1})
    server.signal(signal.SIGSTOP)
    try:
        a.note_key_use("T1", {"first": 2, "second": 1})
        await a.listener.until_heard("lost")
    finally:
        server.signal(signal.SIGCONT)
    await becomes(a, "T1", {"first": 2, "second": 1}, seconds=10)


async def test_nodes_count_each_other_by_their_leases(a: Node, server: Server, nodes: Nodes) -> None:
    assert a.node_count() == 1
    others = [await nodes.start(server.url, f"node-{number}") for number in range(3)]
    assert others[-1].node_count() == 4

    async def all_count(count: int) -> None:
        async with asyncio.timeout(5):
            while {node.node_count() for node in (a, *others)} != {count}:
                await asyncio.sleep(0.01)

    await all_count(4)
    await others.pop().stop()
    await all_count(3)


async def fill(node: Node, tenant_id: str) -> None:
    """Something of every kind that Redis keeps for a tenant."""
    await node.enter(tenant_id, f"{tenant_id}-connection", "alice", "chat", "news")
    for room in ("chat", "quiet", *(f"room-{number}" for number in range(100))):
        await node.publish(node.address(tenant_id, room), key=("alice", f"x/{tenant_id}/../T1/y"))
        node._budget.note_published(tenant_id, room, 1_000_000)
    node.note_key_use(tenant_id, {"first": 1})
    await becomes(node, tenant_id, {"first": 1})


def keys_of(server: Server, tenant_id: str, pattern: str = "*") -> list[bytes]:
    found = cast(list[bytes], server.client.keys(pattern))
    return [key for key in found if is_key_of(tenant_id, key)]


async def test_nothing_is_left_of_a_purged_tenant_and_nothing_of_another_is_touched(
    a: Node, b: Node, server: Server
) -> None:
    await fill(a, "T1")
    await fill(b, "T12")
    async with asyncio.timeout(5):
        while not keys_of(server, "T1", "*:b/*"):
            await asyncio.sleep(0.01)
    kept, had = len(keys_of(server, "T12")), len(keys_of(server, "T1"))
    assert kept > 200
    removed = cursor = 0
    while True:
        cursor, count = await b.purge_tenant("T1", cursor)
        removed += count
        if not cursor:
            break
    assert removed == had
    assert keys_of(server, "T1") == []
    noted = cast(list[bytes], server.client.keys("rc1:{n}:lt/*"))
    tenants = set[bytes]().union(*(cast(set[bytes], server.client.smembers(key.decode())) for key in noted))
    assert tenants == {b"T12"}
    assert len(keys_of(server, "T12")) >= kept
    assert await b.counts("T12") == (1, 1, 2)
    assert await a.counts("T1") == (0, 0, 0)


async def test_a_large_tenant_is_purged_in_slices(a: Node, server: Server) -> None:
    pipeline = server.client.pipeline()
    for number in range(20_000):
        pipeline.set(f"rc1:{{p{number % 256}}}:m/T1/room-{number}", 1)
    pipeline.execute()
    slices: list[int] = []
    cursor = 0
    while not slices or cursor:
        cursor, removed = await a.purge_tenant("T1", cursor)
        slices.append(removed)
    assert sum(slices) == 20_000
    assert len(slices) >= 15
