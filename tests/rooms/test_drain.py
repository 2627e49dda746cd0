"""The pace of a drain, in virtual time: no loop, no socket."""

import math
from collections.abc import Iterable
from itertools import takewhile

import pytest

from service.protocol.errors import CloseCode
from service.rooms.answers import Answer, Lane
from service.rooms.connection import Connection, new_entry
from service.rooms.drain import ANSWER_SECONDS, WINDOW_SECONDS, Drain
from tests.rooms.surroundings import Ear

STEP_SECONDS = 0.01


class Crowd:
    """Connections of a node, which are gone when they are closed, and a clock."""

    def __init__(self, count: int) -> None:
        self.now = 1_000.0
        self.ears = {self._connect(): Ear() for _ in range(count)}
        for connection, ear in self.ears.items():
            connection.subscriber = ear
        self.closed_at: list[float] = []

    def _connect(self) -> Connection:
        return Connection(Ear(), new_entry("alice", "n1", "192.0.2.1"), max_held_bytes=1)

    def here(self) -> Iterable[Connection]:
        return [connection for connection, ear in self.ears.items() if ear.closed is None]

    def drain(self, seconds: float) -> Drain:
        return Drain(self.here, seconds, CloseCode.GOING_AWAY, self.now)

    def step(self, drain: Drain) -> bool:
        """A step, and 10 ms go by."""
        before = len(list(self.here()))
        done = drain.step(self.now)
        self.closed_at += [self.now] * (before - len(list(self.here())))
        self.now += STEP_SECONDS
        return done

    def runs(self, drain: Drain, seconds: float = 60) -> float:
        """How long it took."""
        began = self.now
        while not self.step(drain):
            assert self.now < began + seconds
        return self.now - STEP_SECONDS - began

    def most_within(self, seconds: float) -> int:
        """The most closes in any span of time."""
        return max(
            len(list(takewhile(lambda at: at < start + seconds - 1e-6, self.closed_at[number:])))  # noqa: B023
            for number, start in enumerate(self.closed_at)
        )


@pytest.mark.parametrize("count", [20, 60, 99, 500, 3_000])
@pytest.mark.parametrize("seconds", [5, 20])
def test_at_most_two_percent_of_the_closes_or_one_come_within_100_ms(count: int, seconds: float) -> None:
    crowd = Crowd(count)
    took = crowd.runs(crowd.drain(seconds))
    assert len(crowd.closed_at) == count
    assert crowd.most_within(WINDOW_SECONDS) <= math.ceil(count / 50)
    assert took <= seconds * 1.35


def test_many_sockets_take_the_whole_time() -> None:
    crowd = Crowd(1_000)
    assert crowd.runs(crowd.drain(20)) == pytest.approx(20, abs=1)


def test_few_sockets_take_a_moment_and_none_take_no_time() -> None:
    for count, seconds in ((0, 0), (1, 0), (5, 0.5)):
        crowd = Crowd(count)
        assert crowd.runs(crowd.drain(20)) <= seconds
        assert len(crowd.closed_at) == count


def test_a_time_too_short_for_the_share_is_kept_all_the_same() -> None:
    crowd = Crowd(200)
    assert crowd.runs(crowd.drain(0.5)) <= 0.75


def test_a_loop_that_stood_still_does_not_make_up_for_it_at_once() -> None:
    crowd = Crowd(500)
    drain = crowd.drain(10)
    crowd.step(drain)
    crowd.now += 3
    crowd.runs(drain)
    assert crowd.most_within(WINDOW_SECONDS) <= 10


def test_a_socket_is_closed_when_its_commands_are_answered_and_takes_no_more() -> None:
    crowd = Crowd(1)
    (busy,) = crowd.here()
    answers: list[Answer] = []
    lane: Lane = busy.lane("chat")
    lane.add(answers.append)
    drain = crowd.drain(20)
    for _ in range(10):
        assert not crowd.step(drain)
    assert busy.is_leaving
    assert not crowd.closed_at
    answers[0].give(b"")
    crowd.step(drain)
    assert crowd.closed_at


def test_an_answer_that_never_comes_is_waited_for_as_long_as_redis_may_take() -> None:
    crowd = Crowd(3)
    for busy in crowd.here():
        busy.lane("chat").add(lambda answer: None)
    assert ANSWER_SECONDS <= crowd.runs(crowd.drain(20)) <= ANSWER_SECONDS + 1


def test_sockets_that_come_late_are_closed_too() -> None:
    crowd = Crowd(2)
    drain = crowd.drain(20)
    crowd.step(drain)
    late, ear = crowd._connect(), Ear()
    late.subscriber = ear
    crowd.ears[late] = ear
    crowd.runs(drain)
    assert not list(crowd.here())


def test_a_drain_in_a_hurry_closes_all_that_is_left_at_once() -> None:
    crowd = Crowd(100)
    drain = crowd.drain(20)
    crowd.step(drain)
    drain.hurry()
    assert not list(crowd.here())
    assert crowd.step(drain)
    assert {ear.closed for ear in crowd.ears.values()} == {(CloseCode.GOING_AWAY, "the node is going away")}
