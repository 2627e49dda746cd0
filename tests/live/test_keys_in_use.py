"""Keys of a tenant on two nodes: who is connected under which, and what ends with one that is revoked."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from service.preparation import open_storage
from service.protocol.events import Authenticated, Closing
from service.tenants.audit import OPERATOR
from service.tenants.storage import Storage
from tests.support.canaries import keep_secret
from tests.support.fixtures import Cluster, Connect
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant, make_tenant
from tests.support.wire_client import Client, Refused, handshake

pytestmark = pytest.mark.anyio

WITHIN_SECONDS = 2.0


@pytest.fixture
async def other_rest(other_node: LiveNode, tenant: Tenant) -> AsyncIterator[Rest]:
    """The tenant's server, at the second node."""
    async with Rest(other_node.address, tenant.api_key) as rest:
        yield rest


async def with_new_key(tenant: Tenant, kid: str = "new") -> Tenant:
    """The same tenant, which signs with a key of its own from now on."""
    record, secret = await tenant.storage.keys.create_signing_key(OPERATOR, tenant.id, "HS256", kid=kid)
    assert secret is not None
    return tenant._replace(kid=record.kid, secret=keep_secret(secret))


async def connections_become(rest: Rest, connections: Mapping[str, int]) -> None:
    """GET /v1/signing-keys comes to tell these counts."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        page = await rest.get("/v1/signing-keys")
        found = {item["kid"]: item["connections"] for item in page["items"]}
        if found == connections:
            return
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)


async def knock(node: LiveNode, token: str) -> int:
    """The status that a handshake is answered with; the socket is closed again."""
    try:
        await (await handshake(node.address, token)).close()
    except Refused as refused:
        return refused.status
    return 101


async def comes_to_answer(status: int, node: LiveNode, token: str) -> None:
    """A handshake is answered so within 2 s."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while await knock(node, token) != status:
        assert time.monotonic() < deadline


async def all_end_within_2_s(*clients: Client) -> None:
    """All are closed with 4401, and asked to come back with another token."""
    started = time.monotonic()
    for closing in await asyncio.gather(*(client.is_closed_with(4401) for client in clients)):
        assert isinstance(closing, Closing)
        assert closing.reconnect
    assert time.monotonic() - started < WITHIN_SECONDS


@pytest.mark.provokes("close:4401")
async def test_a_rotation_shows_who_is_left_under_the_old_key_and_ends_just_those(
    connect: Connect, node: LiveNode, other_node: LiveNode, tenant: Tenant, rest: Rest, other_rest: Rest
) -> None:
    alice, bob = await connect("alice"), await connect("bob", at=other_node)
    carol, dora = await connect("carol"), await connect("dora", at=other_node)
    for each in (rest, other_rest):
        await connections_become(each, {tenant.kid: 4})
    rotated = await with_new_key(tenant)
    for at in (node, other_node):
        await comes_to_answer(101, at, rotated.token())
    for client, user in ((alice, "alice"), (bob, "bob")):
        await client.asks(Authenticated, "authenticate", token=rotated.token(user))
    erin = await connect("erin", tenant=rotated, at=other_node)
    for each in (rest, other_rest):
        await connections_become(each, {tenant.kid: 2, "new": 3})
    await dora.close()
    await connections_become(rest, {tenant.kid: 1, "new": 3})
    await tenant.storage.keys.revoke_signing_key(OPERATOR, tenant.id, tenant.kid)
    await all_end_within_2_s(carol)
    for at in (node, other_node):
        await comes_to_answer(401, at, tenant.token())
    for client in (alice, bob, erin):
        await client.hears_nothing()
        await client.refused("unauthenticated", "authenticate", token=tenant.token("alice"))
    await connections_become(other_rest, {tenant.kid: 0, "new": 3})


async def test_a_revoked_users_sockets_end_on_all_nodes_and_nobody_elses(
    connect: Connect, node: LiveNode, other_node: LiveNode, tenant: Tenant, rest: Rest
) -> None:
    alices = [await connect("alice", at=at) for at in (node, other_node)]
    bobs = [await connect("bob", at=at) for at in (node, other_node)]
    until = int(time.time() * 1000) + 60_000
    answer = await rest.ask("POST", "/v1/revocations", {"user": "alice", "until_at_ms": until})
    assert answer.status_code == 202
    await all_end_within_2_s(*alices)
    for at in (node, other_node):
        assert await knock(at, tenant.token("alice")) == 401
        assert await knock(at, tenant.token("bob")) == 101
        async with Rest(at.address, tenant.token("alice")) as user:
            await user.refused(401, "unauthenticated", "POST", "/v1/commands", {"type": "ping"})
    for bob in bobs:
        await bob.hears_nothing()
    await rest.refused(409, "conflict", "POST", "/v1/tokens", {"user": "alice"})


