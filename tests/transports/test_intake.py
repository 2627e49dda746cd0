"""Reading in turns, with sockets that only count."""

import asyncio

import pytest

from service.transports.intake import COST_OF_A_TURN, COST_OF_ALL, FRAMES_PER_SLICE, Intake, Turns

pytestmark = pytest.mark.anyio


class Waiting:
    """A socket with so many frames unread."""

    def __init__(self, intake: Intake, frames: int, log: list[str], name: str) -> None:
        self.unread = frames
        self.intake = intake
        self._log = log
        self._name = name
        intake.wait(self)

    def read_slice(self) -> None:
        frames = min(FRAMES_PER_SLICE, self.unread)
        self.unread -= frames
        self.intake.left -= frames
        self._log.append(self._name)
        if self.unread:
            self.intake.wait(self)

    def abort(self) -> None:
        self._log.append(f"{self._name} aborted")


async def test_a_tenants_sockets_are_read_in_turn_a_slice_each() -> None:
    log: list[str] = []
    intake = Intake()
    sockets = [Waiting(intake, 2 * FRAMES_PER_SLICE, log, name) for name in "abc"]
    while any(socket.unread for socket in sockets):
        await asyncio.sleep(0)
    assert log == [*"abcabc"]


async def test_a_tenant_waits_for_one_turn_of_another_that_floods() -> None:
    log: list[str] = []
    turns = Turns()
    flooding, modest = Intake(turns), Intake(turns)
    for number in range(50):
        Waiting(flooding, 1_000, log, f"f{number}")
    await asyncio.sleep(0)
    log.clear()
    Waiting(modest, 1, log, "modest")
    while "modest" not in log:
        await asyncio.sleep(0)
    assert len(log) <= 1 + COST_OF_A_TURN // FRAMES_PER_SLICE


async def test_however_many_tenants_flood_a_turn_of_the_loop_is_bounded() -> None:
    log: list[str] = []
    turns = Turns()
    sockets = [Waiting(Intake(turns), 10 * FRAMES_PER_SLICE, log, str(number)) for number in range(40)]
    while any(socket.unread for socket in sockets):
        before = len(log)
        await asyncio.sleep(0)
        assert (len(log) - before) * FRAMES_PER_SLICE <= COST_OF_ALL + COST_OF_A_TURN
    assert sorted(log) == sorted(10 * [str(number) for number in range(40)])


async def test_a_read_that_cost_more_than_a_turn_is_paid_in_the_next_ones() -> None:
    log: list[str] = []
    intake = Intake()
    intake.left -= 3 * COST_OF_A_TURN
    Waiting(intake, 1, log, "late")
    turns = 0
    while not log:
        await asyncio.sleep(0)
        turns += 1
    assert turns == 3
    assert intake.left == COST_OF_A_TURN - 1


async def test_a_tenant_that_spent_its_turn_and_has_nothing_waiting_has_a_whole_one_next() -> None:
    intake = Intake()
    intake.left = 0
    intake.end_turn()
    intake.end_turn()
    await asyncio.sleep(0)
    assert intake.left == COST_OF_A_TURN


async def test_a_mistake_in_one_socket_ends_it_and_stops_none_of_those_behind_it() -> None:
    log: list[str] = []

    class Broken(Waiting):
        def read_slice(self) -> None:
            raise RuntimeError("a bug")

    turns = Turns()
    intake = Intake(turns)
    Broken(intake, 1, log, "broken")
    Waiting(intake, 1, log, "behind")
    Waiting(Intake(turns), 1, log, "another tenant's")
    await asyncio.sleep(0)
    assert sorted(log) == ["another tenant's", "behind", "broken aborted"]
