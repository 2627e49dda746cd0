"""PROTOCOL.md, "Recovery": everything after `since`, or the plain answer that it is gone."""

import asyncio

import pytest

from service.protocol.events import Gap, Joined, Message, Published
from tests.support.fixtures import Connect, NewTenant
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant
from tests.support.wire_client import Client

pytestmark = pytest.mark.anyio


async def publish_batch(node: LiveNode, tenant: Tenant, count: int, *, size: int = 0, room: str = "chat") -> list[str]:
    """Positions of `count` messages by the tenant's server."""
    async with Rest(node.address, tenant.api_key) as rest:
        messages = [{"room": room, "data": {"n": number, "x": "x" * size}} for number in range(count)]
        answer = await rest.ask("POST", "/v1/messages", {"messages": messages})
    return [result["position"] for result in answer.json()["results"]]


async def test_what_was_missed_follows_joined_and_then_live(
    connect: Connect, node: LiveNode, tenant: Tenant, binary: bool
) -> None:
    at = await publish_batch(node, tenant, 10)
    alice, bob = await connect("alice", binary=binary), await connect("bob")
    joined = await alice.joins("chat", since=at[3])
    assert (joined.recovered, joined.position) == (True, at[9])
    for offset in range(5, 11):
        await alice.expects(Message, offset=offset)
    await bob.publishes("chat")
    await alice.expects(Message, offset=11)


async def test_a_since_at_the_head_is_recovered_even_of_an_empty_room(connect: Connect) -> None:
    alice = await connect()
    joined = await alice.joins("chat")
    again = await alice.joins("chat", since=joined.position)
    assert (again.recovered, again.position) == (True, joined.position)
    published = await alice.publishes("chat")
    assert (await alice.joins("chat", since=published.position)).recovered
    await alice.hears_nothing()


async def test_another_epoch_is_a_gap_and_nothing_old(connect: Connect, node: LiveNode, tenant: Tenant) -> None:
    at = await publish_batch(node, tenant, 3)
    alice, bob = await connect("alice"), await connect("bob")
    ahead = at[2].replace(":3", ":4")
    for since in ("other-epoch:2", ahead):
        joined = await alice.joins("chat", since=since)
        assert (joined.recovered, joined.position) == (False, at[2])
        await alice.expects(Gap, room="chat", from_=since, to=at[2], reason="epoch")
    await bob.publishes("chat", "live")
    await alice.expects(Message, data="live", offset=4)


async def test_what_was_trimmed_is_a_gap(connect: Connect, node: LiveNode, new_tenant: NewTenant) -> None:
    tenant = await new_tenant(max_history_messages=5)
    at = await publish_batch(node, tenant, 500)
    alice, bob = await connect("alice", tenant=tenant), await connect("bob", tenant=tenant)
    joined = await alice.joins("chat", since=at[0])
    assert joined.recovered is False
    await alice.expects(Gap, from_=at[0], to=at[499], reason="expired")
    assert (await alice.joins("chat", since=at[498])).recovered
    await alice.expects(Message, offset=500)
    await bob.publishes("chat", "live")
    await alice.expects(Message, data="live", offset=501)


async def test_a_room_that_keeps_nothing_says_so(connect: Connect, new_tenant: NewTenant) -> None:
    tenant = await new_tenant(max_history_messages=0)
    alice, bob = await connect("alice", tenant=tenant), await connect("bob", tenant=tenant)
    joined = await alice.joins("chat")
    assert (joined.position, joined.recovered) == (None, None)
    joined = await alice.joins("chat", since="abc:3")
    assert (joined.position, joined.recovered) == (None, False)
    await alice.expects(Gap, to=None, reason="unstored")
    assert (await bob.publishes("chat", 1)).position is None
    await alice.expects(Message, data=1)


async def test_ones_own_messages_are_recovered_too(connect: Connect) -> None:
    alice = await connect()
    joined = await alice.joins("chat")
    for number in range(3):
        await alice.publishes("chat", number)
    again = await alice.joins("chat", since=joined.position)
    assert again.recovered
    for number in range(3):
        await alice.expects(Message, data=number, offset=number + 1)
    await alice.hears_nothing()


async def test_since_needs_only_the_right_to_join(connect: Connect, node: LiveNode, tenant: Tenant) -> None:
    at = await publish_batch(node, tenant, 3)
    alice = await connect(claims={"rooms": {"chat": ["join"]}})
    assert (await alice.joins("chat", since=at[0])).recovered
    await alice.expects(Message, offset=2)


def epoch_of(position: str | None) -> str:
    assert position is not None
    return position.partition(":")[0]


async def hears_all(client: Client, first: int, last: int) -> None:
    """Offsets from `first` to `last`, each once, own ones by their `published`."""
    for offset in range(first, last + 1):
        event = await client.next()
        if isinstance(event, Published):
            assert event.position is not None
            assert event.position.endswith(f":{offset}")
        else:
            assert isinstance(event, Message), event
            assert event.offset == offset, event


