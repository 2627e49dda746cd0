"""Redis frozen, emptied, restarted without proof: honest answers meanwhile, and no false `recovered`."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from service.preparation import open_storage
from service.protocol.events import ErrorEvent, Gap, Left, Message, Pong, Published
from tests.support.fixtures import Cluster, Connect
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant, make_tenant
from tests.support.wire_client import Client, Refused, handshake

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def shaky(make_cluster: Callable[[], Cluster]) -> Cluster:
    """Two nodes on a Valkey that is hurt."""
    cluster = make_cluster()
    for node in [cluster.start_node(), cluster.start_node()]:
        node.wait()
    return cluster


@pytest.fixture
async def client_of(shaky: Cluster) -> AsyncIterator[Connect]:
    """Opens sockets of one tenant to both nodes in turn, which are well again."""
    await shaky.settles()
    storage = await open_storage(shaky.settings)
    tenant = await make_tenant(storage)
    opened: list[Client] = []

    async def open_socket(user: str = "alice", **options: Any) -> Client:
        node = shaky.nodes[len(opened) % 2]
        opened.append(await Client.open(node.address, tenant.token(user), **options))
        return opened[-1]

    open_socket.tenant = tenant  # type: ignore[attr-defined]
    yield open_socket
    for client in opened:
        await client.close()
    await storage.close()


def tenant_of(client_of: Connect) -> Tenant:
    tenant = client_of.tenant  # type: ignore[attr-defined]
    assert isinstance(tenant, Tenant)
    return tenant


@pytest.mark.provokes("error:unavailable", "close:1013")
async def test_a_frozen_redis_is_unavailable_within_1_5_s_and_all_heals(shaky: Cluster, client_of: Connect) -> None:
    alice, bob = await client_of("alice"), await client_of("bob", binary=True)
    for client in (alice, bob):
        await client.joins("chat")
    tenant = tenant_of(client_of)
    shaky.valkey.freeze()
    try:
        commands: list[dict[str, Any]] = [
            {"type": "publish", "room": "chat", "data": 1},
            {"type": "publish", "room": "elsewhere", "data": 1},
            {"type": "join", "room": "another"},
            {"type": "history", "room": "third"},
            {"type": "send", "user": "bob", "data": 1},
            {"type": "signal", "room": "chat", "data": 1},
        ]
        for client in (alice, bob):
            started = time.monotonic()
            await client.sends_together(*(command | {"id": number} for number, command in enumerate(commands)))
            # the signal waits for its room's publish before it
            errors = [await client.expects(ErrorEvent, code="unavailable") for _ in commands[:-1]]
            assert time.monotonic() - started < 1.7
            errors.append(await client.expects(ErrorEvent, code="unavailable"))
            assert {error.id for error in errors} == set(range(len(commands)))
            await client.asks(Pong, "ping")
        for node in shaky.nodes:
            await node.becomes(503, within_seconds=5)
            with pytest.raises(Refused) as refused:
                await handshake(node.address, tenant.token())
            assert (refused.value.status, refused.value.problem["type"]) == (503, "urn:roomcast:error:unavailable")
            browser = await handshake(node.address, tenant.token(), in_subprotocol=True)
            closing = await browser.is_closed_with(1013)
            assert closing is not None
            assert closing.reconnect
            async with Rest(node.address, tenant.api_key) as rest:
                started = time.monotonic()
                await rest.refused(503, "unavailable", "POST", "/v1/rooms/chat/messages", {"data": 1})
                assert time.monotonic() - started < 1.7
    finally:
        shaky.valkey.thaw()
    await shaky.settles()
    seen: list[object] = []
    await alice.sends("publish", room="chat", data="healed", id="healed")
    while not (isinstance(event := await alice.next(), Published) and event.id == "healed"):
        seen.append(event)
    while not (isinstance(event := await bob.next(), Message) and bob.value(event.data) == "healed"):
        seen.append(event)
    # what was answered `unavailable` is delivered at most once to each, and nothing was lost
    assert not any(isinstance(event, Gap) for event in seen)
    assert (await alice.history("chat")).position == str((await bob.history("chat")).position)
    await asyncio.gather(*(client.joins("another") for client in (alice, bob)))


@pytest.mark.provokes("error:unavailable")
async def test_a_leave_that_redis_cannot_take_is_refused_and_the_membership_goes_on(
    shaky: Cluster, client_of: Connect
) -> None:
    alice, bob = await client_of("alice"), await client_of("bob")
    for client in (alice, bob):
        await client.joins("chat")
    shaky.valkey.freeze()
    try:
        await alice.sends("leave", room="chat", id=1)
        await alice.expects(ErrorEvent, id=1, code="unavailable", room="chat")
    finally:
        shaky.valkey.thaw()
    await shaky.settles()
    await bob.publishes("chat", "after")
    await alice.expects(Message, data="after")
    await alice.sends("leave", room="chat", id=2)
    await alice.expects(Left, id=2, reason="asked")
    await bob.publishes("chat", "later")
    await alice.hears_nothing()


async def test_an_emptied_redis_is_a_new_epoch_told_to_all(shaky: Cluster, client_of: Connect) -> None:
    members = [await client_of("alice"), await client_of("bob", binary=True)]
    for client in members:
        await client.joins("chat")
    old = []
    for number in range(3):
        published = await members[0].publishes("chat", number)
        old.append(str(published.position))
        await members[1].expects(Message, offset=number + 1)
    shaky.valkey.client.flushall()
    # whoever publishes next, or joins, meets the new epoch; everybody is told of it
    newcomer = await until_served(client_of, "newcomer")
    joined = await newcomer.joins("chat", since=old[1])
    assert joined.recovered is False
    await newcomer.skips_to(Gap)
    published = await newcomer.publishes("chat", "new")
    new_epoch = str(published.position).partition(":")[0]
    assert new_epoch != old[0].partition(":")[0]
    for client in members:
        gap = await client.skips_to(Gap)
        assert (gap.from_, gap.reason) == (old[2], "epoch")
        await client.expects(Message, data="new")
        again = await client.joins("chat", since=old[2])
        assert again.recovered is False
        await client.expects(Gap, reason="epoch")


async def until_served(client_of: Connect, user: str) -> Client:
    """A socket, once the nodes found Redis again."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return await client_of(user)
        except Refused:
            assert time.monotonic() < deadline


async def test_a_restart_that_proves_nothing_ends_the_epochs(shaky: Cluster, client_of: Connect) -> None:
    members = [await client_of("alice"), await client_of("bob")]
    for client in members:
        await client.joins("chat")
    before = str((await members[0].publishes("chat", 1)).position)
    await members[1].expects(Message, data=1)
    shaky.valkey.kill()
    shaky.valkey.start()
    await shaky.settles()
    await members[0].sends("publish", room="chat", data=2, id=2)
    published = await members[0].skips_to(Published)
    assert str(published.position).partition(":")[0] != before.partition(":")[0]
    gap = await members[1].skips_to(Gap)
    assert (gap.from_, gap.reason) == (before, "epoch")
    await members[1].expects(Message, data=2)
    assert (await members[1].joins("chat", since=before)).recovered is False
    await members[1].expects(Gap, reason="epoch")
