import asyncio

import pytest

from service.protocol.errors import Unavailable
from tests.rooms.simulated_broker import UNAVAILABLE, SimulatedNode, turns

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
    node.broker.hold("subscribe")
    joining = asyncio.create_task(node.join(node.connect("alice")))
    await turns()
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
