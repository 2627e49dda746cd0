"""Room types over real sockets: what they change, on both nodes, and in rooms that people are in."""

import asyncio
import time

import pytest
from msgspec import UNSET

from service.protocol.events import ErrorEvent, Gap, Message, SignalEvent
from tests.support.fixtures import Cluster, Connect, NewTenant
from tests.support.rest_client import Rest
from tests.support.room_types import Types
from tests.support.tenants import Tenant
from tests.support.wire_client import Client

pytestmark = pytest.mark.anyio


async def test_a_room_has_the_type_of_its_name_else_of_the_longest_prefix(connect: Connect, types: Types) -> None:
    await types.begin_with("chats", pattern="chat:*")
    await types.begin_with("chat:staff", pattern="chat:staff", history_messages=0)
    await types.begin_with("default", presence=False)
    alice = await connect()
    wanted = {"chat:1": "chats", "chat:staff": "chat:staff", "news": "default"}
    for room, name in wanted.items():
        joined = await alice.joins(room)
        assert (joined.position is None) is (room == "chat:staff")
        for server in types.servers:
            detail = await server.get(f"/v1/rooms/{room}")
            assert (detail["room_type"], detail["position"]) == (name, joined.position)


async def test_a_room_that_keeps_nothing_has_null_positions(connect: Connect, types: Types, binary: bool) -> None:
    await types.begin_with("passing", pattern="passing", history_messages=0)
    alice, bob = await connect("alice", binary=binary), await connect("bob")
    await alice.joins("passing")
    assert (await bob.publishes("passing", 1)).position is None
    await alice.expects(Message, room="passing", data=1, offset=UNSET)
    assert (await types.servers[1].publish("passing", 2))["position"] is None
    await alice.expects(Message, room="passing", data=2, offset=UNSET)
    page = await bob.history("passing")
    assert (page.messages, page.position) == ([], None)
    assert (await bob.publishes("kept", 1)).position is not None


async def test_a_history_ends_after_its_seconds(connect: Connect, types: Types) -> None:
    await types.begin_with("short", pattern="short", history_seconds=1)
    alice = await connect()
    for room in ("short", "long"):
        await alice.publishes(room)
    assert len((await alice.history("short")).messages) == 1
    deadline = time.monotonic() + 3
    while (await alice.history("short")).messages:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert len((await alice.history("long")).messages) == 1


async def test_a_room_that_begins_and_ends_to_keep_its_messages_keeps_its_order(
    connect: Connect, types: Types, cluster: Cluster
) -> None:
    alice, bob = await connect("alice", at=cluster.nodes[0]), await connect("bob", at=cluster.nodes[1])
    first = (await alice.joins("chat")).position
    assert first is not None
    epoch = first.partition(":")[0]
    assert (await bob.publishes("chat", 1)).position == f"{epoch}:1"
    await alice.expects(Message, data=1, offset=1)

    await types.put("none", room="chat", pattern="chat", history_messages=0)
    assert (await bob.history("chat")).messages == []  # what was kept is nobody's any more
    assert (await bob.joins("chat", since=f"{epoch}:1")).recovered is False
    await bob.expects(Gap, from_=f"{epoch}:1", to=None, reason="unstored")
    assert (await bob.publishes("chat", 2)).position is None
    await alice.expects(Message, data=2, offset=UNSET)

    await types.delete("none", room="chat")
    carol = await connect("carol", at=cluster.nodes[1])
    assert (await carol.joins("chat")).position == f"{epoch}:2"
    assert (await bob.publishes("chat", 3)).position == f"{epoch}:3"
    for client in (alice, carol):
        await client.expects(Message, data=3, offset=3)
    assert (await carol.joins("chat", since=f"{epoch}:2")).recovered is True
    await carol.expects(Message, data=3, offset=3)
    assert (await carol.joins("chat", since=f"{epoch}:1")).recovered is False
    await carol.expects(Gap, from_=f"{epoch}:1", to=f"{epoch}:3", reason="expired")
    await alice.hears_nothing()


async def test_changing_types_under_load_loses_nothing_and_repeats_nothing(
    connect: Connect, types: Types, cluster: Cluster
) -> None:
    listeners = [await connect(f"listener-{index}", at=node) for index, node in enumerate(cluster.nodes[:2])]
    speaker = await connect("speaker", at=cluster.nodes[1])
    for listener in listeners:
        await listener.joins("chat")
    over = asyncio.Event()

    async def speak() -> int:
        said = 0
        while not over.is_set():
            await speaker.publishes("chat", said)
            said += 1
            await asyncio.sleep(0.002)
        await speaker.publishes("chat", "over")
        return said

    async def change() -> None:
        for _ in range(3):
            await types.put("none", room="chat", pattern="chat", history_messages=0)
            await types.delete("none", room="chat")
        over.set()

    async def listen(listener: Client) -> tuple[list[int], int]:
        seen: list[int] = []
        kept = 0
        while (value := listener.value((event := await listener.expects(Message)).data)) != "over":
            seen.append(value)
            if isinstance(event.offset, int):
                assert event.offset == len(seen)
                kept += 1
        return seen, kept

    hearing = asyncio.gather(*map(listen, listeners))
    said, _ = await asyncio.gather(speak(), change())
    for seen, kept in await hearing:
        assert seen == list(range(said))
        assert 0 < kept < said


