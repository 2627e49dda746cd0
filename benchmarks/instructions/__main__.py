"""Count the instructions of the hot paths, of this tree and of its parent commit, in one run of about a minute.

Exit code 0 when nothing costs over 5 % more; 1 when something does, or does not run, and is named; 2 when counting is
not possible here.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.failures import BenchmarkError
from benchmarks.instructions.callgrind import count_both
from benchmarks.instructions.verdict import changes, meant_in, report
from benchmarks.servers import ROOT


def git(*words: str) -> str:
    """What git says; raises BenchmarkError with its own words."""
    done = subprocess.run(["git", "-C", str(ROOT), *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"git {words[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def compare(commit: str, paths: list[str]) -> int:
    """Count this tree and the commit; print what changed; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="roomcast-parent-") as folder:
        parent = Path(folder) / "tree"
        git("worktree", "add", "-q", "--detach", str(parent), commit)
        try:
            now, before = count_both((ROOT, parent), paths)
        finally:
            git("worktree", "remove", "--force", str(parent))
    found = changes(now, before, meant_in(git("log", "--format=%B", f"{commit}..HEAD")))
    print(report(found))
    return 1 if any(change.fails for change in found) else 0


def compare_with_itself(paths: list[str]) -> int:
    """Count this tree twice and print by how much the counts differ: what is less than that says nothing."""
    once, again = count_both((ROOT, ROOT), paths)
    found = changes(once, again, ())
    print(report(found))
    ratios = [change.ratio for change in found if change.ratio is not None]
    print(f"Of itself it differs by at most {max(abs(ratio - 1) for ratio in ratios):.2%}.")
    return 0


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("commit", nargs="?", default="HEAD^", help="what to compare with (default HEAD^)")
    parser.add_argument("--itself", action="store_true", help="count this tree twice: how steady the counts are")
    parser.add_argument("--only", action="append", default=[], metavar="PATH", help="just this path; may be repeated")
    given = parser.parse_args()
    try:
        return compare_with_itself(given.only) if given.itself else compare(given.commit, given.only)
    except BenchmarkError as failure:
        print(failure, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
