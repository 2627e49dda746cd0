"""Processes of a test: which there are, and whether they are gone."""

import contextlib
import time
from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether the process lives; a zombie, which only waits to be collected, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int, text: str = "") -> set[int]:
    """The process' own children that live, with `text` in their command line."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            is_child = stat.read_text().rpartition(")")[2].split()[1] == str(pid)
            if is_child and text in (stat.parent / "cmdline").read_text():
                found.add(int(stat.parent.name))
    return {child for child in found if is_running(child)}


def all_end(pids: set[int], within_seconds: float = 10) -> bool:
    """Whether all of the processes end within the time."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if not any(map(is_running, pids)):
            return True
        time.sleep(0.01)
    return False
