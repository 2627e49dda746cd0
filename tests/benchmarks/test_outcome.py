from benchmarks.outcome import Outcome
from benchmarks.report import table, verdict
from benchmarks.workload import Figure, Rival
from tests.benchmarks.sides import PEER, outcome, run, workload


def test_the_ratio_is_that_of_the_medians_so_one_disturbed_run_does_not_move_it() -> None:
    found = outcome([4.0, 4.0, 4.0, 4.0, 9.0], [10.0] * 5)
    assert (found.our_median, found.their_median, found.ratio) == (4.0, 10.0, 0.4)
    assert found.spread == (0.4, 0.9)


def test_a_spread_that_is_too_wide_is_refused_whatever_the_ratio_is() -> None:
    found = outcome([4.0, 4.0, 9.0], [10.0] * 3)
    assert not found.is_believable
    assert found.reached is None
    assert verdict(found) == "refused"


def test_a_goal_bounds_the_ratio_and_without_one_nothing_is_said() -> None:
    assert verdict(outcome([5.0], [10.0])) == "pass"
    assert verdict(outcome([5.1], [10.0])) == "miss"
    assert verdict(outcome([5.1], [10.0], goal=None)) == ""


def test_the_goal_of_memory_bounds_our_own_figure() -> None:
    some, rival = workload(Figure.MEMORY), Rival(PEER, 5.0)
    runs = [{"kb_per_socket": {"node": 5.1}}], [{"kb_per_socket": {"node": 29.0}}]
    assert verdict(Outcome(some, rival, *runs)) == "miss"


def test_redis_stands_apart_from_the_node() -> None:
    some = workload()
    found = Outcome(some, some.rivals[0], [run(4.0, redis=2.0)], [run(10.0)])
    assert found.median(found.ours, "redis") == 2.0
    assert found.median(found.theirs, "redis") is None
    assert "| 2 / - |" in table([found])
