"""Handshakes in turns."""

import asyncio

import pytest

from service.protocol.errors import Unavailable
from service.transports.gate import ENTRIES_PER_TURN, MAX_WAIT_SECONDS, Gate

pytestmark = pytest.mark.anyio


async def test_so_many_pass_in_each_turn_in_the_order_in_which_they_came() -> None:
    gate, passed = Gate(), []

    async def come(number: int) -> None:
        await gate.enter()
        passed.append(number)

    comers = [asyncio.create_task(come(number)) for number in range(5 * ENTRIES_PER_TURN)]
    await asyncio.sleep(0)
    comers[-1].cancel()  # it waits, and takes nobody's place
    while len(passed) < len(comers) - 1:
        before = len(passed)
        await asyncio.sleep(0)
        assert len(passed) - before <= 2 * ENTRIES_PER_TURN  # a turn's end and the next one's beginning
    assert passed == list(range(len(comers) - 1))


async def test_who_would_wait_too_long_is_told_to_come_back_each_at_a_time_of_its_own() -> None:
    gate = Gate(clock=lambda: 100.0)
    gate.rate_per_second = 10.0
    most = ENTRIES_PER_TURN + int(10 * MAX_WAIT_SECONDS)
    comers = [asyncio.create_task(gate.enter()) for _ in range(most + 3)]
    await asyncio.sleep(0)
    refused = [comer.exception() for comer in comers if comer.done() and comer.exception()]
    assert [error.retry_after_ms for error in refused if isinstance(error, Unavailable)] == [100, 200, 300]
    await asyncio.gather(*comers[:most])


async def test_the_rate_is_what_passed_while_others_waited() -> None:
    now = 100.0
    gate = Gate(clock=lambda: now)
    comers = [asyncio.create_task(gate.enter()) for _ in range(100)]
    while not all(comer.done() for comer in comers):
        await asyncio.sleep(0)
        now += 0.02  # a loop of 50 turns a second
    assert gate.rate_per_second == pytest.approx(50 * ENTRIES_PER_TURN, rel=0.3)
    await gate.enter()
    now += 100
    await gate.enter()  # no crowd, and nothing is measured
    assert gate.rate_per_second == pytest.approx(50 * ENTRIES_PER_TURN, rel=0.3)


async def test_those_who_are_turned_away_do_not_lower_the_rate() -> None:
    now = 100.0
    gate = Gate(clock=lambda: now)
    waiting = [asyncio.create_task(gate.enter()) for _ in range(int(gate.rate_per_second * MAX_WAIT_SECONDS))]
    for _ in range(200):
        comers = [asyncio.create_task(gate.enter()) for _ in range(100)]
        await asyncio.sleep(0)
        refused = sum(comer.done() and comer.exception() is not None for comer in comers)
        waiting += [comer for comer in comers if not comer.done()]
        now += 0.001 * ENTRIES_PER_TURN + 0.0005 * refused  # what they cost
    assert 900 < gate.rate_per_second < 1_100
    for comer in waiting:
        comer.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
