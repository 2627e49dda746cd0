"""Of the counts of instructions: what is told of them, and that each path does what it is there for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.instructions.callgrind import Counts, read_counts
from benchmarks.instructions.counted import STEPS
from benchmarks.instructions.hot_paths import HEARERS, PATHS, deliver
from benchmarks.instructions.still_node import TakesAll
from benchmarks.instructions.verdict import Change, changes, meant_in, report


@pytest.fixture(autouse=True)
def no_loop_stays() -> Iterator[None]:
    import asyncio

    yield
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    asyncio.set_event_loop(None)
    if loop is not None:
        loop.close()


def compared(before: float | None, now: float | None, meant: bool = False) -> Change:
    return Change("join", before, now, is_meant=meant)


def test_five_per_cent_more_is_let_through_and_a_little_over_is_not() -> None:
    assert not compared(1000, 1050).fails
    assert compared(1000, 1051).fails
    assert not compared(1000, 10).fails


def test_a_path_that_is_new_passes_and_one_that_runs_no_more_fails() -> None:
    assert not compared(None, 1000).fails
    assert compared(1000, None).fails


def test_the_dearer_path_is_named_with_the_way_out() -> None:
    text = report(
        changes(Counts({"join": 1200.0, "fan-out": 900.0}, {}), Counts({"join": 1000.0, "fan-out": 1000.0}, {}), ())
    )
    assert "join costs 20.0% more" in text
    assert "Costs-more: join; <reason>" in text
    assert "fan-out costs" not in text


def test_a_commit_may_say_that_a_path_costs_more_and_why() -> None:
    meant = meant_in("Check the state\n\nCosts-more: join; the state is checked now\nCosts-more: fan-out\n")
    assert meant == {"join"}
    assert not compared(1000, 2000, meant=True).fails


def test_counts_are_the_longer_run_less_the_shorter_for_one_step(tmp_path: Path) -> None:
    for number, (which, total) in enumerate((("less", 700), ("more", 700 + 9 * STEPS))):
        text = f"version: 1\ndesc: Trigger: Client Request: publish, 16 a turn/{which}\nfn=(1) x\ntotals: {total} \n"
        (tmp_path / f"counts.{number + 1}").write_text(text)
    (tmp_path / "counts").write_text("desc: Trigger: Program termination\ntotals: 5\n")
    assert read_counts(tmp_path) == {"publish, 16 a turn": 9.0}


@pytest.mark.parametrize("name", PATHS)
def test_every_path_runs_twice_alike(name: str) -> None:
    step = PATHS[name]()
    step()
    step()


def test_a_delivery_reaches_each_of_its_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(TakesAll, "write", lambda _self, data: written.append(data))
    step = deliver()
    before = len(written)
    step()
    assert len(written) == before + HEARERS
    assert b'"offset":1,' in written[-1]
