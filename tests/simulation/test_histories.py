"""10,000 random histories; `make faults ARGUMENTS="--row simulation"` plays ten times as many others."""

import pytest

from tests.simulation.planted import MISTAKES
from tests.simulation.play import draw, find_failure, play, shorten, simulated

HISTORIES, CHUNK = 10_000, 500


@pytest.mark.parametrize("first", range(0, HISTORIES, CHUNK))
def test_every_recovery_is_exact_or_refused_and_nothing_is_lost_unsaid(first: int) -> None:
    failure = find_failure(range(first, first + CHUNK))
    assert failure is None, f"\n{failure}"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_found(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MISTAKES[mistake].plant(monkeypatch)
    assert find_failure(range(HISTORIES), shortened=False) is not None


def test_a_failure_is_replayed_by_its_seed_and_shortened_to_the_steps_that_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    MISTAKES["an excluded connection gets the message"].plant(monkeypatch)
    failure = find_failure(range(HISTORIES), shortened=False)
    assert failure is not None
    with simulated() as loop:
        assert play(loop, failure.seed, draw(failure.seed)) == failure.complaints
        shortest = shorten(loop, failure)
        assert play(loop, failure.seed, shortest.steps) == shortest.complaints
    assert {step.step.__name__ for step in shortest.steps} == {"join", "post"}
