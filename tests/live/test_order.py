"""PROTOCOL.md, "Order": replies, own messages and others' keep their places."""

import asyncio
from typing import Any

import pytest
from msgspec import UNSET

from service.protocol.events import (
    ErrorEvent,
    HistoryEvent,
    Joined,
    Left,
    Message,
    Published,
    SignalEvent,
    Signalled,
    WebSocketEvent,
)
from tests.support.fixtures import Connect, NewTenant
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant
from tests.support.wire_client import Client

pytestmark = pytest.mark.anyio


def offset_of(event: WebSocketEvent) -> int | None:
    """The place in the room of a `message`, or of a `published` that stands for one."""
    if isinstance(event, Message):
        return event.offset if isinstance(event.offset, int) else None
    if isinstance(event, Published) and not event.duplicate and event.position is not None:
        return int(event.position.rpartition(":")[2])
    return None


async def test_published_stands_in_its_messages_place_among_others_messages(
    connect: Connect, other_node: LiveNode, binary: bool
) -> None:
    each = 100
    talkers = [
        await connect("alice", binary=binary),
        await connect("bob", at=other_node),
        await connect("carol", binary=binary, at=other_node),
    ]
    for talker in talkers:
        await talker.joins("chat")

    async def talk(talker: Client) -> None:
        for number in range(each):
            await talker.sends("publish", room="chat", data=number, id=number)

    async def listen(talker: Client) -> None:
        offsets: list[int] = []
        ids = []
        while len(offsets) < each * len(talkers):
            event = await talker.next()
            offset = offset_of(event)
            assert offset is not None, event
            offsets.append(offset)
            if isinstance(event, Published):
                ids.append(event.id)
        assert offsets == list(range(1, each * len(talkers) + 1))
        assert ids == list(range(each))

    await asyncio.gather(*map(talk, talkers), *map(listen, talkers))


async def test_with_echo_the_message_comes_right_before_its_published(connect: Connect, other_node: LiveNode) -> None:
    alice, bob = await connect("alice"), await connect("bob", at=other_node)
    await alice.joins("chat")

    async def talk(talker: Client) -> None:
        for number in range(100):
            await talker.sends("publish", room="chat", data=number, id=number, echo=True)

    talks = asyncio.gather(talk(alice), talk(bob))
    seen = [await alice.next() for _ in range(300)]
    await talks
    for before, event in zip([None, *seen], seen, strict=False):
        if isinstance(event, Published):
            assert isinstance(before, Message)
            assert before.offset == offset_of(event)
            assert alice.value(before.data) == event.id
    assert [event.offset for event in seen if isinstance(event, Message)] == list(range(1, 201))


async def test_one_connections_commands_in_a_room_are_answered_in_their_order(connect: Connect, binary: bool) -> None:
    alice = await connect(binary=binary)
    room = {"room": "chat"}
    commands: list[dict[str, Any]] = [
        {"type": "join", **room},
        *({"type": "publish", "data": number, **room} for number in range(64)),
        {"type": "history", "limit": 64, **room},
        {"type": "publish", "data": "x" * 70_000, **room},
        {"type": "signal", "data": 1, **room},
        {"type": "publish", "data": 64, **room},
        {"type": "join", **room},
        {"type": "leave", **room},
        {"type": "signal", "data": 2, **room},
        {"type": "history", "limit": 1, **room},
        {"type": "publish", "data": 65, "nonsense": 1, **room},
        {"type": "leave", **room},
    ]
    await alice.sends_together(*(command | {"id": number} for number, command in enumerate(commands)))
    kinds = [Joined, *[Published] * 64, HistoryEvent, ErrorEvent, Signalled, Published, Joined, Left, ErrorEvent]
    kinds += [HistoryEvent, ErrorEvent, Left]
    answers = [await alice.next() for _ in commands]
    assert [type(answer) for answer in answers] == kinds
    assert [getattr(answer, "id", None) for answer in answers] == list(range(len(commands)))
    page = answers[65]
    assert isinstance(page, HistoryEvent)
    assert [alice.value(item.data) for item in page.messages] == list(range(64))
    codes = [answer.code for answer in answers if isinstance(answer, ErrorEvent)]
    assert codes == ["too_large", "not_joined", "invalid"]


