"""What the tenant's server does over REST, as sockets on all nodes see it; and what it sees of them."""

import time

import pytest

from service.protocol.events import Direct, Joined, Left, Message, Sender
from service.tenants.audit import OPERATOR
from tests.support.fixtures import Cluster, Connect, NewTenant
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant

pytestmark = pytest.mark.anyio


async def becomes(rest: Rest, path: str, wanted: object, within_seconds: float = 2) -> None:
    """Ask until the answer is this one."""
    deadline = time.monotonic() + within_seconds
    while (answer := await rest.get(path)) != wanted:
        assert time.monotonic() < deadline, answer


async def test_a_publish_reaches_all_members_but_those_left_out(
    connect: Connect, other_node: LiveNode, rest: Rest, binary: bool
) -> None:
    alice, bob = await connect("alice", binary=binary), await connect("bob", at=other_node)
    left_out = await connect("alice", at=other_node, binary=binary)
    for client in (alice, bob, left_out):
        await client.joins("chat")
    answer = await rest.publish("chat", {"a": 1}, name="n", exclude=[left_out.welcome.connection])
    for client in (alice, bob):
        await client.expects(Message, room="chat", data={"a": 1}, name="n", from_=None, offset=1)
    assert (await rest.publish("chat", 2))["position"] != answer["position"]
    await left_out.expects(Message, data=2, offset=2)
    page = await left_out.history("chat")
    assert [left_out.value(item.data) for item in page.messages] == [{"a": 1}, 2]
    await alice.expects(Message, data=2)


async def test_a_batch_is_published_in_its_order_each_for_itself(
    connect: Connect, new_tenant: NewTenant, node: LiveNode
) -> None:
    tenant = await new_tenant(max_message_bytes=10)
    alice = await connect(tenant=tenant)
    await alice.joins("chat")
    messages: list[object] = [{"room": "chat", "data": number} for number in range(5)]
    messages += [{"room": "chat", "data": "x" * 20}, {"room": "chat", "data": 5, "key": "k"}]
    messages += [{"room": "chat", "data": 6, "key": "k"}]
    async with Rest(node.address, tenant.api_key) as rest:
        results = (await rest.ask("POST", "/v1/messages", {"messages": messages})).json()["results"]
    assert results[5]["problem"]["type"] == "urn:roomcast:error:too_large"
    assert results[7] == {"position": results[6]["position"], "duplicate": True}
    for number in range(6):
        await alice.expects(Message, data=number, offset=number + 1)
    await alice.hears_nothing()


async def test_a_direct_message_reaches_all_of_the_users_connections(
    connect: Connect, other_node: LiveNode, rest: Rest
) -> None:
    near, far, carol = await connect("bob"), await connect("bob", at=other_node, binary=True), await connect("carol")
    answer = await rest.ask("POST", "/v1/users/bob/messages", {"data": [1], "name": "n"})
    assert answer.status_code == 202
    for client in (near, far):
        await client.expects(Direct, data=[1], name="n", from_=None)
    assert (await rest.ask("POST", "/v1/users/nobody/messages", {"data": 1})).status_code == 202
    await carol.hears_nothing()


async def test_counts_are_those_of_the_whole_cluster_within_2_s(
    connect: Connect, node: LiveNode, other_node: LiveNode, tenant: Tenant
) -> None:
    alice, bob = await connect("alice"), await connect("bob", at=other_node)
    phone = await connect("alice", at=other_node)
    for client, rooms in ((alice, ("a", "b")), (bob, ("b",)), (phone, ("b",))):
        for room in rooms:
            await client.joins(room)
    for each in (node, other_node):
        async with Rest(each.address, tenant.api_key) as rest:
            await becomes(rest, "/v1/counts", {"connections": 3, "users": 2, "rooms": 2})
            items = [{"room": "a", "connections": 1, "users": 1}, {"room": "b", "connections": 3, "users": 2}]
            await becomes(rest, "/v1/rooms", {"items": items, "next_cursor": None})
            await becomes(
                rest,
                "/v1/users/alice",
                {
                    "user": "alice",
                    "connections": sorted([alice.welcome.connection, phone.welcome.connection]),
                    "rooms": ["a", "b"],
                },
            )
    async with Rest(node.address, tenant.api_key) as rest:
        path = f"/v1/connections/{bob.welcome.connection}"
        detail = {"connection": bob.welcome.connection, "user": "bob", "node": bob.welcome.node, "rooms": ["b"]}
        detail |= {name: (await rest.get(path))[name] for name in ("connected_at_ms", "address")}
        assert detail["address"] == "127.0.0.1"
        await becomes(rest, path, detail)
        await alice.close()
        phone.drop()
        await becomes(rest, "/v1/counts", {"connections": 1, "users": 1, "rooms": 1})
        await becomes(rest, "/v1/users/alice", {"user": "alice", "connections": [], "rooms": []})
        await bob.asks(Left, "leave", room="b")
        await becomes(rest, "/v1/counts", {"connections": 1, "users": 1, "rooms": 0})
        room = await rest.get("/v1/rooms/b")
        assert (room["room_type"], room["connections"], room["users"]) == ("default", 0, 0)
        await rest.refused(404, "not_found", "GET", "/v1/rooms/never")
        await rest.refused(404, "not_found", "GET", f"/v1/connections/{alice.welcome.connection}")
        await rest.refused(405, "not_allowed", "PUT", "/v1/counts")


