"""PROTOCOL.md, "Limits in force": each limit, over a socket, and for the cluster where it counts."""

import asyncio
import time
from typing import Any

import pytest

from service.protocol.events import ErrorEvent, Gap, Left, Pong
from tests.support.fixtures import Cluster, Connect, NewTenant
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant
from tests.support.wire_client import Refused, handshake

pytestmark = pytest.mark.anyio


async def refused_with_429(node: LiveNode, token: str, limit: str, scope: str, *, is_rate: bool) -> None:
    """Over HTTP and as a browser."""
    with pytest.raises(Refused) as refused:
        await handshake(node.address, token)
    problem: dict[str, Any] = refused.value.problem
    assert refused.value.status == 429
    assert problem["type"] == f"urn:roomcast:error:{'rate_limited' if is_rate else 'too_many'}"
    assert (problem["limit"], problem["scope"]) == (limit, scope)
    assert ("retry_after_ms" in problem) is is_rate
    browser = await handshake(node.address, token, in_subprotocol=True)
    closing = await browser.is_closed_with(4429)
    assert closing is not None
    assert closing.reconnect
    assert (closing.after_ms > 0) is is_rate


@pytest.mark.provokes("limit:max_connections", "close:4429", "error:too_many")
async def test_a_tenants_connections_are_counted_on_all_nodes(
    connect: Connect, node: LiveNode, other_node: LiveNode, new_tenant: NewTenant
) -> None:
    tenant = await new_tenant(max_connections=2)
    first = await connect("alice", tenant=tenant)
    await connect("bob", tenant=tenant, at=other_node)
    for each in (node, other_node):
        await refused_with_429(each, tenant.token("carol"), "max_connections", "tenant", is_rate=False)
    await first.close()
    await connects_soon(node, tenant, "carol")


async def connects_soon(node: LiveNode, tenant: Tenant, user: str) -> None:
    """The node accepts another socket once the one that was closed is out of the counts: within 2 s."""
    deadline = time.monotonic() + 2
    while True:
        try:
            await (await handshake(node.address, tenant.token(user))).close()
            return
        except Refused:
            assert time.monotonic() < deadline


@pytest.mark.provokes("limit:max_connections_per_user", "close:4429")
async def test_a_users_connections_are_counted_on_all_nodes(
    connect: Connect, node: LiveNode, other_node: LiveNode, new_tenant: NewTenant
) -> None:
    tenant = await new_tenant(max_connections_per_user=2)
    for at in (node, other_node):
        await connect("alice", tenant=tenant, at=at)
    for at in (node, other_node):
        await refused_with_429(at, tenant.token("alice"), "max_connections_per_user", "user", is_rate=False)
    await connect("bob", tenant=tenant)


@pytest.mark.provokes("limit:connects_per_second", "error:rate_limited")
async def test_a_tenants_connects_have_a_rate(node: LiveNode, new_tenant: NewTenant, connect: Connect) -> None:
    tenant = await new_tenant(connects_per_second=1)
    await connect(tenant=tenant)
    await refused_with_429(node, tenant.token(), "connects_per_second", "tenant", is_rate=True)


@pytest.mark.provokes("limit:connects_per_second_per_address")
async def test_an_address_has_a_rate_before_its_token_is_looked_at(cluster: Cluster, tenant: Tenant) -> None:
    strict = cluster.start_node(connects_per_second_per_address=1, trusted_proxies=("127.0.0.1/32",)).wait()
    address = {"X-Forwarded-For": "192.0.2.7"}
    with pytest.raises(Refused) as refused:
        await handshake(strict.address, "nonsense", headers=address)
    assert refused.value.status == 401
    with pytest.raises(Refused) as refused:
        await handshake(strict.address, "nonsense", headers=address)
    problem = refused.value.problem
    assert refused.value.status == 429
    assert (problem["limit"], problem["scope"]) == ("connects_per_second_per_address", "address")
    assert int(refused.value.headers["retry-after"]) >= 1
    browser = await handshake(strict.address, tenant.token(), headers=address, in_subprotocol=True)
    await browser.is_closed_with(4429)
    elsewhere = await handshake(strict.address, tenant.token(), headers={"X-Forwarded-For": "192.0.2.8"})
    await elsewhere.close()
    await asyncio.to_thread(strict.stop)


@pytest.mark.provokes("limit:commands_per_second")
async def test_a_connection_may_send_twice_its_rate_at_once(
    connect: Connect, new_tenant: NewTenant, binary: bool
) -> None:
    tenant = await new_tenant(commands_per_second=5)
    alice, bob = await connect("alice", tenant=tenant, binary=binary), await connect("bob", tenant=tenant)
    await alice.sends_together(*({"type": "ping", "id": number} for number in range(30)))
    answers = [await alice.next() for _ in range(30)]
    errors = [answer for answer in answers if isinstance(answer, ErrorEvent)]
    assert 18 <= len(errors) <= 20
    assert [answer.id for answer in answers if isinstance(answer, Pong | ErrorEvent)] == list(range(30))
    for error in errors:
        assert (error.code, error.limit, error.scope) == ("rate_limited", "commands_per_second", "connection")
        assert isinstance(error.retry_after_ms, int)
        assert 1 <= error.retry_after_ms <= 1000
    await bob.hears_nothing()


