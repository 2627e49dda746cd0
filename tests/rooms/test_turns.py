"""Tenants' deliveries in turn, with ears for sockets."""

import asyncio

import pytest

from service.rooms.fanout import Delivery, Item, Ready, Subscriber
from service.rooms.turns import SENDS_PER_TURN, SHARED_SENDS_PER_TURN, DeliveryQueue, Fanout
from service.rooms.usage import Usage
from tests.rooms.surroundings import Ear

pytestmark = pytest.mark.anyio


def deliver(fanout: Fanout, queue: DeliveryQueue, ears: list[Ear]) -> None:
    """One message for them all."""
    subscribers: list[Subscriber] = [*ears]
    fanout.add(queue, Delivery([Item(Ready(b"{}"), None)], subscribers, [], 0), lambda _: None)


def told(ears: list[Ear]) -> int:
    return sum(bool(ear.frames) for ear in ears)


async def test_a_tenant_alone_has_the_whole_turn() -> None:
    fanout, queue, crowd = Fanout(), DeliveryQueue(Usage()), [Ear() for _ in range(3 * SENDS_PER_TURN)]
    deliver(fanout, queue, crowd)
    fanout.run()
    assert told(crowd) == SENDS_PER_TURN
    fanout.run()  # as a second read in the same turn of the loop
    assert told(crowd) == SENDS_PER_TURN
    await asyncio.sleep(0)
    assert told(crowd) == 2 * SENDS_PER_TURN


async def test_beside_a_fan_out_that_never_ends_another_tenants_message_leaves_in_the_next_turn() -> None:
    fanout, greedy, quiet = Fanout(), DeliveryQueue(Usage()), DeliveryQueue(Usage())
    crowd, alone = [Ear() for _ in range(10 * SENDS_PER_TURN)], [Ear()]
    deliver(fanout, greedy, crowd)
    fanout.run()
    deliver(fanout, quiet, alone)
    before = told(crowd)
    await asyncio.sleep(0)
    assert told(alone) == 1
    assert told(crowd) - before <= SHARED_SENDS_PER_TURN


async def test_turns_are_short_for_a_while_after_tenants_took_turns() -> None:
    fanout, greedy, quiet = Fanout(), DeliveryQueue(Usage()), DeliveryQueue(Usage())
    deliver(fanout, greedy, [Ear()])
    deliver(fanout, quiet, [Ear()])
    fanout.run()
    crowd = [Ear() for _ in range(10 * SENDS_PER_TURN)]
    deliver(fanout, greedy, crowd)
    fanout.run()
    assert told(crowd) == SHARED_SENDS_PER_TURN
