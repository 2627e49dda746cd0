import asyncio

import pytest

from service.brokers.broker import History, Origin
from service.protocol.errors import Internal
from service.protocol.identifiers import Position
from service.rooms import repair
from service.rooms.answers import Place
from service.rooms.turns import SENDS_PER_TURN
from tests.rooms.simulated_broker import SimulatedNode, ear, turns
from tests.rooms.surroundings import EPOCH, message

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


async def test_an_answer_that_a_gap_passed_is_given_though_a_fan_out_is_under_way() -> None:
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
    node.fanout.run()
    assert "told" not in ear(alice).events
    node.tenant_manager.rooms.tick()
    assert ear(alice).events[-1] == "told"