async def test_one_revoked_token_ends_its_own_sockets_alone(
    connect: Connect, node: LiveNode, other_node: LiveNode, tenant: Tenant, rest: Rest
) -> None:
    lost, kept = tenant.token("alice", jti="lost"), tenant.token("alice", jti="kept")
    losers = [await connect(token=lost, at=at) for at in (node, other_node)]
    keepers = [await connect(token=kept, at=at) for at in (node, other_node)]
    refreshed = await connect(token=lost, at=other_node)
    await refreshed.asks(Authenticated, "authenticate", token=kept)
    until = int(time.time() * 1000) + 60_000
    answer = await rest.ask("POST", "/v1/revocations", {"jti": "lost", "until_at_ms": until})
    assert answer.status_code == 202
    await all_end_within_2_s(*losers)
    for client in (*keepers, refreshed):
        await client.refused("unauthenticated", "authenticate", token=lost)
        await client.hears_nothing()
    assert await knock(other_node, lost) == 401


async def test_a_revocation_ends_by_itself(connect: Connect, other_node: LiveNode, tenant: Tenant) -> None:
    until = int(time.time() * 1000) + 2_500
    await tenant.storage.revocations.add(OPERATOR, tenant.id, user="bob", until_at_ms=until)
    bob = await connect("alice")
    await bob.hears_nothing()
    await comes_to_answer(401, other_node, tenant.token("bob"))
    await asyncio.sleep(max(0.0, until / 1000 - time.time()))
    assert await knock(other_node, tenant.token("bob")) == 101


async def test_requests_with_a_revoked_api_key_fail_within_2_s_on_all_nodes(
    tenant: Tenant, rest: Rest, other_rest: Rest, node: LiveNode, other_node: LiveNode
) -> None:
    record, text = await tenant.storage.keys.create_api_key(OPERATOR, tenant.id, "second", ["read"])
    for at in (node, other_node):
        async with Rest(at.address, keep_secret(text)) as second:
            deadline = time.monotonic() + WITHIN_SECONDS
            while (await second.ask("GET", "/v1/counts")).status_code != 200:
                assert time.monotonic() < deadline
    answer = await rest.ask("DELETE", f"/v1/keys/{record.key_id}")
    assert answer.status_code < 300
    deadline = time.monotonic() + WITHIN_SECONDS
    for at in (node, other_node):
        async with Rest(at.address, text) as second:
            while (await second.ask("GET", "/v1/counts")).status_code != 401:
                assert time.monotonic() < deadline
    await rest.get("/v1/counts")
    await other_rest.get("/v1/counts")


async def test_a_revoked_key_ends_its_sockets_while_redis_is_away(
    short_lived: Cluster,
) -> None:
    nodes = [short_lived.start_node(), short_lived.start_node()]
    storage = await open_storage(short_lived.settings)
    tenant = await make_tenant(storage)
    other = await make_tenant(storage)
    clients = [await Client.open(node.wait().address, tenant.token()) for node in nodes]
    bystanders = [await Client.open(node.address, other.token()) for node in nodes]
    short_lived.valkey.freeze()
    try:
        await storage.keys.revoke_signing_key(OPERATOR, tenant.id, tenant.kid)
        await all_end_within_2_s(*clients)
        for bystander in bystanders:
            await bystander.hears_nothing()
    finally:
        short_lived.valkey.thaw()
        for bystander in bystanders:
            await bystander.close()
        await storage.close()


@pytest.fixture
def short_lived(make_cluster: Callable[[], Cluster]) -> Cluster:
    """A cluster whose nodes may be stopped."""
    return make_cluster()


async def test_the_last_use_of_keys_is_saved_when_a_node_stops(short_lived: Cluster) -> None:
    node = short_lived.start_node().wait()
    storage = await open_storage(short_lived.settings)
    tenant = await make_tenant(storage)
    before = int(time.time() * 1000)
    client = await Client.open(node.address, tenant.token())
    async with Rest(node.address, tenant.api_key) as rest:
        await rest.get("/v1/counts")
    await client.close()
    await asyncio.to_thread(node.stop)
    last_uses = [*await _last_uses(storage, tenant.id)]
    assert all(used is not None and used >= before for used in last_uses), last_uses
    await storage.close()


async def _last_uses(storage: Storage, tenant_id: str) -> list[int | None]:
    signing = await storage.keys.page_signing_keys(tenant_id, "", 10)
    api = await storage.keys.page_api_keys(tenant_id, "", 10)
    assert signing
    assert api
    return [*(key.last_used_at_ms for key in signing), *(key.last_used_at_ms for key in api)]