async def test_a_token_made_over_rest_connects(connect: Connect, rest: Rest) -> None:
    body = {"user": "dora", "rooms": {"chat": ["join"]}, "join": ["news"], "ttl_seconds": 100}
    answer = (await rest.ask("POST", "/v1/tokens", body)).json()
    dora = await connect(token=answer["token"])
    assert (dora.welcome.user, dora.welcome.expires_at_ms) == ("dora", answer["expires_at_ms"])
    await dora.expects(Joined, room="news")
    await dora.joins("chat")
    await dora.refused("forbidden", "publish", room="chat", data=1)


async def test_a_tenant_made_while_nodes_run_is_known_at_once(
    connect: Connect, new_tenant: NewTenant, other_node: LiveNode
) -> None:
    tenant = await new_tenant()
    await connect(tenant=tenant)
    await connect(tenant=tenant, at=other_node)
    tenant = await new_tenant()
    async with Rest(other_node.address, tenant.api_key) as rest:
        assert await rest.get("/v1/counts") == {"connections": 0, "users": 0, "rooms": 0}


async def test_a_new_api_key_is_known_and_a_revoked_one_refused_within_2_s(
    node: LiveNode, tenant: Tenant, rest: Rest
) -> None:
    await rest.get("/v1/counts")
    record, key = await tenant.storage.keys.create_api_key(OPERATOR, tenant.id, "second", ["read"])
    async with Rest(node.address, key) as second:
        await answers_soon(second, 200)
        await tenant.storage.keys.revoke_api_key(OPERATOR, tenant.id, record.key_id)
        await answers_soon(second, 401)


async def answers_soon(rest: Rest, status: int) -> None:
    deadline = time.monotonic() + 2
    while (await rest.ask("GET", "/v1/counts")).status_code != status:
        assert time.monotonic() < deadline


async def test_after_a_nodes_death_counts_are_right_within_10_s_and_its_clients_elsewhere_in_order(
    connect: Connect, cluster: Cluster, node: LiveNode, tenant: Tenant, rest: Rest
) -> None:
    doomed = cluster.start_node().wait()
    alice = await connect("alice")
    lost = [await connect("bob", at=doomed), await connect("carol", at=doomed)]
    for client in (alice, *lost):
        await client.joins("chat")
    await becomes(rest, "/v1/counts", {"connections": 3, "users": 3, "rooms": 1})
    doomed.kill()
    started = time.monotonic()
    await becomes(rest, "/v1/counts", {"connections": 1, "users": 1, "rooms": 1}, within_seconds=10)
    await becomes(rest, "/v1/users/bob", {"user": "bob", "connections": [], "rooms": []}, within_seconds=10)
    left_seconds = 10 - (time.monotonic() - started)
    rooms = {"items": [{"room": "chat", "connections": 1, "users": 1}], "next_cursor": None}
    await becomes(rest, "/v1/rooms", rooms, within_seconds=left_seconds)
    joined = await (await connect("bob")).joins("chat")
    assert joined.occupancy.connections == 2


async def test_a_node_that_slept_past_its_lease_counts_its_sockets_again(
    connect: Connect, cluster: Cluster, tenant: Tenant, rest: Rest
) -> None:
    sleepy = cluster.start_node().wait()
    alice, bob = await connect("alice"), await connect("bob", at=sleepy)
    for client in (alice, bob):
        await client.joins("chat")
    await becomes(rest, "/v1/counts", {"connections": 2, "users": 2, "rooms": 1})
    sleepy.freeze()
    await becomes(rest, "/v1/counts", {"connections": 1, "users": 1, "rooms": 1}, within_seconds=10)
    published = await alice.publishes("chat", "while it slept")
    sleepy.thaw()
    await becomes(rest, "/v1/counts", {"connections": 2, "users": 2, "rooms": 1}, within_seconds=3)
    await bob.expects(Message, data="while it slept")
    await bob.publishes("chat", "awake", key="k")
    await alice.expects(Message, data="awake", from_=Sender(user="bob", connection=bob.welcome.connection))
    assert (await bob.joins("chat", since=published.position)).occupancy.connections == 2
    sleepy.kill()
