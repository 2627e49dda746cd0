import asyncio

import pytest

from tests.brokers.conftest import Node, Room, Server, channels_of
from tests.brokers.node_listener import until

pytestmark = pytest.mark.anyio


async def test_a_subscriber_that_was_cut_off_alone_is_connected_again(a: Node, server: Server) -> None:
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    lease = a._link.lease
    server.client.client_kill_filter(_type="pubsub")
    await a.listener.until_heard("back")
    assert room.interruptions == 1
    assert a._link.lease == lease
    await a.publish(address)
    await room.until_messages(1)


async def test_a_room_left_and_entered_in_one_turn_is_heard(a: Node, b: Node) -> None:
    address, first, second = a.address("T1", "chat"), Room(), Room()
    await a.subscribe(address, first)
    a.unsubscribe(address)
    again = a.subscribe(address, second)
    a.unsubscribe(address)
    a.subscribe(address, second)
    await again
    await b.publish(address)
    await second.until_messages(1)
    assert len(second.messages) == 1
    assert not first.messages
    assert second.interruptions == 0
    a.unsubscribe(address)
    await b.publish(address)
    await a.announce_tenant_change("T1")
    await a.listener.until_heard("change", "T1")
    assert len(second.messages) == 1


async def test_a_subscription_of_somebody_else_on_our_connection_counts_as_an_interruption(a: Node) -> None:
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    channels_of(a).receive_answer([b"subscribe", address.keys.channel, 3])
    assert room.interruptions == 1


UNFIT = '1 m ["epoch",1,true,1,[["c",0,false,[]]],[5]]\n"data":1'  # a body of another length than it says


async def test_what_a_newer_node_sends_is_ignored(a: Node, server: Server) -> None:
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    for payload in ("2 m x", "1 z x", "1 m garbled", "", "\n", "1 m [1]\n", "1 m", UNFIT):
        server.client.publish(address.keys.channel, payload)
        server.client.publish("rc1:all", payload)
    await a.publish(address)
    await room.until_messages(1)
    await a.announce_tenant_change("T1")
    await a.listener.until_heard("change", "T1")
    assert len(room.messages) == 1


async def test_a_failing_receiver_does_not_disturb_the_others(a: Node) -> None:
    class Failing(Room):
        def receive_message(self, envelope: object) -> None:
            raise RuntimeError("a bug")

    first, second, failing, room = a.address("T1", "a"), a.address("T1", "b"), Failing(), Room()
    await asyncio.gather(a.subscribe(first, failing), a.subscribe(second, room))
    await asyncio.gather(a.publishing(first), a.publishing(second), a.publishing(first), a.publishing(second))
    await room.until_messages(2)
    assert a.is_ready


async def test_the_listener_survives_a_bug_in_one_of_its_parts(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = asyncio.Event()
    failures: list[int] = []

    async def enforce() -> None:
        failures.append(1)
        calls.set()
        raise RuntimeError("a bug")

    monkeypatch.setattr(a._budget, "enforce", enforce)
    await until(lambda: len(failures) == 2, calls)
    assert a.is_ready
