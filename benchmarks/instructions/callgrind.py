"""Counts the instructions of a tree's hot paths: `counted.py` under callgrind, and what that wrote down.

A count of one tree against itself differs by less than 0.5 % (`--itself` shows it), where CPU time differs by 10 %.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.failures import BenchmarkError
from benchmarks.generator import BUILD, HERE, build
from benchmarks.instructions.counted import STEPS

COUNTER: Final = HERE / "instructions" / "counter.c"
TIMEOUT_SECONDS: Final = 300
_WRITTEN: Final = re.compile(r"^desc: Trigger: Client Request: (?P<path>.+)/(?P<which>less|more)$", re.MULTILINE)
_TOTAL: Final = re.compile(r"^totals: (?P<count>\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Counts:
    """Instructions of one step by path, and why the other paths can't run in this tree."""

    by_path: dict[str, float]
    problems: dict[str, str]


class Counting:
    """A count under way in a process of its own, so that two trees can be counted at once. `finish` waits for it.

    tree: the checkout whose `service` runs; the paths themselves are always those of this checkout.
    """

    def __init__(self, tree: Path, folder: Path, paths: list[str]) -> None:
        folder.mkdir()
        self._folder = folder
        (folder / "import").mkdir()
        for name, source in (("service", tree), ("benchmarks", HERE.parent)):
            (folder / "import" / name).symlink_to(source / name)
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
        command += [f"--callgrind-out-file={folder / 'counts'}", sys.executable, "-P", "-m"]
        command += ["benchmarks.instructions.counted", str(build_counter()), *paths]
        # The same hashes and the same environment each time: dicts and the stack are laid out alike.
        environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "PYTHONPATH": str(folder / "import")}
        self._process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def finish(self) -> Counts:
        """What was counted. Raises BenchmarkError when nothing was."""
        try:
            said, errors = self._process.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as slow:
            self.stop()
            raise BenchmarkError(f"Counting instructions took more than {TIMEOUT_SECONDS} s.") from slow
        if self._process.returncode:
            raise BenchmarkError(f"Counting instructions failed: {errors.strip()[-1500:]}")
        problems = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
        return Counts(read_counts(self._folder), problems)

    def stop(self) -> None:
        """End it, if it is still under way."""
        self._process.kill()
        self._process.wait()


def build_counter() -> Path:
    """Return the path of the built library by which the paths speak to callgrind."""
    if shutil.which("valgrind") is None:
        raise BenchmarkError("valgrind is not on the PATH: instructions are counted with it.")
    output = BUILD / "counter.so"
    build(["gcc", "-shared", "-fPIC", "-O2", "-o", str(output), str(COUNTER)], output, (COUNTER,), HERE)
    return output


def read_counts(folder: Path) -> dict[str, float]:
    """Instructions of one step by path, from callgrind's files."""
    written: dict[str, dict[str, int]] = {}
    for file in folder.glob("counts*"):
        text = file.read_text()
        named, total = _WRITTEN.search(text), _TOTAL.search(text)
        if named and total:
            written.setdefault(named["path"], {})[named["which"]] = int(total["count"])
    return {path: (runs["more"] - runs["less"]) / STEPS for path, runs in sorted(written.items()) if len(runs) == 2}


def count_both(trees: tuple[Path, Path], paths: list[str]) -> tuple[Counts, Counts]:
    """Count two trees at once; the first is this checkout, or counted as well."""
    build_counter()
    with tempfile.TemporaryDirectory(prefix="roomcast-counts-") as folder:
        started: list[Counting] = []
        try:
            started = [Counting(tree, Path(folder) / which, paths) for tree, which in zip(trees, "ab", strict=True)]
            first, second = [counting.finish() for counting in started]
            return first, second
        finally:
            for counting in started:
                counting.stop()