async def test_new_limits_are_in_force_on_open_sockets_within_2_s(
    connect: Connect, other_node: LiveNode, tenant: Tenant
) -> None:
    alice = await connect(at=other_node)
    for room in ("a", "b", "c"):
        await alice.joins(room)
    await tenant.limit(max_rooms_per_connection=2, max_message_bytes=10, max_frame_bytes=500)
    started = time.monotonic()
    await alice.expects(Left, room="c", reason="limit")
    assert time.monotonic() - started < 2
    error = await alice.refused("too_many", "join", room="d")
    assert (error.limit, error.scope, error.room) == ("max_rooms_per_connection", "connection", "d")
    await alice.refused("too_large", "publish", room="a", data="x" * 11)
    await alice.joins("a")
    await alice.sends("publish", room="a", data="x" * 500)
    await alice.is_closed_with(1009)


@pytest.mark.provokes("limit:max_rooms_per_connection")
async def test_rooms_of_a_connection(connect: Connect, new_tenant: NewTenant, binary: bool) -> None:
    tenant = await new_tenant(max_rooms_per_connection=3)
    alice = await connect(tenant=tenant, binary=binary)
    await alice.sends_together(*({"type": "join", "room": f"r{number}", "id": number} for number in range(5)))
    codes = [event.code for _ in range(5) if isinstance(event := await alice.next(), ErrorEvent)]
    assert codes == ["too_many", "too_many"]
    await alice.joins("r0")
    await alice.asks(Left, "leave", room="r0")
    await alice.joins("r9")


@pytest.mark.provokes("limit:max_rooms")
async def test_a_tenants_occupied_rooms_are_counted_on_all_nodes(
    connect: Connect, other_node: LiveNode, new_tenant: NewTenant
) -> None:
    tenant = await new_tenant(max_rooms=2)
    alice, bob = await connect("alice", tenant=tenant), await connect("bob", tenant=tenant, at=other_node)
    await alice.joins("one")
    await bob.joins("two")
    for client in (alice, bob):
        error = await client.refused("too_many", "join", room="three")
        assert (error.limit, error.scope, error.room) == ("max_rooms", "tenant", "three")
        await client.joins("one")
        await client.joins("two")
    for client in (alice, bob):
        await client.asks(Left, "leave", room="one")
    await joins_soon(alice.joins, "three")


async def joins_soon(joins: Any, room: str) -> None:
    deadline = time.monotonic() + 2
    while True:
        try:
            await joins(room)
            return
        except AssertionError:
            assert time.monotonic() < deadline


@pytest.mark.provokes("limit:max_members_per_room")
async def test_a_rooms_members_are_counted_on_all_nodes(
    connect: Connect, other_node: LiveNode, new_tenant: NewTenant
) -> None:
    tenant = await new_tenant(max_members_per_room=2)
    alice, bob = await connect("alice", tenant=tenant), await connect("bob", tenant=tenant, at=other_node)
    await alice.joins("chat")
    await bob.joins("chat")
    for at in (None, other_node):
        carol = await connect("carol", tenant=tenant, **({} if at is None else {"at": at}))
        error = await carol.refused("too_many", "join", room="chat")
        assert (error.limit, error.scope, error.room) == ("max_members_per_room", "room", "chat")
        await carol.joins("other")
    await alice.joins("chat")  # again, not more
    await bob.asks(Left, "leave", room="chat")
    await carol.joins("chat")


@pytest.mark.provokes("limit:api_requests_per_second")
async def test_a_tenants_servers_have_a_rate(node: LiveNode, new_tenant: NewTenant) -> None:
    tenant = await new_tenant(api_requests_per_second=3)
    async with Rest(node.address, tenant.api_key) as rest:
        answers = await asyncio.gather(*(rest.ask("GET", "/v1/counts") for _ in range(10)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 6
    for answer in refused:
        problem = answer.json()
        assert (problem["limit"], problem["scope"]) == ("api_requests_per_second", "tenant")
        assert problem["retry_after_ms"] >= 1
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.provokes("limit:max_frame_bytes", "error:too_large")
async def test_a_body_over_the_frame_limit_is_413(node: LiveNode, new_tenant: NewTenant) -> None:
    tenant = await new_tenant(max_message_bytes=100, max_frame_bytes=300)
    async with Rest(node.address, tenant.api_key) as rest:
        problem = await rest.refused(413, "too_large", "POST", "/v1/rooms/chat/messages", {"data": "x" * 400})
        assert problem["limit"] == "max_frame_bytes"
        problem = await rest.refused(413, "too_large", "POST", "/v1/rooms/chat/messages", {"data": "x" * 150})
        assert problem["limit"] == "max_message_bytes"


@pytest.mark.provokes("limit:max_history_bytes")
async def test_the_oldest_rooms_history_is_cut_first_and_told(
    connect: Connect, node: LiveNode, new_tenant: NewTenant
) -> None:
    tenant = await new_tenant(max_history_bytes=200_000)
    async with Rest(node.address, tenant.api_key) as rest:
        old = [(await rest.publish("old", "x" * 20_000))["position"] for _ in range(5)]
        deadline = time.monotonic() + 10
        while (await rest.get("/v1/rooms/old/messages?limit=5"))["messages"][:1] not in ([],):
            await rest.publish("new", "x" * 20_000)
            assert time.monotonic() < deadline
        assert (await rest.get("/v1/rooms/new/messages?limit=5"))["messages"]
    alice = await connect(tenant=tenant)
    assert (await alice.joins("old", since=old[0])).recovered is False
    await alice.expects(Gap, from_=old[0], to=old[4], reason="limit")
    assert (await alice.joins("old", since=old[4])).recovered
