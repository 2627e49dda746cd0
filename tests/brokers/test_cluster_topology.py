"""Where a Cluster's servers are: the URL, and what they say of each other."""

import socket
from typing import Any

import pytest

from service.brokers.cluster_topology import SLOTS, Address, ClusterEndpoint, _topology
from service.brokers.dialing import Unsuitable
from service.brokers.resp import pack
from tests.brokers.conftest import Nodes, Server

INFO = b"cluster_state:ok\r\ncluster_current_epoch:7\r\n"


def shard(*nodes: list[Any], slots: tuple[int, ...]) -> list[Any]:
    return [b"slots", list(slots), b"nodes", list(nodes), b"id", b"whatever"]


def node(port: int, role: bytes, health: bytes = b"online", endpoint: bytes = b"10.0.0.1") -> list[Any]:
    return [b"port", port, b"tls-port", port + 1, b"endpoint", endpoint, b"role", role, b"health", health]


def test_a_url_names_servers_a_user_and_tls() -> None:
    cluster = ClusterEndpoint("redis+cluster://al%2Fice:p%40ss@one,two:7000,[::1]:7001?tls=true", "node-a")
    assert cluster.seeds == (Address("one", 6379), Address("two", 7000), Address("::1", 7001))
    assert cluster.greeting[0] == pack("AUTH", "al/ice", "p@ss")
    assert cluster.tls is not None
    assert "p@ss" not in cluster.name
    assert ClusterEndpoint("redis+cluster://one", "node-a").tls is None


@pytest.mark.parametrize("url", ["redis+cluster://", "redis+cluster://one/3", "redis+cluster://one?database=1"])
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"host|Cluster"):
        ClusterEndpoint(url, "node-a")


def test_of_a_failed_primary_and_its_promoted_replica_the_one_that_is_up_serves() -> None:
    shards = [
        shard(node(1, b"master", b"fail"), node(2, b"master"), slots=(0, 8_000)),
        shard(node(3, b"replica"), node(4, b"master"), node(5, b"replica", b"fail"), slots=(8_001, 16_383)),
        shard(node(6, b"master"), slots=()),
    ]
    topology = _topology(INFO, shards, "asked", is_tls=False)
    assert topology.epoch == 7
    assert topology.owners == {tag: Address("10.0.0.1", 2 if slot <= 8_000 else 4) for tag, slot in SLOTS.items()}
    assert topology.replicas == {Address("10.0.0.1", 2): 1, Address("10.0.0.1", 4): 2, Address("10.0.0.1", 6): 0}


def test_slots_of_a_shard_that_is_down_have_no_owner() -> None:
    shards = [shard(node(1, b"master", b"failed"), node(2, b"replica"), slots=(0, 16_383))]
    assert _topology(INFO, shards, "asked", is_tls=False).owners == {}


def test_a_server_that_does_not_know_its_own_name_is_where_it_was_asked() -> None:
    shards = [shard(node(1, b"master", endpoint=b"?"), slots=(0, 16_383))]
    assert set(_topology(INFO, shards, "asked", is_tls=True).owners.values()) == {Address("asked", 2)}


@pytest.mark.anyio
async def test_one_redis_is_no_cluster(server: Server, nodes: Nodes) -> None:
    url = f"redis+cluster://127.0.0.1:{free_port(server)}"
    with pytest.raises(Unsuitable, match="redis://"):
        await nodes.start(url, "node-a")


def free_port(server: Server) -> int:
    """One at which the server listens from now on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    server.client.config_set("port", port)
    return port
