"""PostgreSQL goes away, frozen or killed: clients of known tenants notice nothing, changes are refused, all heals.

Ten minutes are shortened to some seconds: longer than every deadline of SQL, so that nothing new happens later.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest

from service.protocol.events import Joined, Message
from service.tenants.audit import OPERATOR
from service.tenants.storage import Storage
from tests.support.fixtures import Cluster
from tests.support.live_server import LiveNode
from tests.support.postgres import PostgresServer
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant, make_tenant
from tests.support.wire_client import Client, Refused

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

OUTAGE_SECONDS = 10.0
# What a client may wait while SQL is away: as at all times, with room for two busy cores.
UNNOTICED_SECONDS = 1.0
HEALING_SECONDS = 10.0

Opened = Callable[[Awaitable[Client]], Awaitable[Client]]


@pytest.fixture
async def opened(anyio_backend: str) -> AsyncIterator[Opened]:
    """Gives a socket that is opened, and closes it after the test."""
    clients: list[Client] = []

    async def keep(opening: Awaitable[Client]) -> Client:
        clients.append(await opening)
        return clients[-1]

    yield keep
    for client in clients:
        await client.close()


@pytest.fixture
async def servers(sql_cluster: Cluster, sql_tenant: Tenant) -> AsyncIterator[list[Rest]]:
    """The tenant's servers, one at each node. Made before SQL goes: 20 ms of CPU each."""
    async with AsyncExitStack() as stack:
        clients = [Rest(node.address, sql_tenant.api_key) for node in sql_cluster.nodes]
        yield [await stack.enter_async_context(client) for client in clients]


@pytest.fixture
async def sql_tenant(sql_storage: Storage) -> Tenant:
    return await make_tenant(sql_storage)


@contextmanager
def away(server: PostgresServer, fault: str) -> Iterator[None]:
    """No SQL within."""
    go, come = (server.freeze, server.thaw) if fault == "frozen" else (server.stop, server.start)
    go()
    try:
        yield
    finally:
        come()


async def works(node: LiveNode, rest: Rest, tenant: Tenant, alice: Client, bob: Client, number: int) -> None:
    """A publish by socket and one by REST arrive, and a new client is let in."""
    started = time.monotonic()
    await alice.publishes("chat", number)
    assert (await bob.expects(Message, room="chat")).offset == 2 * number + 1
    await rest.publish("chat", number)
    for client in (alice, bob):
        assert (await client.expects(Message, room="chat")).offset == 2 * number + 2
    carol = await Client.open(node.address, tenant.token("carol"))
    await carol.asks(Joined, "join", room="lobby")
    await carol.close()
    assert time.monotonic() - started < UNNOTICED_SECONDS


async def change(rest: Rest) -> int:
    """The status of a change by the tenant's server."""
    answer = await rest.ask("POST", "/v1/keys", {"name": "new", "scopes": ["read"]})
    assert answer.status_code in (201, 503), answer.text
    if answer.status_code == 503:
        assert answer.json()["type"] == "urn:roomcast:error:unavailable"
    return answer.status_code


@pytest.mark.parametrize(
    "fault", [pytest.param("frozen", marks=pytest.mark.skipif(sys.platform != "linux", reason="no /proc")), "killed"]
)
async def test_with_sql_away_known_tenants_work_on_changes_are_unavailable_and_all_heals(
    sql_cluster: Cluster,
    sql_storage: Storage,
    sql_tenant: Tenant,
    servers: list[Rest],
    opened: Opened,
    postgres_server: PostgresServer,
    fault: str,
) -> None:
    node, other_node = sql_cluster.nodes
    tenant, unknown = sql_tenant, await make_tenant(sql_storage)
    alice = await opened(Client.open(node.address, tenant.token("alice")))
    bob = await opened(Client.open(other_node.address, tenant.token("bob")))
    for client in (alice, bob):
        await client.joins("chat")
    with away(postgres_server, fault):
        refused = asyncio.gather(*(change(each) for each in servers for _ in range(10)))
        ends_at = time.monotonic() + OUTAGE_SECONDS
        number = 0
        while time.monotonic() < ends_at:
            await works(sql_cluster.nodes[number % 2], servers[number % 2], tenant, alice, bob, number)
            number += 1
        assert set(await refused) == {503}
        with pytest.raises(Refused) as unavailable:
            await Client.open(node.address, unknown.token())
        assert unavailable.value.status == 503
        await node.becomes(200)
    healed_by = time.monotonic() + HEALING_SECONDS
    for each in servers:
        while await change(each) != 201:
            assert time.monotonic() < healed_by
    await opened(Client.open(node.address, unknown.token()))
    await works(node, servers[0], tenant, alice, bob, number)
    await sql_storage.keys.revoke_signing_key(OPERATOR, tenant.id, tenant.kid)
    started = time.monotonic()
    for client in (alice, bob):
        await client.is_closed_with(4401)
    assert time.monotonic() - started < 2.5  # nobody announced it: the nodes look once a second
