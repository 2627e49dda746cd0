"""Sides and runs as the load generator would print them, without any server."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks.outcome import Outcome
from benchmarks.workload import Figure, Load, Rival, Server, Side, Workload


def never(_redis_port: int, _folder: Path) -> AbstractContextManager[Server]:
    raise AssertionError("nothing is started here")


OURS, PEER = Side("roomcast", "Roomcast", never), Side("peer", "the peer", never)


def run(node: float, count: int = 1000, redis: float | None = None) -> dict[str, Any]:
    """What the generator prints when a delivery took so many µs of the node."""
    cpu = {"node": node * count} | ({} if redis is None else {"redis": redis * count})
    return {"deliveries": {"count": count, "seconds": 1.0, "cpu_us": cpu, "p50_us": 1, "p99_us": 2, "p999_us": 3}}


def workload(figure: Figure = Figure.DELIVERY, load: Load | None = None, goal: float | None = 0.5) -> Workload:
    return Workload("some", "something", figure, load or Load(10), OURS, (Rival(PEER, goal),))


def outcome(ours: list[float], theirs: list[float], goal: float | None = 0.5) -> Outcome:
    some = workload(goal=goal)
    return Outcome(some, some.rivals[0], [run(value) for value in ours], [run(value) for value in theirs])
