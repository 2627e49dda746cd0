"""Lost sockets in turns."""

import asyncio

import pytest

from service.transports.departures import DEPARTURES_PER_TURN, Departures

pytestmark = pytest.mark.anyio


class Handler:
    """It notes what it is told, and may fail."""

    def __init__(self, told: list[int | None], *, fails: bool = False) -> None:
        self.told = told
        self.fails = fails

    def connection_lost(self, code: int | None) -> None:
        self.told.append(code)
        if self.fails:
            raise ValueError


async def test_few_are_told_at_once_and_a_crowd_in_turns_in_its_order() -> None:
    told: list[int | None] = []
    departures = Departures(asyncio.get_running_loop())
    crowd = list(range(4 * DEPARTURES_PER_TURN))
    for code in crowd:
        departures.tell(Handler(told, fails=code == DEPARTURES_PER_TURN + 1), code)
    assert told == crowd[:DEPARTURES_PER_TURN]
    while told != crowd:
        before = len(told)
        await asyncio.sleep(0)
        assert len(told) - before <= DEPARTURES_PER_TURN
    await asyncio.sleep(0)
    departures.tell(Handler(told), None)
    assert told[-1] is None
