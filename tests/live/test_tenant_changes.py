"""What an operator changes, on two nodes: in force within 2 s everywhere, and nobody else notices."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from service.brokers.keys import is_key_of
from service.preparation import open_storage
from service.protocol.events import Closing
from service.tenants.audit import OPERATOR
from service.tenants.limits import Limits
from service.tenants.minute_usage import MinuteUsage
from service.tenants.room_types import RoomType
from service.tenants.storage import Storage
from tests.support.checker import check
from tests.support.fixtures import Cluster, Connect, NewTenant
from tests.support.live_server import LiveNode
from tests.support.load import KEPT_MESSAGES, converse
from tests.support.records import Acknowledged, Entered
from tests.support.rest_client import Rest
from tests.support.tenants import UNHURRIED, Tenant, make_tenant
from tests.support.wire_client import Client

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

WITHIN_SECONDS = 2.0
CHANGES = 1_000


async def all_end_within_2_s(clients: list[Client]) -> None:
    """All are closed with 4403, and asked not to come back."""
    started = time.monotonic()
    for closing in await asyncio.gather(*(client.is_closed_with(4403) for client in clients)):
        assert isinstance(closing, Closing)
        assert not closing.reconnect
    assert time.monotonic() - started < WITHIN_SECONDS


async def comes_to_answer(status: int, rest: Rest) -> None:
    """GET /v1/counts is answered so within 2 s."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while (await rest.ask("GET", "/v1/counts")).status_code != status:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.mark.provokes("close:4403", "error:forbidden")
async def test_a_suspended_tenant_is_out_on_all_nodes_and_back_when_it_is_resumed(
    connect: Connect, node: LiveNode, other_node: LiveNode, new_tenant: NewTenant, tenant: Tenant
) -> None:
    other = await new_tenant()
    theirs = [await connect(tenant=other, at=at) for at in (node, other_node)]
    ours = [await connect(at=at) for at in (node, other_node)]
    await tenant.storage.tenants.set_state(OPERATOR, tenant.id, "suspended")
    await all_end_within_2_s(ours)
    for at in (node, other_node):
        async with Rest(at.address, tenant.api_key) as rest:
            await rest.refused(403, "forbidden", "GET", "/v1/counts")
    await tenant.storage.tenants.set_state(OPERATOR, tenant.id, "active")
    for at in (node, other_node):
        async with Rest(at.address, tenant.api_key) as rest:
            await comes_to_answer(200, rest)
        await (await connect(at=at)).joins("chat")
    for client in theirs:
        await client.hears_nothing()


async def fill(connect: Connect, node: LiveNode, other_node: LiveNode, tenant: Tenant) -> list[Client]:
    """Sockets, rooms and history of a tenant on both nodes, and usage."""
    clients = [await connect("alice", tenant=tenant, at=node), await connect("bob", tenant=tenant, at=other_node)]
    for number, client in enumerate(clients):
        for room in ("chat", f"room-{number}"):
            await client.joins(room)
    await clients[0].publishes("room-0", "old", key="once")
    async with Rest(node.address, tenant.api_key) as rest:
        await rest.publish("quiet", "old")
    await tenant.storage.usage.write([minute(tenant, at_ms) for at_ms in range(0, 60_000 * 1_200, 60_000)])
    return clients


def minute(tenant: Tenant, starts_at_ms: int) -> MinuteUsage:
    return MinuteUsage(
        tenant_id=tenant.id,
        starts_at_ms=starts_at_ms,
        node="n",
        samples=b"",
        connection_seconds=1,
        messages_websocket=1,
        messages_http=1,
        deliveries=1,
        bytes_in=1,
        bytes_out=1,
        api_requests=1,
        peak_rooms=1,
        history_bytes=1,
        refused={},
    )


def keys_of(cluster: Cluster, tenant: Tenant) -> list[bytes]:
    found: list[bytes] = cluster.valkey.client.keys("*")  # type: ignore[assignment]
    return [key for key in found if is_key_of(tenant.id, key)]


async def is_purged(storage: Storage, name: str, within_seconds: float = 30) -> int:
    """The deletion comes to be done; how many keys it removed."""
    deadline = time.monotonic() + within_seconds
    while True:
        deletion = await storage.deletions.find(name)
        assert deletion is not None
        if deletion.done_at_ms is not None:
            return deletion.removed_keys
        assert time.monotonic() < deadline, deletion
        await asyncio.sleep(0.1)


async def usage_rows(storage: Storage, tenant: Tenant) -> int:
    return len(await storage.usage.read(tenant.id, 0, 60_000 * 1_200, "minute"))


