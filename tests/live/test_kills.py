"""kill -9 under load: no acknowledged message lost, none twice, the order kept, for clients with `since`."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from service.preparation import open_storage
from tests.support.checker import check
from tests.support.fixtures import Cluster
from tests.support.load import KEPT_MESSAGES, converse
from tests.support.records import Acknowledged, Entered, Record, Refused, Told
from tests.support.tenants import Tenant, make_tenant

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def doomed(make_cluster: Callable[[], Cluster]) -> Cluster:
    """Two nodes on a Valkey that they take for their own: restarted, it has everything."""
    cluster = make_cluster()
    cluster.valkey.loses_nothing()
    for node in [cluster.start_node(redis_is_embedded=True), cluster.start_node(redis_is_embedded=True)]:
        node.wait()
    return cluster


@pytest.fixture
async def crowd(doomed: Cluster) -> AsyncIterator[Tenant]:
    await doomed.settles()
    storage = await open_storage(doomed.settings)
    yield await make_tenant(storage, max_connections_per_user=None)
    await storage.close()


def count(records: list[Record], kind: type[Record]) -> int:
    return sum(isinstance(record, kind) for record in records)


async def test_a_valkey_that_is_killed_and_comes_back_loses_nothing(doomed: Cluster, crowd: Tenant) -> None:
    async def faults() -> None:
        for _ in range(2):
            await asyncio.sleep(2)
            await asyncio.to_thread(doomed.valkey.kill)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(doomed.valkey.start)
        await asyncio.sleep(3)

    records = await converse(crowd, doomed.nodes, faults)
    assert check(records, KEPT_MESSAGES) == []
    assert count(records, Acknowledged) > 800
    assert count(records, Refused) > 0
    assert [record for record in records if isinstance(record, Told)] == []
    assert not any(isinstance(record, Entered) and record.recovered is False for record in records)


async def test_a_node_that_is_killed_loses_nothing(doomed: Cluster, crowd: Tenant) -> None:
    async def faults() -> None:
        for victim in doomed.nodes:
            await asyncio.sleep(2)
            await asyncio.to_thread(victim.kill)
            await asyncio.sleep(1)
            victim.start()
            await asyncio.to_thread(victim.wait)
        await asyncio.sleep(2)

    records = await converse(crowd, doomed.nodes, faults)
    assert check(records, KEPT_MESSAGES) == []
    assert count(records, Acknowledged) > 800
    assert [record for record in records if isinstance(record, Told)] == []
    assert sum(isinstance(record, Entered) and record.recovered is True for record in records) > 20