async def test_many_pages_while_others_and_oneself_publish(
    connect: Connect, node: LiveNode, other_node: LiveNode, new_tenant: NewTenant, binary: bool
) -> None:
    tenant = await new_tenant(max_history_messages=100)
    at = await publish_batch(node, tenant, 90, size=8_000)
    alice = await connect("alice", tenant=tenant, binary=binary)
    others = [await connect("bob", tenant=tenant), await connect("carol", tenant=tenant, at=other_node)]
    await alice.sends("join", room="chat", since=at[9], id="join")

    async def talk(talker: Client) -> None:
        for number in range(20):
            await talker.publishes("chat", number)

    talks = asyncio.gather(*map(talk, others))
    for number in range(20):
        await alice.sends("publish", room="chat", data=number, id=number)
    joined = await alice.expects(Joined, id="join", recovered=True)
    assert joined.position is not None
    await hears_all(alice, 11, 150)
    await talks
    await alice.hears_nothing()


async def test_a_slow_reader_is_fed_as_it_drains(connect: Connect, node: LiveNode, new_tenant: NewTenant) -> None:
    tenant = await new_tenant()
    at = await publish_batch(node, tenant, 99, size=40_000)  # 4 MB, four times what an outbox holds
    alice = await connect("alice", tenant=tenant, receive_buffer_bytes=16_384)
    await alice.sends("join", room="chat", since=at[0], id=1)
    assert (await alice.expects(Joined)).recovered
    bob = await connect("bob", tenant=tenant)
    await bob.publishes("chat", "live meanwhile")
    await hears_all(alice, 2, 100)


async def test_rejoining_in_the_middle_of_a_recovery_begins_anew(
    connect: Connect, node: LiveNode, tenant: Tenant
) -> None:
    at = await publish_batch(node, tenant, 60, size=10_000)
    alice = await connect()
    await alice.sends_together(
        {"type": "join", "room": "chat", "since": at[0], "id": 1},
        {"type": "join", "room": "chat", "since": at[49], "id": 2},
    )
    await alice.expects(Joined, id=1, recovered=True)
    offset = 1
    while isinstance(event := await alice.next(), Message):
        offset += 1
        assert event.offset == offset
    assert isinstance(event, Joined)
    assert (event.id, event.recovered) == (2, True)
    await hears_all(alice, 51, 60)
    await alice.hears_nothing()


async def test_forgetting_the_history_begins_an_epoch(
    connect: Connect, node: LiveNode, other_node: LiveNode, tenant: Tenant, rest: Rest
) -> None:
    at = await publish_batch(node, tenant, 3)
    members = [await connect("alice"), await connect("bob", at=other_node, binary=True)]
    for member in members:
        await member.joins("chat")
    assert (await rest.ask("DELETE", "/v1/rooms/chat/messages")).status_code == 204
    for member in members:
        gap = await member.expects(Gap, room="chat", from_=at[2], reason="epoch")
        assert gap.to is not None
        assert epoch_of(gap.to) != epoch_of(at[2])
    assert epoch_of((await members[0].publishes("chat", "new")).position) == epoch_of(gap.to)
    await members[1].expects(Message, data="new")
    joined = await members[1].joins("chat", since=at[1])
    assert joined.recovered is False
    await members[1].expects(Gap, from_=at[1], reason="epoch")
    assert [item["data"] for item in (await rest.get("/v1/rooms/chat/messages"))["messages"]] == ["new"]


async def test_many_rooms_recover_together_and_all_go_on_live(
    connect: Connect, node: LiveNode, new_tenant: NewTenant
) -> None:
    tenant = await new_tenant()
    rooms = [f"room-{number}" for number in range(12)]
    at = {room: await publish_batch(node, tenant, 30, size=10_000, room=room) for room in rooms}
    alice = await connect("alice", tenant=tenant, receive_buffer_bytes=16_384)
    bob = await connect("bob", tenant=tenant)
    await alice.sends_together(*({"type": "join", "room": room, "since": at[room][0]} for room in rooms))
    talk = asyncio.gather(*(publish_batch(node, tenant, 10, size=10_000, room=room) for room in rooms))
    # 4 MB in all, four times what an outbox holds
    offsets = dict.fromkeys(rooms, 1)
    while set(offsets.values()) != {40}:
        event = await alice.next()
        assert isinstance(event, Message)
        offsets[event.room] += 1
        assert event.offset == offsets[event.room]
    await talk
    for room in rooms:
        await bob.publishes(room, "live")
        await alice.expects(Message, room=room, data="live")


async def test_what_comes_while_a_recovery_is_refused_comes_live_or_lies_in_the_gap(
    connect: Connect, node: LiveNode, other_node: LiveNode, new_tenant: NewTenant
) -> None:
    tenant = await new_tenant(max_history_messages=5)
    at = await publish_batch(node, tenant, 500)
    talker = await connect("talker", tenant=tenant, at=other_node)
    done = asyncio.Event()

    async def talk() -> None:
        while not done.is_set():
            await talker.publishes("chat")

    talking = asyncio.create_task(talk())
    for _ in range(40):
        alice = await connect("alice", tenant=tenant)
        await alice.sends("join", room="chat", since=at[0], id=1)
        joined = await alice.expects(Joined, recovered=False)
        gap = await alice.expects(Gap, to=joined.position)
        offset = int(str(gap.to).partition(":")[2])
        for _ in range(5):
            offset += 1
            await alice.expects(Message, offset=offset)
        await alice.close()
    done.set()
    await talking
