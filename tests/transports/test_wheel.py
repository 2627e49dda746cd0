import asyncio
import time

import pytest

from service.transports.wheel import Wheel

pytestmark = pytest.mark.anyio


async def test_alarms_ring_in_time_and_never_early() -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop, tick_seconds=0.01)
    early: list[float] = []
    rung = asyncio.Event()
    for delay_seconds in (0.0, 0.004, 0.03, 0.051):
        deadline = loop.time() + delay_seconds
        wheel.at(deadline, lambda deadline=deadline: early.append(deadline - loop.time()))  # type: ignore[misc]
    wheel.at(loop.time() + 0.06, rung.set)
    await asyncio.wait_for(rung.wait(), 5)
    assert len(early) == 4
    assert max(early) <= 0


async def test_a_cancelled_alarm_does_not_ring_and_may_be_cancelled_again() -> None:
    wheel = Wheel(asyncio.get_running_loop(), tick_seconds=0.01)
    rung = asyncio.Event()
    calls: list[str] = []
    cancelled = wheel.after(0.01, lambda: calls.append("cancelled"))
    wheel.after(0.03, rung.set)
    cancelled.cancel()
    cancelled.cancel()
    await asyncio.wait_for(rung.wait(), 5)
    assert calls == []


async def test_one_alarm_may_cancel_another_of_the_same_second() -> None:
    wheel = Wheel(asyncio.get_running_loop(), tick_seconds=0.05)
    rung = asyncio.Event()
    calls: list[int] = []

    def ring(number: int) -> None:
        calls.append(number)
        alarms[1 - number].cancel()

    alarms = [wheel.at(0, lambda number=number: ring(number)) for number in range(2)]  # type: ignore[misc]
    wheel.after(0.1, rung.set)
    await asyncio.wait_for(rung.wait(), 5)
    assert len(calls) == 1


async def test_a_failing_alarm_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    wheel = Wheel(asyncio.get_running_loop(), tick_seconds=0.01)
    rung = asyncio.Event()
    wheel.after(0.01, lambda: [][0])
    wheel.after(0.02, rung.set)
    await asyncio.wait_for(rung.wait(), 5)
    assert "IndexError" in caplog.text


async def test_an_alarm_can_tell_that_the_loop_stood_still() -> None:
    wheel = Wheel(asyncio.get_running_loop(), tick_seconds=0.01)
    late: list[bool] = []
    rung = asyncio.Event()
    wheel.after(0.01, lambda: late.append(wheel.is_late))
    time.sleep(0.1)  # noqa: ASYNC251  # what is_late is about
    await asyncio.sleep(0)
    wheel.after(0.02, lambda: late.append(wheel.is_late))
    wheel.after(0.04, rung.set)
    await asyncio.wait_for(rung.wait(), 5)
    assert late == [True, False]


async def test_spread_delays_fill_the_interval_evenly() -> None:
    wheel = Wheel(asyncio.get_running_loop())
    delays = [wheel.spread(25) for _ in range(1_000)]
    for second in range(25):
        assert 35 <= sum(second <= delay < second + 1 for delay in delays) <= 45
