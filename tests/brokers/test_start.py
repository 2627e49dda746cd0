from collections.abc import Callable
from pathlib import Path

import pytest

from service.brokers.link import Unsuitable, check_server
from service.protocol.errors import Unavailable
from tests.brokers.conftest import Nodes, Server

pytestmark = pytest.mark.anyio


async def test_two_systems_cannot_share_a_database_but_can_share_a_server(server: Server, nodes: Nodes) -> None:
    first = await nodes.start(server.url, "a", database_id="one")
    with pytest.raises(Unsuitable, match="belongs to another Roomcast"):
        await nodes.start(server.url, "b", database_id="two")
    second = await nodes.start(f"{server.url}?db=3", "c", database_id="two")
    await first.publish(first.address("T1", "chat"))
    assert (await second.publish(second.address("T1", "chat"))).position.offset == 1
    await first.announce_tenant_change("T1")
    await second.announce_tenant_change("T2")
    await first.listener.until_heard("change", "T1")
    await second.listener.until_heard("change", "T2")
    assert len(first.listener.heard) == len(second.listener.heard) == 1


async def test_data_of_a_newer_format_is_refused(server: Server, nodes: Nodes) -> None:
    server.client.hset("rc1:{n}:system", "format", "2")
    with pytest.raises(Unsuitable, match="upgrade this node"):
        await nodes.start(server.url, "a")


async def test_a_redis_that_throws_data_away_is_refused(make_server: Callable[..., Server], nodes: Nodes) -> None:
    server = make_server("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with pytest.raises(Unsuitable, match="set it to noeviction"):
        await nodes.start(server.url, "a")
    server.client.config_set("maxmemory-policy", "noeviction")
    await nodes.start(server.url, "a")


async def test_a_replica_is_not_used(make_server: Callable[..., Server], nodes: Nodes) -> None:
    server = make_server("--replicaof", "127.0.0.1", "1")
    with pytest.raises(Unavailable, match="replica"):
        await nodes.start(server.url, "a")


async def test_nobody_there_is_an_os_error(tmp_path: Path, nodes: Nodes) -> None:
    with pytest.raises(OSError, match=r"v\.sock|No such file"):
        await nodes.start(f"unix://{tmp_path}/v.sock", "a")


async def test_user_and_password_are_taken_from_the_url(make_server: Callable[..., Server], nodes: Nodes) -> None:
    server = make_server("--user", "room", "on", ">se/cret", "~*", "&*", "+@all")
    node = await nodes.start(f"unix://room:se%2Fcret@{server.socket}", "a")
    assert (await node.publish(node.address("T1", "chat"))).stored
    for url in (f"unix://room:wr0ng@{server.socket}", f"unix://room:se%2Fcret@{server.socket}?db=99"):
        with pytest.raises(Unsuitable, match="check user, password and database number") as refused:
            await nodes.start(url, "b")
        assert "wr0ng" not in str(refused.value)
    server.client.acl_setuser("default", enabled=False)
    with pytest.raises(Unsuitable, match="NOAUTH"):
        await nodes.start(server.url, "c")


@pytest.mark.parametrize(
    ("facts", "refused"),
    [
        ({"redis_version": "6.2.14"}, "Redis 6.2.14: give Redis 7"),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.5"}, "Valkey 7.2.5: give Redis 7 or Valkey 8"),
        ({"redis_version": "7.0.0", "maxmemory": "1", "maxmemory_policy": "volatile-ttl"}, "noeviction"),
    ],
)
def test_unsuitable_servers_are_told_apart(facts: dict[str, str], refused: str) -> None:
    with pytest.raises(Unsuitable, match=refused):
        check_server(facts)


def test_suitable_servers_pass() -> None:
    check_server({"redis_version": "7.0.0", "maxmemory": "0", "maxmemory_policy": "allkeys-lru"})
    check_server({"redis_version": "7.2.4", "valkey_version": "10.0.0", "role": "master"})