@pytest.mark.provokes("close:4403")
async def test_nothing_is_left_of_a_deleted_tenant_and_its_name_is_free_at_once(
    cluster: Cluster, connect: Connect, node: LiveNode, other_node: LiveNode, new_tenant: NewTenant, tenant: Tenant
) -> None:
    storage = tenant.storage
    bystanders = await fill(connect, node, other_node, await new_tenant())
    clients = await fill(connect, node, other_node, tenant)
    held = len(keys_of(cluster, tenant))
    assert held > 10
    assert await usage_rows(storage, tenant) == 1_200
    await storage.tenants.delete(OPERATOR, tenant.name)
    again = await new_tenant(name=tenant.name)
    await all_end_within_2_s(clients)
    await sees_nothing_of_the_old_one(connect, again, node, other_node)
    assert await is_purged(storage, tenant.name) > 0
    assert keys_of(cluster, tenant) == []
    assert await usage_rows(storage, tenant) == 0
    assert keys_of(cluster, again)
    for client in bystanders:
        await client.hears_nothing()
        assert (await client.joins("chat")).occupancy.connections == 2
    async with Rest(node.address, tenant.api_key) as rest:
        await rest.refused(401, "unauthenticated", "GET", "/v1/counts")


async def sees_nothing_of_the_old_one(connect: Connect, again: Tenant, node: LiveNode, other_node: LiveNode) -> None:
    """A tenant that was made again has empty rooms at both nodes."""
    for at in (node, other_node):
        async with Rest(at.address, again.api_key) as rest:
            await comes_to_answer(200, rest)
            assert (await rest.get("/v1/counts"))["rooms"] in (0, 1)
            await rest.refused(404, "not_found", "GET", "/v1/rooms/quiet")
    for at in (node, other_node):
        client = await connect("alice", tenant=again, at=at)
        assert (await client.history("quiet")).messages == []
        await client.joins("chat")
    assert (await client.publishes("room-0", "new", key="once")).duplicate is False


async def test_another_node_goes_on_with_a_deletion_whose_node_died(
    cluster: Cluster, connect: Connect, node: LiveNode, other_node: LiveNode, tenant: Tenant
) -> None:
    storage = tenant.storage
    await fill(connect, node, other_node, tenant)
    await storage.tenants.delete(OPERATOR, tenant.name)
    assert await storage.deletions.claim(tenant.id, "dead node", int(time.time() * 1000) + 11_000)
    assert await is_purged(storage, tenant.name) > 0
    deletion = await storage.deletions.find(tenant.name)
    assert deletion is not None
    assert deletion.claimed_by != "dead node"
    assert keys_of(cluster, tenant) == []


@pytest.fixture(scope="module")
def busy(make_cluster: Callable[[], Cluster]) -> Cluster:
    """Two nodes of the test's own."""
    cluster = make_cluster()
    for node in [cluster.start_node(), cluster.start_node()]:
        node.wait()
    return cluster


@pytest.fixture
async def crowd(busy: Cluster) -> AsyncIterator[Tenant]:
    storage = await open_storage(busy.settings)
    yield await make_tenant(storage, max_connections_per_user=None)
    await storage.close()


async def change(tenant: Tenant, rest: Rest, number: int) -> None:
    """One change of the tenant that ends no socket of the conversation."""
    storage = tenant.storage
    match number % 5:
        case 0:
            body = {"user": f"somebody-{number}", "until_at_ms": int(time.time() * 1000) + 600_000}
            answer = await rest.ask("POST", "/v1/revocations", body)
            assert answer.status_code == 202, answer.text
        case 1:
            limits = Limits(**(UNHURRIED | {"max_connections_per_user": None, "max_rooms": 50_000 + number}))
            await storage.tenants.change(OPERATOR, tenant.id, limits=limits)
        case 2:
            await storage.keys.create_signing_key(OPERATOR, tenant.id, "HS256", kid=f"key-{number}")
        case 3:
            await storage.keys.revoke_signing_key(OPERATOR, tenant.id, f"key-{number - 1}")
        case 4:
            room_type = RoomType(pattern="elsewhere:*", history_messages=number % 7)
            await storage.room_types.put(OPERATOR, tenant.id, "elsewhere", room_type)


async def test_a_thousand_changes_under_load_cut_nobody(busy: Cluster, crowd: Tenant) -> None:
    other = await make_tenant(crowd.storage)
    worst_seconds = 0.0

    async def changes() -> None:
        nonlocal worst_seconds
        async with Rest(busy.nodes[0].address, crowd.api_key) as rest:
            victims = [await Client.open(node.address, other.token("victim")) for node in busy.nodes]
            for number in range(CHANGES):
                await change(crowd, rest, number)
            started = time.monotonic()
            await crowd.storage.tenants.set_state(OPERATOR, other.id, "suspended")
            await asyncio.gather(*(victim.is_closed_with(4403) for victim in victims))
            worst_seconds = time.monotonic() - started

    records = await converse(crowd, busy.nodes, changes)
    assert check(records, KEPT_MESSAGES) == []
    entered = [(record.subscriber, record.room) for record in records if isinstance(record, Entered)]
    assert len(entered) == len(set(entered)), "somebody was cut off and came back"
    assert sum(isinstance(record, Acknowledged) for record in records) > 300
    assert worst_seconds < WITHIN_SECONDS
