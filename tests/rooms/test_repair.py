import asyncio

import msgspec
import pytest

from service.brokers.broker import ConnectionEntry, History, Origin
from service.protocol.errors import Internal
from service.protocol.identifiers import Position
from service.rooms import local_rooms, repair
from service.rooms.answers import Place
from service.rooms.connection import Connection
from service.rooms.room import Room
from service.rooms.turns import SENDS_PER_TURN
from tests.rooms.simulated_broker import SimulatedNode, ear, tenant, turns
from tests.rooms.surroundings import EPOCH, Ear, message

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("error", [Internal("incident-1"), ZeroDivisionError()])
async def test_a_repair_that_fails_waits_and_tries_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "RETRY_SECONDS", 0.02)
    node = SimulatedNode()
    alice = node.connect("alice")
    await node.join(alice)
    node.broker.refuses["read_history"] = error
    node.broker.receivers["chat"].receive_message(message(2))
    node.turn_ended()
    await turns(50)
    assert node.broker.asked.count("read_history") == 1
    node.broker.history = History(Position(EPOCH, 2), 1, 0, [message(1), message(2)], False)
    del node.broker.refuses["read_history"]
    async with asyncio.timeout(5):
        while ear(alice).offsets != [1, 2]:
            await asyncio.sleep(0.01)


async def test_a_repair_waits_while_its_tenants_deliveries_have_no_room() -> None:
    node = SimulatedNode()
    alice = node.connect("alice")
    await node.join(alice)
    room = node.tenant_manager.rooms.by_name["chat"]
    for _ in range(40 * SENDS_PER_TURN):
        room.receive_signal(Origin("bob"), b'"data":1')
    node.turn_ended()
    node.broker.history = History(Position(EPOCH, 2), 1, 0, [message(1), message(2)], False)
    room.receive_interruption()
    waiting = len(room.deliveries)
    await turns(20)
    assert node.fanout.full
    assert "read_history" not in node.broker.asked
    assert len(room.deliveries) < waiting
    await turns(60)
    assert node.broker.asked.count("read_history") == 1
    assert ear(alice).offsets == [1, 2]
    assert not room.is_repairing


async def test_a_repair_reads_page_by_page_and_once_more_when_it_is_asked_for_meanwhile() -> None:
    node = SimulatedNode()
    alice = node.connect("alice")
    await node.join(alice)
    room = node.tenant_manager.rooms.by_name["chat"]
    node.broker.history = History(Position(EPOCH, 3), 1, 0, [message(1)], True)
    room.receive_interruption()
    while room.offset < 1:
        await turns(1)
    node.broker.history = History(Position(EPOCH, 3), 1, 0, [message(2), message(3)], False)
    held = node.broker.hold("read_history")
    await turns()
    room.receive_interruption()
    held.set()
    await turns(20)
    assert node.broker.asked.count("read_history") == 3
    assert ear(alice).offsets == [1, 2, 3]
    assert not room.is_repairing


async def test_an_answer_that_a_gap_passed_follows_the_gap_though_it_is_known_later_and_behind_its_fan_out() -> None:
    node = SimulatedNode()
    alice = node.connect("alice")
    await node.join(alice)
    room = node.tenant_manager.rooms.by_name["chat"]
    room.skip_to(Position(EPOCH, 2), "expired")
    place = Place(7, lambda position: b'\x81\x06"told"')
    alice.lane("chat").add(lambda answer: setattr(answer, "place", place), is_pipelined=True)
    place.epoch, place.offset = EPOCH, 2  # Redis told of it when it had been passed
    room.expect(Position(EPOCH, 2))
    assert room.deliveries
    node.tenant_manager.rooms.tick()
    assert "told" not in ear(alice).events
    node.fanout.run()
    assert ear(alice).events[-1] == "told"
    assert ear(alice).events[-2]["type"] == "gap"


async def join_many(node: SimulatedNode, count: int) -> list[Room]:
    for number in range(count):
        if number % 50 == 0:
            connection = node.connect(f"user-{number}")
        await node.join(connection, f"room-{number}")
    return list(node.tenant_manager.rooms.by_name.values())


async def test_rooms_that_wait_for_their_repair_have_no_task_and_each_is_read_once() -> None:
    node = SimulatedNode()
    rooms = await join_many(node, 300)
    held = node.broker.hold("read_history")
    before = len(asyncio.all_tasks())
    for room in rooms:
        room.receive_interruption()
        room.receive_interruption()  # before it is read: once is enough
    await turns()
    assert len(asyncio.all_tasks()) - before == repair.REPAIRS_AT_ONCE
    assert node.broker.asked.count("read_history") == repair.REPAIRS_AT_ONCE
    held.set()
    await turns(100)
    assert node.broker.asked.count("read_history") == len(rooms)
    assert not any(room.is_repairing for room in rooms)


async def test_the_repairs_of_a_tenant_whose_deliveries_have_no_room_keep_none_from_the_others() -> None:
    node = SimulatedNode()
    flooded = await join_many(node, 2 * repair.REPAIRS_AT_ONCE)
    manager = node.manager(msgspec.structs.replace(tenant(), id="t2", name="other"))
    bob = Connection(Ear(), ConnectionEntry("bob", "bob", "n1", 0, ""), max_held_bytes=100_000)
    manager.connect(bob)
    await manager.join_room(bob, "quiet", None, lambda joined, gap: None)
    quiet = manager.rooms.by_name["quiet"]
    for _ in range(40 * SENDS_PER_TURN):
        flooded[0].receive_signal(Origin("carol"), b'"data":1')
    node.turn_ended()
    for room in (*flooded, quiet):
        room.receive_interruption()
    await turns(10)
    assert flooded[0].queue in node.fanout.full
    assert node.broker.asked.count("read_history") == 1
    assert not quiet.is_repairing
    await turns(200)
    assert node.broker.asked.count("read_history") == 1 + len(flooded)


async def test_what_was_read_behind_a_place_of_an_epoch_that_ended_meanwhile_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = SimulatedNode()
    node.broker.head = Position(EPOCH, 7)
    alice = node.connect("alice")
    await node.join(alice)
    room = node.tenant_manager.rooms.by_name["chat"]

    async def read(*_: object, after: int, **_bounds: object) -> History:
        await asyncio.sleep(0)
        return History(Position("e2", 1), 1, 0, [message(1, "e2")] if after < 1 else [], False)

    monkeypatch.setattr(node.broker, "read_history", read)
    room.receive_interruption()
    await turns(1)
    room.receive_epoch(Position("e2", 0))
    await turns(20)
    assert [event["reason"] for event in ear(alice).events if event["type"] == "gap"] == ["epoch"]
    assert ear(alice).offsets == [1]


async def test_a_publish_is_answered_though_its_epoch_ended_before_this_node_heard_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_rooms, "EXPECTATION_SECONDS", 0.0)
    node = SimulatedNode()
    alice = node.connect("alice")
    await node.join(alice)
    room = node.tenant_manager.rooms.by_name["chat"]
    place = Place(7, lambda position: b'\x81\x06"told"')
    alice.lane("chat").add(lambda answer: setattr(answer, "place", place), is_pipelined=True)
    place.epoch, place.offset = "e2", 1
    room.expect(Position("e2", 1))
    node.broker.history = History(Position("e3", 0), 1, 0, [], False)
    for _ in range(3):
        node.tenant_manager.rooms.tick()
        await turns(20)
    assert ear(alice).events[-1] == "told"
