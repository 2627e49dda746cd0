"""Usage of two real nodes against what the harness itself counted."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from service.preparation import open_storage
from service.protocol.events import Direct, ErrorEvent, Message, Published, Sent, SignalEvent, Signalled, Welcome
from service.protocol.resources import UsagePoint
from tests.support.fixtures import Cluster, Connect
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant, make_tenant
from tests.support.wire_client import Client, Closed

pytestmark = pytest.mark.anyio

FOREVER = (0, 2**50)
DELIVERIES = (Message, SignalEvent, Direct)
LAST = "last"


class MeteredReader:
    """A stream's reader that knows how many bytes came."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self.count = 0

    async def readexactly(self, size: int) -> bytes:
        data = await self._reader.readexactly(size)
        self.count += len(data)
        return data


class Harness:
    """A tenant's users and servers, and all that they sent and got."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.readers: list[MeteredReader] = []
        self.bytes_in = self.bytes_out = self.requests = self.http = self.websocket = self.deliveries = 0
        self.refused: Counter[str] = Counter()

    async def open(self, address: str, user: str, **options: Any) -> Client:
        """A socket whose bytes are counted from the first one behind the handshake."""
        client = await Client.open(
            address, self.tenant.token(user, **options.pop("claims", {})), welcomed=False, **options
        )
        reader = MeteredReader(client._reader)
        client._reader = reader  # type: ignore[assignment]
        self.readers.append(reader)
        send = client.sends_payload

        async def sends_payload(payload: bytes) -> None:
            self.bytes_in += len(payload)
            await send(payload)

        client.sends_payload = sends_payload  # type: ignore[method-assign]
        await client.expects(Welcome)
        return client

    async def hear(self, client: Client, rooms: int) -> None:
        """Take what comes until the last message of each room."""
        while rooms:
            event = await client.next()
            self.deliveries += isinstance(event, DELIVERIES)
            self.refused.update([event.code] if isinstance(event, ErrorEvent) else [])
            self.websocket += isinstance(event, Published | Signalled | Sent) and not getattr(event, "duplicate", False)
            rooms -= isinstance(event, Message) and event.name == LAST

    async def ask(self, rest: Rest, method: str, path: str, body: Any = None) -> Any:
        """One request; the problem's code is counted if it is refused."""
        answer = await rest.ask(method, path, body)
        self.requests += 1
        self.bytes_in += len(answer.request.content)
        self.bytes_out += len(answer.content)
        if answer.status_code >= 400:
            self.refused[answer.json()["type"].rpartition(":")[2]] += 1
        return answer.json() if answer.content else None


async def talk(client: Client, room: str, other: str) -> None:
    """Some of everything that a user may say, and may not."""
    for number in range(40):
        await client.sends("publish", room=room, data="x" * number, id=f"p{number}", echo=number % 3 == 0)
        await client.sends("publish", room=room, data=1, id=f"k{number}", key=f"key-{number // 2}")
        await client.sends("signal", room=room, data=number, id=f"s{number}", echo=number % 2 == 0)
        await client.sends("send", user=other, data=number, id=f"d{number}")
        await client.sends("history", room=room, limit=10, id=f"h{number}")
    for number in range(5):
        await client.sends("publish", room="forbidden", data=1, id=f"f{number}")
        await client.sends("publish", room=room, id=f"i{number}")
        await client.sends("publish", room=room, data="y" * 2_000, id=f"l{number}")


async def serve(harness: Harness, rest: Rest, rooms: list[str]) -> None:
    """Some of everything that a tenant's server may ask, and may not."""
    for number in range(20):
        await harness.ask(rest, "POST", f"/v1/rooms/{rooms[0]}/messages", {"data": number})
        await harness.ask(rest, "POST", "/v1/users/alice/messages", {"data": number})
        batch = [{"room": room, "data": number} for room in rooms] + [{"room": rooms[0], "data": "z" * 2_000}]
        answer = await harness.ask(rest, "POST", "/v1/messages", {"messages": batch})
        harness.http += 2 + sum("problem" not in result for result in answer["results"])
        harness.refused["too_large"] += sum("problem" in result for result in answer["results"])
        await harness.ask(rest, "GET", f"/v1/rooms/{rooms[0]}/messages?limit=5")
        await harness.ask(rest, "GET", "/v1/connections/no-such-connection")


