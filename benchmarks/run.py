"""`make bench`, `make bench-full`: CPU and memory of Roomcast and others, in turn, each beside a Valkey of its own.

Exit code 0 when everything ran, whether or not a goal was reached; 1 when something is missing or broke.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.failures import BenchmarkError
from benchmarks.machine import allow_open_files
from benchmarks.ours import PROTOTYPE_SIDE
from benchmarks.outcome import Outcome
from benchmarks.published import write_page
from benchmarks.report import conditions, is_published, publish, table, write_short
from benchmarks.runner import ATTEMPTS, compare
from benchmarks.workload import Workload
from benchmarks.workloads.every import EVERY, SHORT

SPARE_FILES = 1000
SHORT_PAIRS, FULL_PAIRS = 3, 5


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--full", action="store_true", help="every workload and peer, into docs/benchmarks/; hours")
    parser.add_argument("--only", action="append", metavar="WORKLOAD", help="just this workload; may be repeated")
    parser.add_argument("--against", action="append", metavar="PEER", help="just this peer; may be repeated")
    parser.add_argument("--pairs", type=int, help=f"runs of each side (default {SHORT_PAIRS}, full {FULL_PAIRS})")
    parser.add_argument("--server", choices=("roomcast", "prototype"), default="roomcast", help="our side")
    parser.add_argument("--resume", action="store_true", help="with --full: go on, without what is published already")
    places = ("load", "server", "either")
    parser.add_argument("--redis-beside", choices=places, default="server", help="whose core Redis shares")
    parser.add_argument("--list", action="store_true", help="name the workloads and their peers, and end")
    parser.add_argument(
        "--short", action="store_true", help="one pair, few messages: shows that it works, not how fast"
    )
    given = parser.parse_args()
    if given.pairs is None:
        given.pairs = 1 if given.short else FULL_PAIRS if given.full else SHORT_PAIRS
    if given.pairs < 1 or (given.full and not given.short and given.pairs < FULL_PAIRS):
        parser.error(f"--pairs must be at least {FULL_PAIRS if given.full else 1}")
    return given


def chosen(given: argparse.Namespace) -> list[Workload]:
    """The workloads of the command line, each with the rivals that are asked for. Raises BenchmarkError for none."""
    every = EVERY if given.full or given.only or given.against else SHORT
    found = [
        replace(each, rivals=tuple(r for r in each.rivals if not given.against or r.side.name in given.against))
        for each in every
        if not given.only or each.name in given.only
    ]
    if not given.full and given.only and not given.against:
        found = [replace(each, rivals=each.rivals[:1]) for each in found]
    if given.server == "prototype":
        found = [replace(each, ours=PROTOTYPE_SIDE) for each in found]
    found = [each.shortened() if given.short else each for each in found if each.rivals]
    if not found:
        raise BenchmarkError("There is no such workload or peer; --list names them.")
    return found


def run(workloads: Sequence[Workload], given: argparse.Namespace) -> list[Outcome]:
    """Measure all, publish what is whole, and go on when one peer is missing or broke; raise at the end then."""
    outcomes: list[Outcome] = []
    failures: list[str] = []
    taken = conditions() | {"redis_beside": given.redis_beside}
    for workload in workloads:
        for rival in workload.rivals:
            if given.resume and is_published(workload, rival):
                continue
            try:
                outcome = compare(workload, rival, given.pairs, given.redis_beside, 1 if given.short else ATTEMPTS)
            except BenchmarkError as failure:
                failures.append(f"{workload.name} against {rival.side.title}: {failure}")
                print(failures[-1], file=sys.stderr, flush=True)
                continue
            outcomes.append(outcome)
            if given.full and not given.short:
                write_page(publish(outcome, taken))
    print(f"\n{table(outcomes)}\n")
    print(", ".join(f"{name} {value}" for name, value in taken.items()))
    if not given.full and outcomes:
        whole = workloads == list(SHORT)
        written = write_short(outcomes, given.server, taken, keep_as_latest=whole and not failures)
        print(f"Runs: {written.relative_to(Path.cwd()) if written.is_relative_to(Path.cwd()) else written}")
    if failures:
        raise BenchmarkError(f"{len(failures)} comparisons did not run:\n" + "\n".join(failures))
    return outcomes


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    given = arguments()
    try:
        workloads = chosen(given)
        if given.list:
            for each in workloads:
                print(f"{each.name}: {each.meaning}; against {', '.join(rival.side.name for rival in each.rivals)}")
            return 0
        allow_open_files(max(each.load.sockets for each in workloads) + SPARE_FILES)
        run(workloads, given)
    except BenchmarkError as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
