"""Presence through faults: within 10 s it is true again, and joins and leaves alternate all the while."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec import Raw

from service.preparation import open_storage
from service.protocol.events import ErrorEvent, Joined
from tests.support.fixtures import Cluster
from tests.support.live_server import LiveNode
from tests.support.tenants import Tenant, make_tenant
from tests.support.watcher import Watcher
from tests.support.wire_client import Client, Refused

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

TRUE_WITHIN_SECONDS = 10.0  # RELIABILITY.md, promise 5
ROOMS = ("chat", "other")


@pytest.fixture(scope="module")
def doomed(make_cluster: Callable[..., Cluster]) -> Cluster:
    """Three nodes, of which the last is hurt, on a Valkey that is hurt too."""
    cluster = make_cluster(drain_seconds=2)
    for node in [cluster.start_node(), cluster.start_node(), cluster.start_node()]:
        node.wait()
    return cluster


class Crowd:
    """One tenant's clients: watchers of the room `chat` on the first nodes, members on any."""

    def __init__(self, cluster: Cluster, tenant: Tenant) -> None:
        self.cluster = cluster
        self.tenant = tenant
        self.watchers: list[Watcher] = []
        self.opened: list[Client] = []

    async def open(self, user: str, node: LiveNode, **options: bool) -> Client:
        token = self.tenant.token(user, info={"name": user})
        while True:
            try:
                self.opened.append(await Client.open(node.address, token, **options))
                return self.opened[-1]
            except Refused as refused:
                if refused.status != 503:
                    raise
                await asyncio.sleep(0.05)  # Redis is just coming back

    async def watches(self, number: int, node: LiveNode) -> Watcher:
        watcher = await Watcher.watch(await self.open(f"watcher-{number}", node, binary=number % 2 == 1), "chat")
        self.watchers.append(watcher)
        return watcher

    async def joins(self, user: str, node: LiveNode) -> Client:
        client = await self.open(user, node)
        for room in ROOMS:
            while True:
                await client.sends("join", room=room, state=user, id=room)
                event = await client.next()
                if isinstance(event, Joined):
                    break
                assert isinstance(event, ErrorEvent)
                assert event.code == "unavailable"
                await asyncio.sleep(0.05)
        return client

    async def know(self, members: list[Client], within_seconds: float = TRUE_WITHIN_SECONDS) -> None:
        """Every watcher knows of these, and of the watchers."""
        there = [client.welcome.connection for client in [*members, *(watcher.client for watcher in self.watchers)]]
        await asyncio.gather(*[watcher.knows(there, within_seconds) for watcher in self.watchers])

    async def close(self) -> None:
        try:
            for watcher in self.watchers:
                await watcher.stop()
        finally:
            for client in self.opened:
                client.drop()


@pytest.fixture
async def crowd(doomed: Cluster) -> AsyncIterator[Crowd]:
    for node in doomed.nodes:
        if node._process is None or node._process.poll() is not None:
            node.start().wait()
    await doomed.settles()
    storage = await open_storage(doomed.settings)
    crowd = Crowd(doomed, await make_tenant(storage, max_connections_per_user=None))
    for number, node in enumerate([*doomed.nodes[:2], *doomed.nodes[:2]]):
        await crowd.watches(number, node)
    await crowd.know([])
    yield crowd
    await crowd.close()
    await storage.close()


async def test_a_killed_node_s_members_are_gone_within_10_s(doomed: Cluster, crowd: Crowd) -> None:
    stay = [await crowd.joins(f"user-{number}", doomed.nodes[0]) for number in range(3)]
    go = [await crowd.joins(f"user-{number}", doomed.nodes[2]) for number in range(40)]
    await crowd.know([*stay, *go])
    killed_at = time.monotonic()
    await asyncio.to_thread(doomed.nodes[2].kill)
    await crowd.know(stay)
    assert time.monotonic() - killed_at < TRUE_WITHIN_SECONDS
    for watcher in crowd.watchers:
        left = [member.connection for event in watcher.events for member in getattr(event, "left", ())]
        assert sorted(left) == sorted(client.welcome.connection for client in go), "each once"
        assert watcher.resets == 0