async def test_after_left_nothing_more_comes_and_leaving_in_mid_publish_answers_all(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await alice.joins("chat")
    publish = [{"type": "publish", "room": "chat", "data": number, "id": number} for number in range(20)]
    await alice.sends_together(*publish[:10], {"type": "leave", "room": "chat", "id": "leave"}, *publish[10:])
    order = []
    for _ in range(21):
        event = await alice.next()
        assert isinstance(event, Published | Left)
        order.append(event.id)
    assert order == [*range(10), "leave", *range(10, 20)]
    await bob.publishes("chat")
    await alice.hears_nothing()


async def test_a_duplicate_is_answered_and_has_no_place(connect: Connect) -> None:
    alice = await connect()
    await alice.joins("chat")
    first = await alice.publishes("chat", 1, key="k")
    await alice.publishes("chat", 2)
    again = await alice.publishes("chat", "another text", key="k", echo=True)
    assert (again.position, again.duplicate) == (first.position, True)
    assert (await alice.publishes("chat", 3)).position != first.position
    await alice.hears_nothing()


async def test_a_key_holds_over_nodes_and_edges_for_its_user_alone(
    connect: Connect, other_node: LiveNode, node: LiveNode, tenant: Tenant, rest: Rest
) -> None:
    listener = await connect("listener")
    await listener.joins("chat")
    first = await (await connect("alice")).publishes("chat", "a", key="k")
    for again in (
        await (await connect("alice")).publishes("chat", "b", key="k"),
        await (await connect("alice", at=other_node, binary=True)).publishes("chat", "c", key="k"),
    ):
        assert (again.position, again.duplicate) == (first.position, True)
    async with Rest(node.address, tenant.token("alice")) as http:
        over_http = await http.command("publish", room="chat", data="d", key="k")
    assert (over_http["position"], over_http["duplicate"]) == (first.position, True)
    await listener.expects(Message, data="a", offset=1)

    assert not (await (await connect("bob")).publishes("chat", "bob's", key="k")).duplicate
    await listener.expects(Message, data="bob's", offset=2)
    by_server = await rest.publish("chat", "server's", key="k")
    assert not by_server["duplicate"]
    async with Rest(other_node.address, tenant.api_key) as elsewhere:
        again_by_server = await elsewhere.publish("chat", "x", key="k")
    assert again_by_server == {"position": by_server["position"], "duplicate": True}
    await listener.expects(Message, data="server's", offset=3, from_=None)
    assert not (await (await connect("alice")).publishes("other", "room", key="k")).duplicate
    await listener.hears_nothing()


async def test_a_key_works_where_nothing_is_kept(connect: Connect, new_tenant: NewTenant) -> None:
    tenant = await new_tenant(max_history_messages=0)
    alice, bob = await connect("alice", tenant=tenant), await connect("bob", tenant=tenant)
    for client in (alice, bob):
        await client.joins("chat")
    assert (await alice.publishes("chat", 1, key="k")).duplicate is False
    assert (await alice.publishes("chat", 2, key="k")).duplicate is True
    await bob.expects(Message, data=1, offset=UNSET)
    await bob.hears_nothing()
    await alice.sends("publish", room="chat", data=3, echo=True, id=1)
    await alice.expects(Message, data=3)
    await alice.expects(Published, position=None)


async def test_signals_and_messages_keep_rooms_apart(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    for room in ("a", "b"):
        await alice.joins(room)
        await bob.joins(room)
    await bob.publishes("a", 1)
    await alice.expects(Message, room="a")
    await bob.asks(Signalled, "signal", room="b", data=2)
    await alice.expects(SignalEvent, room="b")
    await alice.hears_nothing()
