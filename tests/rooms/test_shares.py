"""A node's shares of its tenants' rates, on a broker that says what a test says."""

import asyncio

import pytest

from service.protocol.errors import Internal, RateLimited, RoomcastError
from service.rooms import shares
from service.rooms.budgets import WHOLE, Rates
from tests.rooms.simulated_broker import UNAVAILABLE, SimulatedNode, tenant

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

EVEN = Rates(0.5, 0.5, 0.5, 0.5)


def publishes(node: SimulatedNode, attempts: int) -> int:
    """How many of so many are let through."""
    granted = 0
    for _ in range(attempts):
        try:
            node.tenant_manager.budgets.take_publish(1, "chat")
        except RateLimited:
            continue
        granted += 1
    return granted


async def test_a_node_alone_has_it_all_and_asks_nobody() -> None:
    node = SimulatedNode()
    assert publishes(node, 2_000) == pytest.approx(1_000, rel=0.05)
    await node.shares.divide()
    assert node.shares.of("t1") == WHOLE
    assert node.broker.asked == []


async def test_nodes_have_even_shares_until_one_asks_more_of_a_tenant() -> None:
    node = SimulatedNode()
    node.broker.nodes = 2
    await node.shares.divide()
    assert node.shares.of("t1") == EVEN
    assert (node.broker.greedy, node.broker.wanted) == (set(), {})
    publishes(node, 2_000)
    node.broker.shares = {"t1": (0.5, 0.9, 0.5, 0.5)}
    await node.shares.divide()
    assert node.broker.greedy == {"t1"}
    assert node.broker.wanted["t1"] == (0.05, 1.0, 0.05, 0.05)
    assert node.shares.of("t1") == (0.5, 0.9, 0.5, 0.5)


async def test_a_manager_that_is_made_later_begins_with_the_shares_in_force() -> None:
    node = SimulatedNode()
    node.broker.nodes = 4
    node.broker.shares = {"t1": (0.25, 0.01, 0.25, 0.25)}
    await node.shares.divide()
    assert publishes(node, 100) == pytest.approx(10, abs=1)


async def test_new_limits_are_divided_as_the_old_ones() -> None:
    node = SimulatedNode()
    node.broker.nodes = 2
    await node.shares.divide()
    node.tenant_manager.update(tenant(2))
    assert publishes(node, 2_000) == pytest.approx(500, rel=0.05)


async def test_with_redis_away_the_last_shares_stay() -> None:
    node = SimulatedNode()
    node.broker.nodes = 2
    node.broker.shares = {"t1": (0.5, 0.9, 0.5, 0.5)}
    await node.shares.divide()
    node.broker.refuses["divide_rates"] = UNAVAILABLE
    with pytest.raises(type(UNAVAILABLE)):
        await node.shares.divide()
    assert node.shares.of("t1") == (0.5, 0.9, 0.5, 0.5)
    assert publishes(node, 2_000) == pytest.approx(900, rel=0.05)


@pytest.mark.parametrize("refusal", [UNAVAILABLE, Internal("incident")])
async def test_what_redis_refuses_is_asked_for_again(refusal: RoomcastError, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "DIVIDE_SECONDS", 0.001)
    node = SimulatedNode()
    node.broker.nodes = 2
    node.broker.refuses["divide_rates"] = refusal
    keeping = asyncio.create_task(node.shares.keep())
    while len(node.broker.asked) < 3 and not keeping.done():
        await asyncio.sleep(0)
    assert not keeping.done()
    keeping.cancel()


async def test_demand_that_ended_is_forgotten_by_halves() -> None:
    node = SimulatedNode()
    node.broker.nodes = 2
    publishes(node, 5_000)
    wanted = []
    for _ in range(6):
        await node.shares.divide()
        wanted.append(node.broker.wanted["t1"][1])
    assert wanted == [1.0, 0.5, 0.25, 0.125, 0.0625, 0.05]
    await node.shares.divide()
    assert node.broker.wanted == {}
