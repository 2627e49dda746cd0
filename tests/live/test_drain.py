"""Nodes that drain, on signals and over REST, under load: who is told what, and that nothing is lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from service.preparation import open_storage
from service.protocol.events import Closing, Joined, Published
from tests.support.fixtures import Cluster
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant, make_tenant
from tests.support.wire_client import Client, handshake
from tests.support.wire_client import Refused as RefusedHandshake

pytestmark = [pytest.mark.anyio, pytest.mark.alone]
OPERATOR_TOKEN = "operator-" + "0" * 32


@pytest.fixture(scope="module")
def drained(make_cluster: Callable[..., Cluster]) -> Cluster:
    """Two nodes, which the tests drain and start again."""
    cluster = make_cluster(operator_token=OPERATOR_TOKEN, drain_seconds=2)
    for node in [cluster.start_node(), cluster.start_node()]:
        node.wait()
    return cluster


@pytest.fixture
async def crowd(drained: Cluster) -> AsyncIterator[Tenant]:
    await drained.settles()
    storage = await open_storage(drained.settings)
    yield await make_tenant(storage, max_connections_per_user=None)
    await storage.close()


@pytest.fixture
async def operator(drained: Cluster) -> AsyncIterator[Rest]:
    """The operator, at the first node."""
    async with Rest(drained.nodes[0].address, OPERATOR_TOKEN) as rest:
        yield rest


async def ended(node: LiveNode) -> None:
    """It has ended with exit code 0; start it again."""
    assert await asyncio.to_thread(node.ended) == 0
    node.start()
    await asyncio.to_thread(node.wait)


async def closes(clients: list[Client], code: int) -> tuple[list[Closing], list[float]]:
    """Each client's `closing`, and when its socket closed."""
    at: list[float] = []

    async def one(client: Client) -> Closing:
        closing = await client.is_closed_with(code)
        at.append(time.monotonic())
        client.drop()
        assert closing is not None
        return closing

    return [*await asyncio.gather(*map(one, clients))], sorted(at)


@pytest.mark.provokes("close:1001")
async def test_a_node_that_ends_closes_its_sockets_bit_by_bit_and_tells_each_when_to_come_back(
    drained: Cluster, crowd: Tenant
) -> None:
    node = drained.nodes[1]
    clients = [
        await Client.open(node.address, crowd.token(f"u{number}"), binary=number % 2 == 1) for number in range(60)
    ]
    node.terminate()
    closings, at = await closes(clients, 1001)
    assert all(closing.reconnect for closing in closings)
    assert len({closing.after_ms for closing in closings}) > 40
    assert 1.5 < at[-1] - at[0] < 4
    halves = [when - at[0] < (at[-1] - at[0]) / 2 for when in at]
    assert 20 < sum(halves) < 40
    await ended(node)


@pytest.mark.provokes("close:1012")
async def test_a_node_that_restarts_says_1012_and_leaves_who_comes_to_another(drained: Cluster, crowd: Tenant) -> None:
    node = drained.nodes[1]
    clients = [await Client.open(node.address, crowd.token(f"u{number}")) for number in range(8)]
    node.hang_up()
    closings, _ = await closes(clients, 1012)
    assert all(closing.reconnect for closing in closings)
    with pytest.raises(ConnectionRefusedError):  # nobody else has the port
        await handshake(node.address, crowd.token())
    await ended(node)


async def test_a_node_with_few_sockets_ends_at_once(drained: Cluster, crowd: Tenant) -> None:
    for count in (0, 3):
        node = drained.nodes[1]
        clients = [await Client.open(node.address, crowd.token(f"u{number}")) for number in range(count)]
        started = time.monotonic()
        node.terminate()
        await closes(clients, 1001)
        assert await asyncio.to_thread(node.ended) == 0
        assert time.monotonic() - started < 2
        node.start().wait()


@pytest.mark.provokes("close:1013")
async def test_a_draining_node_is_not_ready_and_refuses_who_comes(drained: Cluster, crowd: Tenant) -> None:
    node = drained.nodes[1]
    clients = [await Client.open(node.address, crowd.token(f"u{number}")) for number in range(40)]
    node.terminate()
    await node.becomes(503)
    with pytest.raises(RefusedHandshake) as refused:
        await handshake(node.address, crowd.token())
    assert refused.value.status == 503
    assert refused.value.problem["type"] == "urn:roomcast:error:unavailable"
    assert refused.value.problem["retry_after_ms"] > 0
    assert int(refused.value.headers["retry-after"]) >= 1
    browser = await handshake(node.address, crowd.token(), in_subprotocol=True)
    closing = await browser.is_closed_with(1013)
    assert closing is not None
    assert closing.reconnect
    assert closing.after_ms > 0
    await closes(clients, 1001)
    await ended(node)


