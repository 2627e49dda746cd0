"""A marathon keeps each round, goes on where it stopped, and tells what was broken; tried with rows that do nothing."""

import shutil
from argparse import Namespace
from pathlib import Path

import pytest

from tests.faults import results
from tests.faults.__main__ import marathon
from tests.faults.results import append_round, forget_rounds, read_rounds, table
from tests.faults.rounds import run_round
from tests.faults.run import Outcome, Row, Run
from tests.support.checker import Broken


@pytest.fixture(autouse=True)
def kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path / ".faults" / "results.jsonl")


def row_of(name: str) -> Row:
    async def run(run: Run) -> Outcome:
        if name == "falls":
            raise RuntimeError("over")
        broken = [Broken("A2", "lost", "one")] if name == "breaks" else []
        return Outcome(times=run.times, broken=broken, recovery_seconds=[0.5, run.chance.random()], acknowledged=1_000)

    return Row(name=name, fault="none", done_when="always", full_times=10, round_times=4, short_times=1, run=run)


def asked(**options: object) -> Namespace:
    return Namespace(**({"times": None, "rounds": None, "seed": 7, "seconds": None, "short": False} | options))


def test_rounds_are_run_until_the_row_was_tried_as_often_as_it_is_to_be() -> None:
    marathon(row_of("holds"), asked())
    assert [(each.seed, each.outcome.times) for each in read_rounds()] == [(7, 4), (8, 4), (9, 2)]


def test_it_goes_on_behind_the_rounds_that_are_kept() -> None:
    marathon(row_of("holds"), asked(rounds=1))
    marathon(row_of("other"), asked(rounds=1))
    marathon(row_of("holds"), asked(seed=20))
    assert [each.seed for each in read_rounds() if each.row == "holds"] == [7, 20, 21]
    forget_rounds({"holds"})
    assert {each.row for each in read_rounds()} == {"other"}


def test_a_round_is_the_same_again_by_its_seed() -> None:
    first, again, other = (run_round(row_of("holds"), seed, 1).outcome.recovery_seconds for seed in (3, 3, 4))
    assert first == again != other


def test_what_was_broken_is_counted_and_its_seed_named() -> None:
    for name in ("holds", "breaks", "falls"):
        ended = run_round(row_of(name), 5, 2)
        append_round(ended)
        for broken in ended.outcome.broken:
            if broken.text.startswith("the logs are in "):
                shutil.rmtree(broken.text.removeprefix("the logs are in "))
    holds, breaks, falls = table([row_of(name) for name in ("holds", "breaks", "falls")], read_rounds()).splitlines()[
        2:
    ]
    assert holds.split(" | ")[1:] == [
        *("none", "2 of 10", "1,000", "0", "0", "0", "0", "0", "0", "0.0 s", "0.62 s", "5 |"),
    ]
    assert breaks.split(" | ")[5:10] == ["1", "0", "0", "0", "1"]
    assert breaks.endswith("5 (broken) |")
    assert falls.split(" | ")[9] == "2"
