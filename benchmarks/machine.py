"""What the machine gives: two cores to pin to, file descriptors, process trees and their names."""

import os
import platform
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.failures import BenchmarkError


def server_and_load_cores() -> tuple[int | None, int | None]:
    """Return the core for the server and the one for load and Redis; (None, None) on a machine with a single core."""
    if platform.system() != "Linux":
        raise BenchmarkError("make bench reads CPU and memory from /proc and pins processes, so it runs on Linux only.")
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


@contextmanager
def pinned_to(core: int | None) -> Iterator[None]:
    """Run the block on `core`; processes and threads started inside inherit it. None pins nothing."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if core is None else {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_open_files(at_least: int) -> None:
    """Raise the soft limit of open files to the hard one: a server inherits it, and each of its sockets takes one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < at_least:
        raise BenchmarkError(f"The hard limit of open files is {hard}; the benchmarks need {at_least} (ulimit -Hn).")


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def process_tree(pid: int) -> list[int]:
    """Return `pid` and all its living descendants, parents first."""
    try:
        # Each thread lists the children that it started itself.
        children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _children(task)]
    except FileNotFoundError:
        return []
    return [pid, *(descendant for child in children for descendant in process_tree(child))]


def _children(task: Path) -> list[str]:
    return (task / "children").read_text().split()


def processor_model() -> str:
    """Return the CPU's name as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