async def test_members_of_a_room_are_limited_on_all_nodes(connect: Connect, types: Types, cluster: Cluster) -> None:
    await types.begin_with("pair", pattern="pair:*", max_members=2)
    users = [await connect(f"user-{index}", at=cluster.nodes[index % 2]) for index in range(4)]
    await users[0].joins("pair:1")
    await users[1].joins("pair:1")
    for late in users[2:]:
        refused = await late.refused("too_many", "join", room="pair:1")
        assert (refused.limit, refused.scope, refused.room) == ("max_members_per_room", "room", "pair:1")
        await late.joins("pair:2")
    await types.put("table", room="pair:1", pattern="pair:1", max_members=3)
    await users[2].joins("pair:1")
    assert (await users[3].refused("too_many", "join", room="pair:1")).limit == "max_members_per_room"


async def test_a_rooms_rate_holds_for_all_nodes_and_edges_together(
    connect: Connect, types: Types, cluster: Cluster
) -> None:
    rate = 20
    await types.begin_with("slow", pattern="slow", messages_per_second=rate)
    speakers = [await connect(f"user-{index}", at=node) for index, node in enumerate(cluster.nodes[:2])]
    for speaker in speakers:
        await speaker.joins("slow")
    passed: list[float] = []
    refusals: list[ErrorEvent] = []
    begun = time.monotonic()

    async def speak(speaker: Client, command: str) -> None:
        number = 0
        while time.monotonic() < begun + 3:
            number += 1
            await speaker.sends(command, room="slow", data=number, id=f"{command}-{number}")
            while not (answer := getattr(event := await speaker.next(), "id", None)) or answer is UNSET:
                assert isinstance(event, Message | SignalEvent)
            if isinstance(event, ErrorEvent):
                refusals.append(event)
            else:
                passed.append(time.monotonic())
            await asyncio.sleep(0.01)

    await asyncio.gather(speak(speakers[0], "publish"), speak(speakers[1], "signal"))
    seconds = time.monotonic() - begun
    # Both may let a burst through before they hear of each other's; what is too much they pay back.
    assert 0.7 * rate * seconds <= len(passed) <= 1.1 * rate * seconds + 2 * rate
    assert refusals
    for refusal in refusals:
        assert (refusal.code, refusal.limit, refusal.scope) == ("rate_limited", "messages_per_second", "room")
        assert isinstance(refusal.retry_after_ms, int)
        assert refusal.retry_after_ms >= 1
    for server in types.servers:
        problem = None
        for _ in range(3 * rate):
            answer = await server.ask("POST", "/v1/rooms/slow/messages", {"data": 1})
            problem = answer.json() if answer.status_code == 429 else problem
        assert problem is not None
        assert (problem["limit"], problem["scope"], problem["room"]) == ("messages_per_second", "room", "slow")
        await server.publish("other", 1)


async def test_a_rooms_messages_have_a_size_at_every_edge(
    connect: Connect, types: Types, tenant: Tenant, cluster: Cluster
) -> None:
    await types.begin_with("tweets", pattern="tweet:*", max_message_bytes=10)
    alice = await connect()
    await alice.joins("tweet:1")
    text = "x" * 9  # 11 bytes with its quotes
    for command in ("publish", "signal"):
        refused = await alice.refused("too_large", command, room="tweet:1", data=text)
        assert (refused.limit, refused.path, refused.room) == ("max_message_bytes", "$.data", "tweet:1")
        assert refused.scope == "room"
    server = types.servers[0]
    problem = await server.refused(413, "too_large", "POST", "/v1/rooms/tweet:1/messages", {"data": text})
    assert problem["limit"] == "max_message_bytes"
    batch = {"messages": [{"room": room, "data": text} for room in ("tweet:1", "other")]}
    results = (await server.ask("POST", "/v1/messages", batch)).json()["results"]
    assert [result.get("problem", {}).get("limit") for result in results] == ["max_message_bytes", None]
    async with Rest(cluster.nodes[1].address, tenant.token("bob")) as user:
        body = {"type": "publish", "room": "tweet:1", "data": text}
        assert (await user.refused(413, "too_large", "POST", "/v1/commands", body))["limit"] == "max_message_bytes"
    assert (await alice.publishes("tweet:1", text[1:])).position is not None
    await alice.publishes("other", text)


async def test_a_tenants_lower_limit_wins_over_its_types(connect: Connect, types: Types, tenant: Tenant) -> None:
    await types.begin_with("big", pattern="big", max_message_bytes=50_000, max_members=50, history_messages=500)
    await tenant.limit(max_message_bytes=1_000, max_members_per_room=1, max_history_messages=0)
    alice, bob = await connect("alice"), await connect("bob")
    deadline = time.monotonic() + 2
    while (await alice.joins("big")).position is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert (await bob.refused("too_many", "join", room="big")).limit == "max_members_per_room"
    refused = await alice.refused("too_large", "publish", room="big", data="x" * 2_000)
    assert (refused.limit, refused.scope) == ("max_message_bytes", "tenant")


async def test_one_tenants_types_are_nothing_to_another(connect: Connect, types: Types, new_tenant: NewTenant) -> None:
    other = await new_tenant()
    await other.room_type("chat", pattern="*", history_messages=7, max_members=5)
    await types.begin_with("chat", pattern="chat", history_messages=0, max_members=1, max_message_bytes=5)
    mine, theirs = await connect("alice"), [await connect("alice", tenant=other) for _ in range(2)]
    assert (await mine.joins("chat")).position is None
    for client in theirs:
        assert (await client.joins("chat")).position is not None
    await mine.refused("too_large", "publish", room="chat", data="123456")
    await theirs[0].publishes("chat", "123456")
    await theirs[1].expects(Message, data="123456", offset=1)
    await mine.hears_nothing()
