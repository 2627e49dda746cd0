import asyncio

import pytest

from service.brokers.broker import Origin
from service.protocol.errors import RateLimited, Unavailable
from service.rooms import local_rooms, room_rates
from service.rooms.outgoing import OutgoingMessage
from service.rooms.room import MAX_ARRIVED
from service.tenants.limits import Limits
from service.tenants.room_types import RoomType
from tests.rooms.simulated_broker import UNAVAILABLE, SimulatedNode, tenant, turns
from tests.rooms.surroundings import message

pytestmark = pytest.mark.anyio


async def test_a_room_that_could_not_be_heard_is_not_counted_as_occupied() -> None:
    node = SimulatedNode()
    node.broker.refuses["subscribe"] = UNAVAILABLE
    with pytest.raises(Unavailable):
        await node.join(node.connect("alice"))
    await turns()
    assert node.broker.claims == set()


async def test_a_join_that_is_given_up_while_its_room_opens_leaves_no_claim() -> None:
    node = SimulatedNode()
    node.broker.hold("claim_room")
    joining = asyncio.create_task(node.join(node.connect("alice")))
    await turns()
    node.broker.claims.add("chat")  # Redis has it, and its answer is under way
    joining.cancel()
    await asyncio.wait([joining])
    await turns()
    assert node.broker.claims == set()


async def test_many_that_come_at_once_open_a_room_once() -> None:
    node = SimulatedNode()
    connections = [node.connect(f"c{number}") for number in range(50)]
    answers = await asyncio.gather(*[node.join(connection) for connection in connections])
    assert all(len(answer) == 1 for answer in answers)
    assert node.broker.asked.count("claim_room") == node.broker.asked.count("subscribe") == 1
    for connection in connections:
        node.tenant_manager.disconnect(connection)
    await turns()
    assert node.broker.claims == set()


async def test_who_waits_for_a_room_to_open_opens_it_when_the_first_one_fails() -> None:
    node = SimulatedNode()
    held = node.broker.hold("subscribe")
    node.broker.refuses["subscribe"] = UNAVAILABLE
    first = asyncio.create_task(node.join(node.connect("alice")))
    second = asyncio.create_task(node.join(node.connect("bob")))
    await turns()
    held.set()
    await turns(1)
    del node.broker.refuses["subscribe"]
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert [isinstance(result, Unavailable) for result in results].count(True) <= 1
    assert node.broker.claims == {"chat"}


async def test_rooms_are_let_go_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_rooms, "LINGER_SECONDS", 0)
    monkeypatch.setattr(local_rooms, "ROOMS_LET_GO", 2)
    node = SimulatedNode()
    alice = node.connect("alice")
    for number in range(5):
        await node.join(alice, f"r{number}")
    rooms = node.tenant_manager.rooms
    node.tenant_manager.disconnect(alice)
    left = []
    for _ in range(3):
        rooms.tick()
        left.append(len(rooms.by_name))
    assert left == [3, 1, 0]
    assert node.broker.receivers == {}


async def test_messages_of_a_repair_that_can_not_read_are_not_piled_up() -> None:
    node = SimulatedNode()
    alice = node.connect("alice")
    await node.join(alice)
    node.broker.refuses["read_history"] = UNAVAILABLE
    room = node.tenant_manager.rooms.by_name["chat"]
    for offset in range(2, 5_000):
        room.receive_message(message(offset))
        node.turn_ended()
    assert len(room.arrived) <= MAX_ARRIVED


async def test_a_room_is_claimed_under_the_lease_that_its_members_get() -> None:
    node = SimulatedNode()
    held = node.broker.hold("subscribe")
    joining = asyncio.create_task(node.join(node.connect("alice")))
    await turns()
    node.broker.claims.clear()  # the lease is another one
    held.set()
    await joining
    assert node.broker.claims == {"chat"}
    node.redis_lost()
    node.broker.claims.clear()
    await node.join(node.connect("bob"))
    assert node.broker.claims == {"chat"}
    assert node.broker.asked.count("subscribe") == 1


async def test_open_rooms_get_other_rules_and_keep_them() -> None:
    node = SimulatedNode()
    alice, manager = node.connect("alice"), node.tenant_manager
    for room in ("chat:1", "news"):
        await node.join(alice, room)
    manager.update(tenant(2, chats=RoomType(pattern="chat:*", history_messages=0, messages_per_second=5)))
    chat, news = manager.rooms.by_name["chat:1"], manager.rooms.by_name["news"]
    assert (chat.rules.type_name, chat.is_stored) == ("chats", False)
    assert chat.rate is manager.rooms.rates.of("chat:1", 5)
    assert (news.rules.type_name, news.is_stored) == ("default", True)
    assert news.rate is None
    before = chat.rules
    manager.update(tenant(3, chats=RoomType(pattern="chat:*", history_messages=0, messages_per_second=5)))
    assert chat.rules is before  # nothing that matters changed
    manager.update(tenant(4))
    assert [room.rate for room in manager.rooms.by_name.values()] == [None, None]
    assert {room.rules.type_name for room in manager.rooms.by_name.values()} == {"default"}
    assert [room.is_stored for room in manager.rooms.by_name.values()] == [True, True]


async def test_a_rooms_members_are_limited_by_its_rules_as_they_are_now() -> None:
    node = SimulatedNode()
    manager = node.tenant_manager
    manager.update(tenant(2, limits=Limits(max_members_per_room=50), chat=RoomType(max_members=7)))
    for room in ("chat", "news"):
        await node.join(node.connect(f"in-{room}"), room)
    assert node.broker.most_members == {"chat": 7, "news": 50}
    manager.update(tenant(3, limits=Limits(max_members_per_room=50), chat=RoomType(max_members=90)))
    await node.join(node.connect("bob"), "chat")
    assert node.broker.most_members["chat"] == 50


async def test_many_rooms_get_other_rules_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_rooms, "SLICE_SECONDS", 0.0)  # one a turn
    node = SimulatedNode()
    alice, manager = node.connect("alice"), node.tenant_manager
    for number in range(5):
        await node.join(alice, f"chat:{number}")

    def types() -> list[str]:
        return sorted(room.rules.type_name for room in manager.rooms.by_name.values())

    manager.update(tenant(2, one=RoomType(pattern="chat:*")))
    assert types() == ["default"] * 4 + ["one"]
    await turns(1)
    assert types() == ["default"] * 3 + ["one"] * 2
    manager.update(tenant(3, two=RoomType(pattern="chat:*")))  # before all have the first ones
    await node.join(alice, "chat:new")
    assert manager.rooms.by_name["chat:new"].rules.type_name == "two"
    await turns()
    assert types() == ["two"] * 6


async def test_an_open_room_hears_for_its_rate_also_when_that_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_rates, "MAX_ROOMS", 1)
    node = SimulatedNode()
    monkeypatch.setattr(node.broker, "broadcast_to_room", lambda *_: None, raising=False)
    await node.join(node.connect("alice"))
    manager = node.tenant_manager
    manager.update(tenant(2, all=RoomType(pattern="*", messages_per_second=10)))

    def publish(room: str) -> None:
        manager.publish(room, OutgoingMessage(b"1"), Origin(), lambda _: None)

    for room in ("elsewhere", "chat"):
        publish(room)
    for offset in range(1, 12):
        node.broker.receivers["chat"].receive_message(message(offset))  # one of them is ours
    node.turn_ended()
    with pytest.raises(RateLimited):
        publish("chat")
