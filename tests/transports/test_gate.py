"""Handshakes in turns."""

import asyncio

import pytest

from service.transports.gate import ENTRIES_PER_TURN, Gate

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
