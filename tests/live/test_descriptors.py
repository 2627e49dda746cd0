"""A node whose file descriptors run out: it says so while it can, and takes sockets again when some are gone."""

import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable

import pytest

from service.preparation import open_storage
from tests.support.fixtures import Cluster
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant, make_tenant
from tests.support.wire_client import Client, Refused, handshake

pytestmark = pytest.mark.anyio
DESCRIPTORS = 260  # 132 of them for sockets, and what the node has open


@pytest.fixture(scope="module")
def narrow(make_cluster: Callable[..., Cluster]) -> Cluster:
    """One node with few file descriptors."""
    cluster = make_cluster()
    node = cluster.start_node().wait()
    node.stop()
    node.start(descriptor_limit=DESCRIPTORS).wait()
    return cluster


@pytest.fixture
async def tenant(narrow: Cluster) -> AsyncIterator[Tenant]:
    storage = await open_storage(narrow.settings)
    yield await make_tenant(storage, max_connections_per_user=None)
    await storage.close()


@pytest.mark.provokes("close:1013")
async def test_sockets_are_refused_before_descriptors_run_out_and_come_in_again(
    narrow: Cluster, tenant: Tenant
) -> None:
    (node,) = narrow.nodes
    clients: list[Client] = []
    refused: Refused | None = None
    while refused is None:
        try:
            clients.append(await Client.open(node.address, tenant.token()))
        except Refused as answer:
            refused = answer
    assert refused.status == 503
    assert refused.problem["retry_after_ms"] > 0
    assert 80 < len(clients) < DESCRIPTORS - 128
    browser = await handshake(node.address, tenant.token(), in_subprotocol=True)
    closing = await browser.is_closed_with(1013)
    assert closing is not None
    assert closing.after_ms > 0
    async with Rest(node.address, tenant.api_key) as rest:  # requests are served all the time
        assert (await rest.get("/v1/counts"))["connections"] == len(clients)
    narrow.valkey.client.client_kill_filter(_type="normal", skipme=True)  # and Redis can be reached anew
    await node.becomes(200)
    for client in clients:
        await client.close()
    await comes_in(node.address, tenant)


async def test_a_crowd_that_takes_all_descriptors_is_gone_when_it_goes(narrow: Cluster, tenant: Tenant) -> None:
    (node,) = narrow.nodes
    host, port = node.address.removeprefix("http://").split(":")
    crowd = [socket.create_connection((host, int(port))) for _ in range(2 * DESCRIPTORS)]
    with contextlib.suppress(Refused, OSError, EOFError):
        await handshake(node.address, tenant.token())
    for each in crowd:
        each.close()
    await comes_in(node.address, tenant)
    await node.becomes(200)


async def comes_in(address: str, tenant: Tenant) -> None:
    """Somebody comes in within 5 s."""
    deadline = time.monotonic() + 5
    while True:
        try:
            await (await Client.open(address, tenant.token())).close()
            return
        except (Refused, OSError, EOFError):
            assert time.monotonic() < deadline
