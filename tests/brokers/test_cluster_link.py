"""The link to a Cluster whose servers are out of reach."""

import asyncio
from itertools import pairwise

import pytest

from service.brokers import cluster_link
from service.brokers.cluster_link import DISCOVER_SECONDS, ClusterLink
from service.brokers.cluster_topology import ClusterEndpoint, Topology
from service.brokers.greeting import Policy
from service.protocol.errors import Unavailable

pytestmark = pytest.mark.anyio


@pytest.fixture
async def link(anyio_backend: str) -> ClusterLink:
    endpoint = ClusterEndpoint("redis+cluster://127.0.0.1:1", "node-a")
    return ClusterLink(endpoint, "node-a", lambda: None, Policy("database-1", is_cluster=True))


async def test_a_scan_is_refused_while_nobody_is_known_to_serve_a_slot(link: ClusterLink) -> None:
    with pytest.raises(Unavailable, match="out of reach"):
        await link.scan(0, b"*", 10)


async def test_with_the_link_dropped_the_lease_is_taken_for_ended(link: ClusterLink) -> None:
    link.lease_ends_at = asyncio.get_running_loop().time() + 60
    link.abort()
    assert not link.holds_lease
    assert link.run_id == ""


async def test_the_cluster_is_asked_where_everything_is_only_so_often(
    link: ClusterLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    async def discover(*_: object) -> Topology:
        asked.append(asyncio.get_running_loop().time())
        return Topology(1, {}, {})

    monkeypatch.setattr(cluster_link, "discover", discover)
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await link.open()
    assert min(later - earlier for earlier, later in pairwise(asked)) >= DISCOVER_SECONDS