async def test_a_frozen_node_s_members_go_and_come_back_when_it_wakes(doomed: Cluster, crowd: Crowd) -> None:
    stay = [await crowd.joins("stays", doomed.nodes[0])]
    frozen = [await crowd.joins(f"user-{number}", doomed.nodes[2]) for number in range(20)]
    inside = await crowd.watches(5, doomed.nodes[2])
    everybody = [*stay, *frozen]
    await crowd.know(everybody)
    doomed.nodes[2].freeze()
    try:
        crowd.watchers.remove(inside)
        await crowd.know(stay)
    finally:
        doomed.nodes[2].thaw()
        crowd.watchers.append(inside)
    await crowd.know(everybody)
    await frozen[0].sends("set_state", room="chat", state="awake", id=1)
    connection = frozen[0].welcome.connection
    for watcher in crowd.watchers:

        def is_awake(watcher: Watcher = watcher) -> bool:
            member = watcher.members.get(connection)  # none while it lists the members anew
            state = None if member is None else member.state
            return isinstance(state, Raw) and bool(watcher.client.value(state) == "awake")

        await watcher.until(is_awake)


async def test_a_cut_of_pub_sub_is_told_as_a_reset(doomed: Cluster, crowd: Crowd) -> None:
    members = [await crowd.joins(f"user-{number}", doomed.nodes[2]) for number in range(5)]
    await crowd.know(members)
    for number in range(5, 15):
        doomed.valkey.client.client_kill_filter(_type="pubsub")
        members += [await crowd.joins(f"user-{number}", doomed.nodes[2])]
        members.pop(0).drop()
    await crowd.know(members)
    assert any(watcher.resets for watcher in crowd.watchers)


@pytest.mark.parametrize("is_emptied", [False, True])
async def test_after_a_restart_of_redis_presence_is_true(doomed: Cluster, crowd: Crowd, is_emptied: bool) -> None:
    members = [await crowd.joins(f"user-{number}", doomed.nodes[number % 3]) for number in range(20)]
    await crowd.know(members)
    if is_emptied:
        doomed.valkey.client.flushall()
    await asyncio.to_thread(doomed.valkey.kill)
    members.pop(0).drop()  # nobody can be told of it now
    await asyncio.sleep(0.2)
    await asyncio.to_thread(doomed.valkey.start)
    await doomed.settles()
    await crowd.know(members, 2 * TRUE_WITHIN_SECONDS)
    members.append(await crowd.joins("late", doomed.nodes[1]))
    await crowd.know(members)


async def test_a_node_that_ends_keeps_the_places_of_its_clients(doomed: Cluster, crowd: Crowd) -> None:
    members = [await crowd.joins(f"user-{number}", doomed.nodes[2]) for number in range(10)]
    await crowd.know(members)
    node = doomed.nodes[2]
    node.terminate()
    back: list[Client] = []
    for number, member in enumerate(members):
        await member.is_closed_with(1001)
        back.append(await crowd.joins(f"user-{number}", doomed.nodes[0]))
    await asyncio.to_thread(node.ended)
    await crowd.know(back)
    for watcher in crowd.watchers:
        changed = [member.was for event in watcher.events for member in getattr(event, "changed", ())]
        assert sorted(map(str, changed)) == sorted(member.welcome.connection for member in members)
        assert not any(getattr(event, "left", ()) for event in watcher.events)


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_members_do_watchers_know_of_it(doomed: Cluster, crowd: Crowd, seed: int) -> None:
    chance = random.Random(seed)
    members = [await crowd.joins(f"user-{number}", doomed.nodes[number % 3]) for number in range(12)]
    for step in range(150):
        member = members.pop(chance.randrange(len(members)))
        user = member.welcome.user
        roll = chance.random()
        if roll < 0.3:
            member.drop()
        elif roll < 0.5:
            await member.close()
        elif roll < 0.8:
            await member.sends("set_state", room="chat", state=step)
            members.append(member)
            continue
        else:
            await member.sends("leave", room="chat")
            if chance.random() < 0.7:
                await member.sends("join", room="chat")
                members.append(member)
                continue
        members.append(await crowd.joins(user, chance.choice(doomed.nodes)))
    await crowd.know(members)
    assert not any(watcher.resets for watcher in crowd.watchers)