async def test_a_second_signal_ends_the_node_at_once_and_hands_everything_back(drained: Cluster, crowd: Tenant) -> None:
    node = drained.start_node(drain_seconds=60).wait()
    clients = [await Client.open(node.address, crowd.token(f"u{number}")) for number in range(100)]
    started = time.monotonic()
    node.terminate()
    await node.becomes(503)
    node.terminate()
    closings, _ = await closes(clients, 1001)
    assert await asyncio.to_thread(node.ended) == 0
    assert time.monotonic() - started < 3
    assert len({closing.after_ms for closing in closings}) > 80
    async with Rest(drained.nodes[0].address, crowd.api_key) as rest:
        assert (await rest.get("/v1/counts"))["connections"] == 0
    drained.nodes.remove(node)


async def test_publishes_in_flight_are_answered_before_their_socket_closes(drained: Cluster, crowd: Tenant) -> None:
    node = drained.nodes[1]
    clients = [await Client.open(node.address, crowd.token(f"u{number}")) for number in range(6)]
    for client in clients:
        await client.asks(Joined, "join", room="chat")
    drained.valkey.freeze()  # for less than an operation may take
    try:
        for client in clients:
            await client.sends("publish", room="chat", data=1, id="mine")
        await asyncio.sleep(0.1)
        node.terminate()
        await node.becomes(503)
        await asyncio.sleep(0.4)
    finally:
        drained.valkey.thaw()
    for client in clients:
        while not isinstance(event := await client.next(), Published):
            assert not isinstance(event, Closing)
        assert event.id == "mine"
    await closes(clients, 1001)
    await ended(node)


# Over REST


async def test_the_operator_sees_all_nodes(drained: Cluster, crowd: Tenant, operator: Rest) -> None:
    client = await Client.open(drained.nodes[1].address, crowd.token())

    async def seen() -> list[Any]:
        page = await operator.get("/v1/nodes")
        assert page.keys() == {"items", "next_cursor"}
        items: list[Any] = page["items"]
        return items

    nodes = await until(seen, lambda nodes: len(nodes) == 2 and sum(node["connections"] for node in nodes) == 1)
    assert [node["connections"] for node in nodes if node["node"] == client.welcome.node] == [1]
    for node in nodes:
        assert node.keys() == {
            "node", "version", "started_at_ms", "connections", "draining", "loop_lag_ms", "memory_bytes"
        }  # fmt: skip
        assert node["draining"] is False
        assert time.time() * 1000 - node["started_at_ms"] < 300_000
    await client.close()


async def test_the_operator_drains_a_node_through_another_one(drained: Cluster, crowd: Tenant, operator: Rest) -> None:
    clients = [await Client.open(drained.nodes[1].address, crowd.token(f"u{number}")) for number in range(30)]
    name = clients[0].welcome.node

    async def seen() -> list[Any]:
        items: list[Any] = (await operator.get("/v1/nodes"))["items"]
        return items

    await until(seen, lambda nodes: any(node["node"] == name for node in nodes))
    answer = await operator.ask("POST", f"/v1/nodes/{name}/drain")
    assert (answer.status_code, answer.json()["node"], answer.json()["draining"]) == (202, name, True)
    await until(seen, lambda nodes: any(node["node"] == name and node["draining"] for node in nodes))
    assert (await operator.ask("POST", f"/v1/nodes/{name}/drain")).status_code == 202  # it drains on
    _, at = await closes(clients, 1001)
    assert at[-1] - at[0] > 1
    await ended(drained.nodes[1])
    await until(seen, lambda nodes: all(node["node"] != name for node in nodes))
    await operator.refused(404, "not_found", "POST", f"/v1/nodes/{name}/drain")


async def test_a_node_drains_itself_when_it_is_asked(drained: Cluster, crowd: Tenant) -> None:
    node = drained.nodes[1]
    client = await Client.open(node.address, crowd.token())
    async with Rest(node.address, OPERATOR_TOKEN) as rest:
        answer = await rest.ask("POST", f"/v1/nodes/{client.welcome.node}/drain")
        assert answer.status_code == 202
    await closes([client], 1001)
    await ended(node)


async def test_a_tenants_key_drains_nothing_and_sees_no_node(drained: Cluster, crowd: Tenant) -> None:
    client = await Client.open(drained.nodes[1].address, crowd.token())
    path = f"/v1/nodes/{client.welcome.node}/drain"
    for node in drained.nodes:
        async with Rest(node.address, crowd.api_key) as rest:
            await rest.refused(403, "forbidden", "POST", path)
            await rest.refused(403, "forbidden", "GET", "/v1/nodes")
        async with Rest(node.address, crowd.token()) as rest:
            await rest.refused(401, "unauthenticated", "POST", path)
    await client.hears_nothing()
    await client.close()


async def until(ask: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """What is seen when it holds: within 5 s."""
    deadline = time.monotonic() + 5
    while not holds(seen := await ask()):
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.02)
    return seen
