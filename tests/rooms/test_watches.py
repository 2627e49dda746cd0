"""Watching on one node: when watchers are told, when a room is watched at all, and what is looked at."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec import Struct

from service.brokers.members import MemberChange, PresenceChange, RoomMember, Shown
from service.protocol.codec import encode_event
from service.protocol.errors import Forbidden, NotJoined, TooLarge
from service.protocol.events import Gap, Joined
from service.rooms import watches
from service.rooms.connection import Connection
from service.rooms.room import Room
from service.tenants.room_types import RoomType
from tests.rooms.simulated_broker import UNAVAILABLE, SimulatedNode, ear, tenant, turns

pytestmark = pytest.mark.anyio

WATCHES = Shown(watches=True)


@pytest.fixture
async def node() -> AsyncIterator[SimulatedNode]:
    node = SimulatedNode()
    yield node
    await node.stop()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "GATHER_SECONDS", 0.0)


async def watch(node: SimulatedNode, name: str = "alice", room: str = "chat") -> Connection:
    connection = node.connect(name)
    await join(node, connection, room, WATCHES)
    return connection


async def join(node: SimulatedNode, connection: Connection, room: str, shown: Shown) -> None:
    def joined(_event: Joined, _gap: Gap | None) -> None:
        pass

    await node.tenant_manager.join_room(connection, room, None, joined, shown)


def room_of(node: SimulatedNode, name: str = "chat") -> Room:
    return node.tenant_manager.rooms.by_name[name]


def change(node: SimulatedNode, name: str, *, is_lost: bool = False, room: str = "chat") -> None:
    node.broker.sequence += 1
    if not is_lost:
        member = RoomMember(name, name, 1, b"", b"")
        told = PresenceChange(node.broker.sequence, 2, 2, [MemberChange("joined", member)])
        room_of(node, room).receive_presence(told)


async def events(node: SimulatedNode, connection: Connection) -> list[dict[str, object]]:
    await turns()
    node.fanout.run()
    return ear(connection).events


def look_at_all(node: SimulatedNode) -> None:
    for _ in range(watches.TICKS_OF_A_ROUND):
        node.tenant_manager.rooms.watches.tick()


async def test_changes_of_one_moment_are_one_event(node: SimulatedNode) -> None:
    alice = await watch(node)
    for name in ("bob", "carol"):
        change(node, name)
    [event] = await events(node, alice)
    assert event["type"] == "presence"
    assert [each["user"] for each in event["joined"]] == ["bob", "carol"]  # type: ignore[attr-defined]


async def test_a_thousand_joins_in_a_second_are_eleven_events_each_encoded_once(
    node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[object] = []

    def encode_and_count(event: Struct, binary: bool) -> bytes:
        encoded.append(event)
        return encode_event(event, binary)

    watchers = [await watch(node, f"watcher-{number}") for number in range(500)]
    change(node, "first")
    await turns()
    for watcher in watchers:
        ear(watcher).frames.clear()
    monkeypatch.setattr(watches, "GATHER_SECONDS", 0.1)
    monkeypatch.setattr(watches, "encode_event", encode_and_count)
    began = asyncio.get_running_loop().time()
    for number in range(1_000):
        change(node, f"newcomer-{number}")
        if number % 10 == 9:
            await asyncio.sleep(max(0.0, began + number / 1_000 - asyncio.get_running_loop().time()))
    seconds = asyncio.get_running_loop().time() - began
    await asyncio.sleep(0.2)
    node.fanout.run()
    frames = {tuple(map(id, ear(watcher).frames)) for watcher in watchers}
    assert len(frames) == 1, "the same bytes for all"
    assert len(encoded) == len(ear(watchers[0]).frames) <= 11 * max(1, seconds)
    told = [each["user"] for event in ear(watchers[0]).events for each in event["joined"]]
    assert told == [f"newcomer-{number}" for number in range(1_000)]


async def test_a_room_is_watched_from_its_first_watcher_to_its_last(node: SimulatedNode) -> None:
    plain = node.connect("plain")
    await join(node, plain, "chat", Shown())
    assert room_of(node).presence is None
    alice, bob = await watch(node), await watch(node, "bob")
    await join(node, alice, "chat", WATCHES)  # again
    await node.tenant_manager.leave_room(alice, "chat")
    assert node.broker.unwatched == []
    await join(node, bob, "chat", Shown())
    assert node.broker.unwatched == ["chat"]
    assert room_of(node).presence is None
    await watch(node, "carol")
    node.tenant_manager.disconnect(node.tenant_manager.connections["carol"])
    assert node.broker.unwatched == ["chat", "chat"]


async def test_while_the_tenants_fan_out_is_full_changes_are_gathered_and_none_is_dropped(node: SimulatedNode) -> None:
    alice = await watch(node)
    node.fanout.full = frozenset({room_of(node).queue})
    for name in ("bob", "carol"):
        change(node, name)
        await turns()
        assert ear(alice).events == []
    node.fanout.full = frozenset()
    [event] = await events(node, alice)
    assert [each["user"] for each in event["joined"]] == ["bob", "carol"]  # type: ignore[attr-defined]


async def test_a_join_that_fails_watches_nothing(node: SimulatedNode) -> None:
    node.broker.refuses["join"] = UNAVAILABLE
    with pytest.raises(type(UNAVAILABLE)):
        await watch(node)
    assert node.broker.unwatched == ["chat"]
    assert room_of(node).presence is None


async def test_one_that_is_gone_before_the_answer_watches_nothing(node: SimulatedNode) -> None:
    held = node.broker.hold("join")
    alice = node.connect("alice")
    joining = asyncio.create_task(join(node, alice, "chat", WATCHES))
    await turns()
    node.tenant_manager.disconnect(alice)
    held.set()
    await joining
    assert room_of(node).presence is None


async def test_nothing_is_told_before_joined(node: SimulatedNode) -> None:
    alice = node.connect("alice")
    held = node.broker.hold("join")
    joining = asyncio.create_task(join(node, alice, "chat", WATCHES))
    await turns()
    change(node, "bob")
    assert await events(node, alice) == []
    change(node, "carol", is_lost=True)
    held.set()
    await joining
    change(node, "dave")
    [event] = await events(node, alice)
    assert event.get("reset") or event["joined"]


async def test_a_lost_last_change_is_found_by_looking(node: SimulatedNode) -> None:
    alice = await watch(node)
    change(node, "bob", is_lost=True)
    look_at_all(node)
    assert await events(node, alice) == []
    look_at_all(node)
    [event] = await events(node, alice)
    assert event["reset"] is True


async def test_after_an_interruption_a_room_is_looked_at_at_once(node: SimulatedNode) -> None:
    alice = await watch(node)
    await watch(node, "alice-2", "other")
    change(node, "bob", is_lost=True)
    room_of(node).receive_interruption()
    node.broker.is_ready = False
    node.tenant_manager.rooms.watches.tick()
    await turns()
    assert "watch" not in node.broker.asked
    node.broker.is_ready = True
    node.broker.refuses["watch"] = UNAVAILABLE
    node.tenant_manager.rooms.watches.tick()
    await turns()
    del node.broker.refuses["watch"]
    node.tenant_manager.rooms.watches.tick()
    [event] = [each for each in await events(node, alice) if each["type"] == "presence"]
    assert event["reset"] is True
    assert node.broker.asked.count("watch") == 2


async def test_every_watched_room_is_looked_at_once_in_a_round(node: SimulatedNode) -> None:
    alice = node.connect("alice")
    for number in range(45):
        await join(node, alice, f"room-{number}", WATCHES)
    look_at_all(node)
    await turns()
    assert node.broker.asked.count("watch") == 45


async def test_a_state_is_set_for_a_member_alone(node: SimulatedNode) -> None:
    manager, alice = node.tenant_manager, node.connect("alice")
    await join(node, alice, "chat", Shown(state=b"1"))
    member = alice.rooms["chat"]
    await manager.set_state(member, b"2")
    assert node.broker.shown["chat", "alice"].state == member.state == b"2"
    with pytest.raises(TooLarge) as too_large:
        await manager.set_state(member, b"x" * 1_025)
    assert (too_large.value.limit, too_large.value.path) == ("max_state_bytes", "$.state")
    node.broker.members["chat"].clear()
    with pytest.raises(NotJoined):
        await manager.set_state(member, b"3")
    assert alice.entry("n1").shown == {"chat": Shown(b"", b"2", False)}
    await join(node, alice, "chat", Shown(watches=True))
    assert alice.entry("n1").shown == {"chat": WATCHES}


async def test_a_place_is_kept_by_the_rules_of_the_room(node: SimulatedNode) -> None:
    short, none = RoomType(presence_grace_seconds=0.5), RoomType(presence_grace_seconds=0.0)

    node.manager(tenant(2, short=short, none=none, quiet=RoomType(presence=False)))
    rooms = ("chat", "short", "none", "quiet")
    for name, has_grace, wanted in (("alice", True, [3_000, 500, 0, 0]), ("bob", False, [0, 0, 0, 0])):
        connection = node.connect(name)
        for room in rooms:
            await node.join(connection, room)
        node.tenant_manager.disconnect(connection, has_grace=has_grace)
        assert [node.broker.graces[room, name] for room in rooms] == wanted


async def test_where_presence_ends_watchers_are_told_no_more(node: SimulatedNode) -> None:
    alice = await watch(node)
    node.manager(tenant(2, chat=RoomType(presence=False)))
    change(node, "bob")
    assert await events(node, alice) == []
    with pytest.raises(Forbidden):
        await node.tenant_manager.set_state(alice.rooms["chat"], b"1")


async def test_a_user_is_put_out_of_one_room_and_told(node: SimulatedNode) -> None:
    alice, bob = node.connect("alice"), node.connect("bob")
    for connection in (alice, bob):
        for room in ("chat", "other"):
            await node.join(connection, room)
    node.receive_expulsion("t1", "chat", "alice")
    node.receive_expulsion("t2", "other", "alice")
    node.receive_expulsion("t1", "never", "nobody")
    assert (list(alice.rooms), list(bob.rooms)) == (["other"], ["chat", "other"])
    assert ear(alice).events == [{"type": "left", "room": "chat", "reason": "server"}]
    assert node.broker.members == {"chat": {"bob"}, "other": {"alice", "bob"}}
    assert node.broker.graces["chat", "alice"] == 0
