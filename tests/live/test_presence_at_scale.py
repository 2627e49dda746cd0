"""Many who come at once to a room that many watch: few events, and above a thousand only their number."""

import asyncio
import time

import pytest

from service.protocol.events import Joined, MembersEvent, OccupancyEvent, Presence
from tests.support.fixtures import Connect, NewTenant
from tests.support.live_server import LiveNode
from tests.support.tenants import Tenant
from tests.support.wire_client import Client, Closed

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

# PROTOCOL.md's figures are 1,000 and 1,000; this many a machine opens in a few seconds beside other tests.
WATCHERS = 150
NEWCOMERS = 300
GATHER_SECONDS = 0.1


class Ear:
    """A watcher that counts what it hears, without looking at it closely."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.joined = 0
        self.left = 0
        self.connections = 0
        self.events: list[float] = []
        self.kinds: set[type] = set()

    async def listen(self) -> None:
        try:
            while True:
                event = await self.client.next(60)
                assert isinstance(event, Presence | OccupancyEvent), event
                self.events.append(time.monotonic())
                self.kinds.add(type(event))
                if isinstance(event, Presence):
                    assert event.reset is not True
                    self.joined += len(event.joined)
                    self.left += len(event.left)
                    self.connections = event.occupancy.connections
                else:
                    self.connections = event.connections
        except Closed:
            pass

    def most_within_a_second(self) -> int:
        return max(sum(start <= at < start + 1 for at in self.events) for start in self.events)


async def crowd_of(tenant: Tenant, node: LiveNode, user: str, count: int) -> list[Client]:
    clients: list[Client] = []
    while len(clients) < count:
        some = min(50, count - len(clients))
        clients += await asyncio.gather(*[Client.open(node.address, tenant.token(user)) for _ in range(some)])
    return clients


async def watch(clients: list[Client], room: str) -> list[Ear]:
    for client in clients:
        await client.sends("join", room=room, watch=True, id=1)
        await client.skips_to(Joined)
    return [Ear(client) for client in clients]


async def test_many_who_come_and_go_are_few_events(new_tenant: NewTenant, node: LiveNode, other_node: LiveNode) -> None:
    tenant = await new_tenant(max_connections_per_user=None)
    watchers = await crowd_of(tenant, node, "watcher", WATCHERS)
    newcomers = await crowd_of(tenant, other_node, "newcomer", NEWCOMERS)
    ears = await watch(watchers, "chat")
    await asyncio.sleep(2 * GATHER_SECONDS)  # what the early ones heard of the late ones is over with the next event
    listening = [asyncio.create_task(ear.listen()) for ear in ears]
    try:
        for kind in ("join", "leave"):
            for number, client in enumerate(newcomers):
                await client.sends(kind, room="chat", **({"state": number} if kind == "join" else {}))
                if number % 10 == 0:
                    await asyncio.sleep(0.01)
            wanted = WATCHERS + (NEWCOMERS if kind == "join" else 0)
            async with asyncio.timeout(10):
                while any(ear.connections != wanted for ear in ears):
                    await asyncio.sleep(0.01)
        for ear in ears:
            assert ear.left == NEWCOMERS
            assert ear.joined >= NEWCOMERS
            assert ear.most_within_a_second() <= 11
    finally:
        for client in [*watchers, *newcomers]:
            client.drop()
        await asyncio.gather(*listening)


async def test_above_a_thousand_members_only_their_number_is_told(
    new_tenant: NewTenant, connect: Connect, node: LiveNode, other_node: LiveNode
) -> None:
    tenant = await new_tenant(max_connections_per_user=None, max_members_per_room=None)
    members = await crowd_of(tenant, node, "member", 1_002)
    for client in members[:995]:
        await client.joins("chat")
    text = await connect("text", tenant=tenant)
    watchers = [text, await connect("binary", tenant=tenant, at=other_node, binary=True)]
    for watcher in watchers:
        joined = await watcher.joins("chat", watch=True)
        assert isinstance(joined.members, list)
        assert len(joined.members) == 100
    await text.expects(Presence)
    for client in members[995:]:
        await client.joins("chat")
    try:
        for watcher in watchers:
            event = await watcher.skips_to(OccupancyEvent)
            assert event.connections > 1_000
            while event.connections < 1_004:
                event = await watcher.expects(OccupancyEvent)
            assert (event.room, event.users) == ("chat", 3)
        page = await text.asks(MembersEvent, "members", room="chat", limit=1_000)
        assert len(page.members) == 1_000
        rest = await text.asks(MembersEvent, "members", room="chat", limit=1_000, cursor=page.next_cursor)
        assert len({member.connection for member in page.members + rest.members}) == 1_004
        for client in members[:110]:
            await client.sends("leave", room="chat")
        for watcher in watchers:
            last = await watcher.skips_to(Presence)
            assert last.reset is True
            assert last.occupancy.connections < 900
    finally:
        for client in members:
            client.drop()
