"""`make bench-against COMMIT=…`: what a change costs. This working tree and a commit, in turn, on the same machine.

Exit code 0 when everything ran, whatever the ratios are; 1 when something is missing or broke.
"""

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.failures import BenchmarkError
from benchmarks.machine import allow_open_files
from benchmarks.report import figure
from benchmarks.run import OPEN_FILES, measure
from benchmarks.servers import ROOT, roomcast
from benchmarks.workloads import WORKLOADS, Workload

LEAST_PAIRS = 10  # single runs differ by 10 % on a virtual machine
MESSAGE_PATH = ("room-1000-1", "room-1000-16", "one-to-one-64")


def compare(workload: Workload, trees: tuple[Path, Path], pairs: int) -> None:
    """Measure the tree of now and that of then in turn, and print the medians and their ratio."""
    now: list[float] = []
    then: list[float] = []
    for _ in range(pairs):
        for tree, figures in zip(trees, (now, then), strict=True):
            reading = measure(partial(roomcast, tree=tree), workload, workload.messages, "server")
            figures.append(reading.value)
    ratios = sorted(mine / theirs for mine, theirs in zip(now, then, strict=True))
    print(
        f"{workload.name}: {figure(median(now))} against {figure(median(then))} {workload.figure}, "
        f"ratio of the medians {median(now) / median(then):.3f}, of the pairs {ratios[0]:.2f} to {ratios[-1]:.2f}",
        flush=True,
    )


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("commit", help="what to compare with")
    parser.add_argument("--pairs", type=int, default=LEAST_PAIRS)
    parser.add_argument("--only", action="append", choices=[each.name for each in WORKLOADS])
    given = parser.parse_args()
    chosen = [workload for workload in WORKLOADS if workload.name in (given.only or MESSAGE_PATH)]
    with tempfile.TemporaryDirectory(prefix="roomcast-then-") as folder:
        then = Path(folder) / "tree"
        subprocess.run(
            ["git", "-C", str(ROOT), "worktree", "add", "-q", "--detach", str(then), given.commit], check=True
        )
        try:
            allow_open_files(OPEN_FILES)
            for workload in chosen:
                compare(workload, (ROOT, then), given.pairs)
        except BenchmarkError as failure:
            print(failure, file=sys.stderr)
            return 1
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(then)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
