import asyncio
import time
from contextlib import suppress
from typing import cast

import msgspec
import pytest

from service.brokers.broker import Origin
from service.protocol.errors import CloseCode, Unavailable
from service.rooms import local_rooms
from service.rooms import node as node_module
from service.rooms.node import Node
from service.rooms.turns import MAX_DELIVERIES, SENDS_PER_TURN
from service.tenants.snapshot import Change
from tests.rooms.simulated_broker import SimulatedNode, ear, tenant, turns
from tests.rooms.surroundings import message

pytestmark = pytest.mark.anyio


@pytest.fixture
def node() -> SimulatedNode:
    return SimulatedNode()


async def tick(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node's clockwork runs a few times."""
    monkeypatch.setattr(node_module, "TICK_SECONDS", 0)
    clockwork = asyncio.create_task(node.keep_rooms())
    await turns()
    clockwork.cancel()
    with suppress(asyncio.CancelledError):
        await clockwork


async def test_one_rooms_mistake_stops_no_other_room_and_closes_its_own_sockets(node: SimulatedNode) -> None:
    alice, bob = node.connect("alice"), node.connect("bob")
    await node.join(alice, "broken")
    await node.join(bob, "chat")
    broken = node.tenant_manager.rooms.by_name["broken"]
    broken.prefix = cast(bytes, 7)
    node.broker.receivers["broken"].receive_message(message(1))
    node.broker.receivers["chat"].receive_message(message(1))
    node.turn_ended()
    await turns()
    assert ear(bob).offsets == [1]
    closed = ear(alice).closed
    assert closed is not None
    assert closed[0] == CloseCode.INTERNAL


async def test_a_delivery_that_fails_closes_its_sockets_and_no_others(
    node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = node.connect("alice"), node.connect("bob")
    await node.join(alice, "broken")
    await node.join(bob, "chat")
    monkeypatch.setattr(ear(alice), "send", lambda frame: 1 / 0)
    node.broker.receivers["broken"].receive_message(message(1))
    node.broker.receivers["chat"].receive_message(message(1))
    node.turn_ended()
    await turns()
    assert ear(bob).offsets == [1]
    closed = ear(alice).closed
    assert closed is not None
    assert closed[0] == CloseCode.INTERNAL
    assert node.tenant_manager.rooms.by_name["broken"].deliveries == []


async def test_a_deleted_tenants_rooms_are_let_go(node: SimulatedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_rooms, "LINGER_SECONDS", 0)
    alice = node.connect("alice")
    await node.join(alice)
    manager = node.tenant_manager
    node.changes.found = Change("t1", "acme", None)
    node.receive_tenant_change("t1")
    await turns()
    manager.disconnect(alice)
    await tick(node, monkeypatch)
    assert node.broker.receivers == {}
    assert node.broker.claims == set()
    assert not manager.tenant.active


async def test_a_tenant_that_is_not_used_any_more_costs_nothing(
    node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_rooms, "LINGER_SECONDS", 0)
    idle = node.tenant_manager
    await tick(node, monkeypatch)
    assert node.tenant_manager is idle
    monkeypatch.setattr(node_module, "IDLE_SECONDS", 0)
    alice = node.connect("alice")
    await tick(node, monkeypatch)
    assert node.tenant_manager is idle
    idle.disconnect(alice)
    await tick(node, monkeypatch)
    assert node.tenant_manager is not idle


async def test_a_change_is_told_to_a_tenants_sockets_in_slices(
    node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def told_slowly(connection: object) -> None:
        told.append(getattr(connection, "id", ""))
        end = time.perf_counter() + node_module.SLICE_SECONDS
        while time.perf_counter() < end:
            pass

    connections = [node.connect(f"c{number}") for number in range(5)]
    monkeypatch.setattr(type(connections[0]), "tenant_changed", told_slowly)
    node.changes.found = Change("t1", "acme", tenant(2))
    node.receive_tenant_change("t1")
    await turns(2)
    assert 0 < len(told) < 5
    await turns()
    assert len(told) == 5


async def test_rooms_are_looked_at_in_slices(node: SimulatedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def look_slowly(_rooms: object) -> None:
        nonlocal looked
        looked += 1
        end = time.perf_counter() + node_module.SLICE_SECONDS
        while time.perf_counter() < end:
            pass

    monkeypatch.setattr(node_module, "TICK_SECONDS", 0)
    monkeypatch.setattr(local_rooms.LocalRooms, "tick", look_slowly)
    for number in range(5):
        node.manager(msgspec.structs.replace(tenant(), id=f"t{number}"))
    clockwork = asyncio.create_task(node.keep_rooms())
    while not looked:
        await turns(1)
    assert looked < 5
    await turns(4)
    assert looked >= 5
    clockwork.cancel()


async def test_a_change_that_sql_can_not_tell_now_is_left_to_the_next_look(
    node: SimulatedNode, caplog: pytest.LogCaptureFixture
) -> None:
    node.connect("alice")
    node.changes.found = Unavailable("SQL is out of reach")
    node.receive_tenant_change("t1")
    await turns()
    assert not caplog.records


async def test_a_tenant_that_changes_all_the_time_is_looked_at_now_and_then_and_at_last(
    node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0

    async def reload(tenant_id: str) -> Change | None:
        nonlocal looked
        looked += 1
        await asyncio.sleep(0)
        return node.changes.found  # type: ignore[return-value]

    monkeypatch.setattr(node_module, "RELOAD_PAUSE", 0)
    monkeypatch.setattr(node.changes, "reload", reload)
    alice = node.connect("alice")
    node.changes.found = Change("t1", "acme", tenant(2))
    for _ in range(100):
        node.receive_tenant_change("t1")
    await turns(1)
    node.changes.found = Change("t1", "acme", tenant(3, active=False))
    node.receive_tenant_change("t1")
    await turns(20)
    assert looked == 2
    assert not node.tenant_manager.tenant.active
    node.receive_tenant_change("t1")
    await turns(20)
    assert looked == 3
    assert alice.id in node.tenant_manager.connections


async def test_an_older_picture_of_a_tenant_never_replaces_a_newer_one(node: SimulatedNode) -> None:
    manager = node.tenant_manager
    for found, version in (
        (Change("t1", "acme", tenant(3)), 3),
        (Change("t1", "acme", tenant(2, active=False)), 3),
        (Change("t1", "acme", None), node_module.LAST_VERSION),
        (Change("t1", "acme", tenant(4)), node_module.LAST_VERSION),
    ):
        node.changes.found = found
        node.receive_tenant_change("t1")
        await turns()
        assert manager.tenant.version == version
    assert not manager.tenant.active


async def test_a_new_lease_is_told_of_connections_as_they_are_at_their_turn(node: SimulatedNode) -> None:
    alice, bob = node.connect("alice"), node.connect("bob")
    await node.join(bob, "old")
    told = iter(node.local_connections())
    assert next(told)[1].connection == "alice"
    await node.join(bob, "new")
    await node.tenant_manager.leave_room(bob, "old")
    carol = node.connect("carol")
    assert next(told)[1].rooms == ("new",)
    assert list(told) == []
    assert {alice.id, bob.id, carol.id} == {entry.connection for _, entry in node.local_connections()}
    told = iter(node.local_connections())
    node.tenant_manager.disconnect(bob)
    assert [entry.connection for _, entry in told] == ["alice", "carol"]


async def test_arrivals_wait_while_their_tenants_deliveries_have_no_room_and_signals_are_dropped() -> None:
    node = SimulatedNode()
    alice = node.connect("alice")
    await node.join(alice)
    room = node.tenant_manager.rooms.by_name["chat"]
    for _ in range(SENDS_PER_TURN + MAX_DELIVERIES + 100):
        room.receive_signal(Origin("bob"), b'"data":1')
    node.turn_ended()
    assert node.fanout.full
    waiting = len(room.deliveries)
    room.receive_message(message(1))
    room.receive_signal(Origin("bob"), b'"data":2')
    node.turn_ended()
    assert len(room.arrived) == 1
    assert len(room.deliveries) <= waiting
    room.receive_message(message(2))
    await turns()
    assert not node.fanout.full
    assert ear(alice).offsets == [1, 2]
    assert b'"data":2' not in b"".join(ear(alice).frames)