async def read_usage(cluster: Cluster, tenant: Tenant) -> UsagePoint:
    """All that SQL has of the tenant, as one point."""
    storage = await open_storage(cluster.settings)
    points = await storage.usage.read(tenant.id, *FOREVER, "day")
    await storage.close()
    assert len(points) == 1, "the test ran across midnight"
    return points[0]


@pytest.fixture
def tried(make_cluster: Callable[[], Cluster]) -> Cluster:
    """Two nodes of the test's own, that it ends."""
    cluster = make_cluster()
    for node in [cluster.start_node(), cluster.start_node()]:
        node.wait()
    return cluster


@pytest.fixture
async def acme(tried: Cluster) -> Tenant:
    storage = await open_storage(tried.settings)
    tenant = await make_tenant(storage, max_message_bytes=1_000)
    await storage.close()
    return tenant


async def test_what_two_nodes_wrote_is_exactly_what_was_sent_and_got(tried: Cluster, acme: Tenant) -> None:
    harness = Harness(acme)
    rooms = ["one", "two"]
    rights = {"one": ["*"], "two": ["*"]}
    users = ["alice", "bob", "carol"]
    clients = [
        await harness.open(node.address, user, binary=number == 1, claims={"rooms": rights})
        for node in tried.nodes
        for number, user in enumerate(users)
    ]
    for client in clients:
        for room in rooms:
            await client.joins(room)
    began = asyncio.get_running_loop().time()
    hearing = [asyncio.create_task(harness.hear(client, len(rooms))) for client in clients]
    rests = [Rest(node.address, acme.api_key) for node in tried.nodes]
    talks = [talk(client, rooms[number % 2], users[number % 3]) for number, client in enumerate(clients)]
    await asyncio.gather(*talks, *(serve(harness, rest, rooms) for rest in rests))
    await asyncio.sleep(max(0.0, began + 2.5 - asyncio.get_running_loop().time()))  # two samples at the least
    for room in rooms:
        await clients[0].sends("ping")
        await harness.ask(rests[0], "POST", f"/v1/rooms/{room}/messages", {"data": 0, "name": LAST})
        harness.http += 1
    await asyncio.gather(*hearing)
    for client in clients:
        await client.close()
    for rest in rests:
        await rest.close()
    for node in tried.nodes:
        node.stop()

    used = await read_usage(tried, acme)
    assert used.messages_in.websocket == harness.websocket
    assert used.messages_in.http == harness.http
    assert used.deliveries == harness.deliveries
    assert used.bytes_in == harness.bytes_in
    assert used.bytes_out == harness.bytes_out + sum(reader.count for reader in harness.readers)
    assert used.api_requests == harness.requests
    assert used.refused == harness.refused
    assert used.peak_connections == len(clients)
    assert used.peak_rooms == len(rooms)
    assert 12 / 60 <= used.connection_minutes < 6


async def test_a_killed_node_loses_its_own_part_alone_and_is_not_counted_again(tried: Cluster, acme: Tenant) -> None:
    harness = Harness(acme)
    killed, other = [await harness.open(node.address, "alice") for node in tried.nodes]
    for number in range(50):
        await killed.publishes("chat", number)
        await other.publishes("chat", number)
    tried.nodes[0].kill()
    with pytest.raises(Closed):
        await killed.next()
    again = await harness.open(tried.nodes[0].start().wait().address, "alice")
    for number in range(30):
        await again.publishes("chat", number)
    for client in (other, again):
        await client.close()
    for node in tried.nodes:
        node.stop()
    used = await read_usage(tried, acme)
    # Its minute may have ended, and been written, before it was killed.
    assert used.messages_in.websocket in range(50 + 30, 50 + 30 + 50 + 1)
    assert used.bytes_in <= harness.bytes_in


async def test_the_node_that_is_asked_shows_its_own_minute_at_once(connect: Connect, rest: Rest) -> None:
    alice = await connect()
    await alice.publishes("chat", 1)
    page = await rest.get("/v1/usage?unit=minute")
    assert sum(point["messages_in"]["websocket"] for point in page["items"]) == 1
    assert sum(point["deliveries"] for point in page["items"]) == 0
    assert {point["peak_rooms"] for point in page["items"]} <= {0, 1}


async def test_what_histories_take_of_redis_is_seen_within_a_round(connect: Connect, rest: Rest) -> None:
    alice = await connect()
    async with asyncio.timeout(60):
        while not (seen := max(point["history_bytes"] for point in (await rest.get("/v1/usage"))["items"])):
            await alice.publishes("chat", "x" * 1_000)
            await asyncio.sleep(0.5)
    assert seen >= 1_000
