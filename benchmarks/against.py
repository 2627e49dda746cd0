"""`make bench-against COMMIT=…`: what a change costs. This working tree and a commit, in turn, on the same machine.

Exit code 0 when everything ran, whatever the ratios are; 1 when something is missing or broke.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.failures import BenchmarkError
from benchmarks.machine import allow_open_files
from benchmarks.ours import Setup, roomcast
from benchmarks.report import table
from benchmarks.runner import compare
from benchmarks.servers import ROOT
from benchmarks.workload import Rival
from benchmarks.workloads.every import EVERY

LEAST_PAIRS = 10  # single runs differ by 10 % on a virtual machine
OPEN_FILES = 6000
MESSAGE_PATH = ("room-1000-1", "room-1000-16", "one-to-one-64")


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("commit", help="what to compare with")
    parser.add_argument("--pairs", type=int, default=LEAST_PAIRS)
    parser.add_argument("--only", action="append", choices=[each.name for each in EVERY])
    given = parser.parse_args()
    wanted = [workload for workload in EVERY if workload.name in (given.only or MESSAGE_PATH)]
    with tempfile.TemporaryDirectory(prefix="roomcast-then-") as folder:
        then = Path(folder) / "tree"
        subprocess.run(
            ["git", "-C", str(ROOT), "worktree", "add", "-q", "--detach", str(then), given.commit], check=True
        )
        rival = Rival(roomcast(Setup(tree=then), f"{given.commit}"))
        try:
            allow_open_files(OPEN_FILES)
            workloads = [replace(workload, rivals=(rival,)) for workload in wanted]
            outcomes = [compare(workload, rival, given.pairs, "server", attempts=1) for workload in workloads]
            print(table(outcomes))
        except BenchmarkError as failure:
            print(failure, file=sys.stderr)
            return 1
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(then)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
