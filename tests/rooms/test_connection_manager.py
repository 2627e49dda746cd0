import asyncio

import pytest

from service.brokers.broker import History
from service.protocol.errors import Forbidden, Unavailable
from service.protocol.identifiers import Position
from tests.rooms.simulated_broker import UNAVAILABLE, SimulatedNode, ear, turns
from tests.rooms.surroundings import EPOCH, message

pytestmark = pytest.mark.anyio

SINCE = Position(EPOCH, 1)


@pytest.fixture
def node() -> SimulatedNode:
    node = SimulatedNode()
    node.broker.head = Position(EPOCH, 5)
    return node


async def test_a_join_whose_history_cannot_be_read_is_no_join(node: SimulatedNode) -> None:
    alice = node.connect("alice")
    node.broker.refuses["read_history"] = UNAVAILABLE
    with pytest.raises(Unavailable):
        await node.join(alice, since=SINCE)
    await turns()
    assert alice.rooms == {}
    assert node.broker.members == {"chat": set()}
    assert node.broker.claims == set()


async def test_a_join_that_is_overtaken_by_the_loss_of_its_right_is_answered(node: SimulatedNode) -> None:
    alice = node.connect("alice")
    held = node.broker.hold("read_history")
    joining = asyncio.create_task(node.join(alice, since=SINCE))
    await turns()
    node.tenant_manager.expel(alice, "chat")
    held.set()
    with pytest.raises(Forbidden):
        await joining


async def test_a_socket_that_closes_at_any_step_of_a_join_leaves_nothing(node: SimulatedNode) -> None:
    for step in ("claim_room", "subscribe", "join", "read_history"):
        alice = node.connect("alice")
        held = node.broker.hold(step)
        joining = asyncio.create_task(node.join(alice, step, since=SINCE))
        await turns()
        node.tenant_manager.disconnect(alice)
        held.set()
        del node.broker.holds[step]
        await asyncio.wait([joining])
        await turns()
        assert node.broker.claims == set()
        assert not any(node.broker.members.values())
        assert node.tenant_manager.get_room_connection_count(step) == 0


async def test_what_came_around_before_the_answer_to_a_join_follows_it_at_once(node: SimulatedNode) -> None:
    alice = node.connect("alice")
    held = node.broker.hold("join")
    joining = asyncio.create_task(node.join(alice))
    await turns()
    node.broker.receivers["chat"].receive_message(message(6))
    node.turn_ended()
    held.set()
    await joining
    await turns()
    assert ear(alice).offsets == [6]


async def test_what_an_interruption_took_before_the_answer_to_a_join_is_read(node: SimulatedNode) -> None:
    alice = node.connect("alice")
    held = node.broker.hold("join")
    joining = asyncio.create_task(node.join(alice))
    await turns()
    node.broker.receivers["chat"].receive_interruption()
    node.broker.history = History(Position(EPOCH, 6), 1, 0, [message(6)], False)
    held.set()
    await joining
    await turns()
    assert ear(alice).offsets == [6]


async def test_an_epoch_that_ended_before_the_first_join_does_not_come_back(node: SimulatedNode) -> None:
    alice = node.connect("alice")
    held = node.broker.hold("subscribe")
    joining = asyncio.create_task(node.join(alice))
    await turns()
    room = node.tenant_manager.rooms.by_name["chat"]
    room.receive_message(message(5))
    room.receive_epoch(Position("e2", 0))
    node.turn_ended()
    node.broker.head = Position("e2", 0)
    node.broker.history = History(Position("e2", 0), 1, 0, (), False)
    held.set()
    [joined] = await joining
    assert joined.position == "e2:0"
    await turns()
    room.receive_message(message(1, "e2"))
    node.turn_ended()
    await turns()
    assert [event["type"] for event in ear(alice).events] == ["message"]
    assert room.epoch == "e2"


async def test_who_is_put_out_while_joining_again_is_out(node: SimulatedNode) -> None:
    alice = node.connect("alice")
    await node.join(alice)
    joining = asyncio.create_task(node.join(alice))
    held = node.broker.hold("join")
    await turns()
    node.tenant_manager.put_out("alice", "chat")
    held.set()
    with pytest.raises(Forbidden):
        await joining
    assert alice.rooms == {}
    assert node.broker.members == {"chat": set()}


async def test_a_new_lease_enters_nobody_whose_leave_is_under_way(
    node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = node.connect("alice")
    await node.join(alice)
    held = asyncio.Event()

    async def leave(*_: object) -> None:
        await held.wait()
        raise UNAVAILABLE

    monkeypatch.setattr(node.broker, "leave", leave)
    leaving = asyncio.create_task(node.tenant_manager.leave_room(alice, "chat"))
    await turns()
    assert [entry.rooms for _, entry in node.local_connections()] == [()]
    held.set()
    with pytest.raises(Unavailable):
        await leaving
    assert [entry.rooms for _, entry in node.local_connections()] == [("chat",)]


@pytest.mark.parametrize("end", ["disconnect", "expel"])
async def test_a_member_is_taken_out_before_its_room_is_released(
    node: SimulatedNode, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    alice = node.connect("alice")
    await node.join(alice)
    members_at_release: list[set[str]] = []

    async def release(*_: object) -> None:
        """What the last member's lease is found by."""

    def release_room(*_: object) -> object:
        members_at_release.append(set(node.broker.members["chat"]))
        return release()

    monkeypatch.setattr(node.broker, "release_room", release_room)
    if end == "disconnect":
        node.tenant_manager.disconnect(alice)
    else:
        node.tenant_manager.expel(alice, "chat")
    await turns()
    assert members_at_release == [set()]
