"""Rooms of `acknowledge: replicated` over sockets and REST: nothing is acknowledged that a replica does not have."""

import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.preparation import open_storage
from service.protocol.events import ErrorEvent, HistoryEvent, Message, Published
from tests.support.fixtures import Cluster, Connect
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant, make_tenant
from tests.support.valkey import Valkey
from tests.support.wire_client import Client

pytestmark = pytest.mark.anyio


class Replicated(NamedTuple):
    """Two nodes on a Valkey that has a replica."""

    cluster: Cluster
    replica: Valkey

    def get_in_sync(self) -> None:
        client = self.cluster.valkey.client
        while not client.set("any", 1) or not client.wait(1, 1_000):
            pass


@pytest.fixture(scope="module")
def replicated(make_cluster: Callable[[], Cluster], logs: Path) -> Iterator[Replicated]:
    cluster = make_cluster()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name, value in (("port", port), ("repl-diskless-sync-delay", 0)):
        cluster.valkey.client.config_set(name, value)
    with tempfile.TemporaryDirectory(prefix="rcr", dir="/tmp") as folder:
        replica = Valkey(Path(folder), logs / "replica.log")
        replica.start()
        replica.client.replicaof("127.0.0.1", port)
        both = Replicated(cluster, replica)
        both.get_in_sync()
        for node in [cluster.start_node(), cluster.start_node()]:
            node.wait()
        yield both
        replica.stop()


@pytest.fixture
async def tenant(replicated: Replicated) -> AsyncIterator[Tenant]:
    """All replicas are well again."""
    replicated.replica.thaw()
    replicated.get_in_sync()
    storage = await open_storage(replicated.cluster.settings)
    tenant = await make_tenant(storage)
    await tenant.room_type("safe", pattern="safe*", acknowledge="replicated")
    yield tenant
    replicated.replica.thaw()
    await storage.close()


@pytest.fixture
async def connect(replicated: Replicated, tenant: Tenant) -> AsyncIterator[Connect]:
    """Opens sockets to both nodes in turn."""
    opened: list[Client] = []

    async def open_socket(user: str = "alice", **options: Any) -> Client:
        node = replicated.cluster.nodes[len(opened) % 2]
        opened.append(await Client.open(node.address, tenant.token(user), **options))
        return opened[-1]

    yield open_socket
    for client in opened:
        await client.close()


async def test_what_is_published_is_on_the_replica(connect: Connect, replicated: Replicated) -> None:
    alice, bob = await connect("alice"), await connect("bob", binary=True)
    for client in (alice, bob):
        await client.joins("safe")
    for number in range(1, 6):
        published = await alice.publishes("safe", number)
        assert str(published.position).endswith(f":{number}")
        streams = list(replicated.replica.client.scan_iter("rc1:*:s/*/safe"))
        assert number in [replicated.replica.client.xlen(stream) for stream in streams]
        await bob.expects(Message, offset=number, data=number)


async def test_published_waits_for_the_replica_and_what_others_say_meanwhile_comes_behind_it(
    connect: Connect, replicated: Replicated
) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    for client in (alice, bob):
        await client.joins("safe")
    await bob.publishes("safe", 0)
    await alice.expects(Message, offset=1)
    replicated.replica.freeze()
    await alice.sends("publish", room="safe", data="mine", id=1, echo=True)
    await bob.expects(Message, offset=2, data="mine")
    await bob.sends("publish", room="safe", data="other", id=1)  # at its own node, so this comes around, too
    await alice.hears_nothing()
    replicated.replica.thaw()
    await alice.expects(Message, offset=2, data="mine")
    first = await alice.expects(Published, id=1, duplicate=False)
    await alice.expects(Message, offset=3, data="other")
    second = await bob.expects(Published, id=1, duplicate=False)
    assert [str(each.position)[-2:] for each in (first, second)] == [":2", ":3"]


@pytest.mark.provokes("error:unavailable")
async def test_a_retry_of_what_the_replica_did_not_confirm_is_the_same_message(
    connect: Connect, replicated: Replicated
) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    for client in (alice, bob):
        await client.joins("safe")
    replicated.replica.freeze()
    await alice.sends("publish", room="safe", data="mine", key="k", id=1)
    assert (await bob.expects(Message, offset=1, data="mine")).offset == 1
    refusal = await alice.expects(ErrorEvent, id=1, code="unavailable", room="safe")
    assert "unknown" in refusal.message
    assert refusal.retry_after_ms
    await alice.expects(Message, offset=1, data="mine")
    again = await alice.refused("unavailable", "publish", room="safe", data="mine", key="k")
    assert "unknown" in again.message
    replicated.replica.thaw()
    published = await alice.publishes("safe", "mine", key="k")
    assert published.duplicate
    assert str(published.position).endswith(":1")
    await bob.hears_nothing()
    await alice.publishes("safe", "next")
    await bob.expects(Message, offset=2, data="next")


async def test_rest_waits_for_the_replica_and_a_retry_there_is_the_same_message(
    tenant: Tenant, replicated: Replicated
) -> None:
    first, second = replicated.cluster.nodes
    path, body = "/v1/rooms/safe/messages", {"data": "mine", "key": "k"}
    async with Rest(first.address, tenant.api_key) as rest, Rest(second.address, tenant.api_key) as other:
        replicated.replica.freeze()
        refusal = await rest.refused(503, "unavailable", "POST", path, body)
        assert "unknown" in refusal["detail"]
        assert refusal["retry_after_ms"]
        batch = await rest.ask(
            "POST", "/v1/messages", {"messages": [{"room": room, "data": 1} for room in ("safe", "x")]}
        )
        unsafe, stored = batch.json()["results"]
        assert (unsafe["problem"]["status"], stored["position"][-2:]) == (503, ":1")
        replicated.replica.thaw()
        published = await other.ask("POST", path, body)
        assert (published.status_code, published.json()["duplicate"]) == (201, True)
        kept = await other.get(path)
        assert [message["data"] for message in kept["messages"]] == ["mine", 1]


async def test_what_follows_a_publish_without_id_finds_it(connect: Connect) -> None:
    alice = await connect("alice")
    for number in range(20):
        await alice.sends_together(
            {"type": "publish", "room": "safe", "data": number},
            {"type": "history", "room": "safe", "limit": 1, "id": number},
        )
        page = await alice.expects(HistoryEvent, id=number)
        assert [alice.value(message.data) for message in page.messages] == [number]
