from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import runner
from benchmarks.failures import BenchmarkError
from benchmarks.generator import arguments, check_whole
from benchmarks.workload import Load, Rival, Server, Side, Words, shortened
from benchmarks.workloads.every import EVERY, SHORT, SHORT_NAMES
from tests.benchmarks.sides import OURS, PEER, run, workload


class Runs:
    """What each side's next runs print."""

    def __init__(self, ours: list[float], theirs: list[float]) -> None:
        self._left: dict[str, Iterator[float]] = {"roomcast": iter(ours), "peer": iter(theirs)}
        self.order: list[str] = []

    def measure(self, side: Side, _load: Load, _redis_beside: str) -> dict[str, Any]:
        self.order.append(side.name)
        return run(next(self._left[side.name]))


def test_ours_and_the_rival_run_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs([4.0] * 3, [8.0] * 3)
    monkeypatch.setattr(runner, "measure", runs.measure)
    some = workload()
    found = runner.compare(some, some.rivals[0], 3, "server")
    assert runs.order == ["roomcast", "peer"] * 3
    assert (found.ratio, found.attempts) == (0.5, 1)


def test_a_run_whose_spread_is_too_wide_is_said_and_run_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "measure", Runs([4.0, 8.0, 4.0, 4.0], [8.0] * 4).measure)
    some = workload()
    found = runner.compare(some, some.rivals[0], 2, "server")
    assert (found.ratio, found.attempts, found.is_believable) == (0.5, 2, True)
    assert "too wide: run again" in capsys.readouterr().out


def test_it_is_given_up_after_three_times_and_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "measure", Runs([4.0, 8.0] * 3, [8.0] * 6).measure)
    some = workload()
    found = runner.compare(some, some.rivals[0], 2, "server")
    assert (found.attempts, found.reached) == (3, None)
    assert "given up: no figure of it counts" in capsys.readouterr().out


def test_a_warm_up_has_rooms_of_its_own() -> None:
    words = Words("/sub?id=r{room}", ('{"room":"r{room}"}',), "r{room} {payload}", headers=("X: r",))
    warm = runner.warm_up_words(words)
    assert (warm.path, warm.subscribe, warm.publish) == (
        "/sub?id=w{room}",
        ('{"room":"w{room}"}',),
        "w{room} {payload}",
    )
    assert warm.headers == ("X: r",)


def test_the_generator_gets_what_a_load_asks_for_and_nothing_else() -> None:
    server = Server(80, 1, Words("/ws", ("a",), "b", ready="ok", again=("c",)))
    options = arguments(Load(5, messages=7, rate=2.0), server)
    assert options[options.index("--rate") + 1] == "2.0"
    assert "--again" not in options
    assert "--publish" not in arguments(Load(5), server)
    assert arguments(Load(5, messages=7, comes_back=True), server)[-2:] == ["--again", "c"]


def test_lost_deliveries_and_closed_sockets_are_no_result() -> None:
    with pytest.raises(BenchmarkError, match="closed 2 sockets"):
        check_whole(Load(5), {"closed": 2})
    with pytest.raises(BenchmarkError, match="3 deliveries never came"):
        check_whole(Load(5), {"closed": 0, "missing": 3, "deliveries": {"seconds": 1.0}})
    check_whole(Load(5), {"closed": 0, "missing": 3, "deliveries": {"seconds": 25.0}})  # slow, and measured so far


def test_names_of_workloads_and_of_a_workloads_rivals_are_unique() -> None:
    names = [each.name for each in EVERY]
    assert len(set(names)) == len(names)
    for each in EVERY:
        pairs = [(rival.side.name, rival.load) for rival in each.rivals]
        assert len(set(pairs)) == len(pairs)
        assert pairs


def test_the_short_set_has_one_rival_each_with_a_goal() -> None:
    assert [each.name for each in SHORT] == list(SHORT_NAMES)
    for each in SHORT:
        assert [rival.goal is not None for rival in each.rivals] == [True]


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.name)
def test_what_is_published_goes_out_evenly_to_all_rooms_also_shortened(each: Any) -> None:
    for load in (each.load, shortened(each.load)):
        if load.messages and not load.request:
            assert load.deliveries * load.rooms == load.sockets * load.joins
            assert load.messages % load.rooms == 0 or not load.comes_back


def test_a_rival_may_need_other_messages_or_another_load() -> None:
    some = workload(load=Load(10, messages=100))
    assert some.loads(Rival(PEER, messages=5))[1].messages == 5
    assert some.loads(Rival(OURS, load=Load(3)))[1] == Load(3)
