"""Faults under load beside those of `tests/faults/rows/`: connections to Redis cut, a restart that proves nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from service.preparation import open_storage
from tests.support.checker import check
from tests.support.fixtures import Cluster
from tests.support.load import KEPT_MESSAGES, converse
from tests.support.records import Acknowledged, Entered, Record, Told
from tests.support.tenants import Tenant, make_tenant

pytestmark = [pytest.mark.anyio, pytest.mark.alone]


@pytest.fixture(scope="module")
def tried(make_cluster: Callable[[], Cluster]) -> Cluster:
    """Two nodes on a Valkey."""
    cluster = make_cluster()
    for node in [cluster.start_node(), cluster.start_node()]:
        node.wait()
    return cluster


@pytest.fixture
async def crowd(tried: Cluster) -> AsyncIterator[Tenant]:
    await tried.settles()
    storage = await open_storage(tried.settings)
    yield await make_tenant(storage, max_connections_per_user=None)
    await storage.close()


def nothing_was_lost(records: list[Record]) -> None:
    assert check(records, KEPT_MESSAGES) == []
    assert not [record for record in records if isinstance(record, Told)]
    assert not [record for record in records if isinstance(record, Entered) and record.recovered is False]
    assert sum(isinstance(record, Acknowledged) for record in records) > 300


async def test_connections_to_redis_that_are_cut_again_and_again_lose_nothing(tried: Cluster, crowd: Tenant) -> None:
    async def faults() -> None:
        for number in range(8):
            await asyncio.sleep(0.5)
            kind = "pubsub" if number % 2 else "normal"
            tried.valkey.client.client_kill_filter(_type=kind, skipme=True)
        await asyncio.sleep(1)

    nothing_was_lost(await converse(crowd, tried.nodes, faults))


async def test_a_valkey_that_comes_back_without_proof_is_told_to_everybody(tried: Cluster, crowd: Tenant) -> None:
    async def faults() -> None:
        await asyncio.sleep(1)
        await asyncio.to_thread(tried.valkey.kill)
        await asyncio.to_thread(tried.valkey.start)
        await asyncio.sleep(3)

    records = await converse(crowd, tried.nodes, faults)
    assert check(records, KEPT_MESSAGES) == []
    told = {record.subscriber for record in records if isinstance(record, Told)}
    entered = {record.subscriber for record in records if isinstance(record, Entered)}
    assert told == entered
