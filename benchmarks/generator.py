"""Builds and runs load/wsfan.c, the load generator, and reads what it prints."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.failures import BenchmarkError
from benchmarks.workloads import Figure, Workload

HERE = Path(__file__).parent
BUILD = HERE / "build"
RUN_TIMEOUT_SECONDS = 25  # it answers no pings: a server may close its sockets 35 s after they opened
STALL_SECONDS = 3  # the load generator gives up after so long without a delivery
PAYLOAD_BYTES = 100
SETTLE_MS = 1000  # from the last handshake to the reading of CPU and memory: joins are answered, garbage is gone

_CONNECTED = re.compile(
    r"rate (?P<rate>\d+)/s server_cpu_us_per_connect (?P<cpu>[\d.]+) pss_kb_per_conn (?P<kb>[\d.-]+)"
)
_DELIVERED = re.compile(
    r"deliveries (?P<count>\d+) in (?P<seconds>[\d.]+)s = \d+/s; server cpu (?P<cpu_seconds>[\d.]+)s"
    r".*p50 (?P<p50>\d+) p99 (?P<p99>\d+)"
)


@dataclass(frozen=True)
class Words:
    """How a server is spoken to. ROOM in a frame stands for the room, %s in `publish` for the payload.

    Each socket sends `subscribe`, the publisher `greeting` and then `publish` for every message.
    """

    path: str
    subscribe: tuple[str, ...]
    publish: str
    greeting: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What one run showed; `value` is in the unit of the workload's figure, the rest is for the curious."""

    value: float
    deliveries_per_second: float | None = None
    latency_p50_us: int | None = None
    latency_p99_us: int | None = None


def build(command: list[str], output: Path, sources: tuple[Path, ...], directory: Path) -> None:
    """Run a compiler unless `output` is newer than its `sources`; BenchmarkError tells what is missing or wrong."""
    if output.exists() and all(output.stat().st_mtime >= source.stat().st_mtime for source in sources):
        return
    if shutil.which(command[0]) is None:
        raise BenchmarkError(f"{command[0]} is not on the PATH: make bench builds {output.name} with it.")
    output.parent.mkdir(exist_ok=True)
    made = subprocess.run(command, check=False, cwd=directory, capture_output=True, text=True)
    if made.returncode:
        raise BenchmarkError(f"{command[0]} could not build {output.name}: {made.stderr.strip()[-2000:]}")


def build_generator() -> Path:
    """Return the path of the built load generator."""
    source, output = HERE / "load" / "wsfan.c", BUILD / "wsfan"
    build(["gcc", "-O2", "-o", str(output), str(source)], output, (source,), HERE)
    return output


def drive(workload: Workload, messages: int, port: int, words: Words, pids: list[int]) -> Reading:
    """Put the workload on the server at `port` and return what the processes `pids` spent on it."""
    room = "r%d" if workload.room_each else "r"
    command = [str(build_generator()), "-p", str(port), "-P", words.path, "-n", str(workload.sockets)]
    command += ["-s", str(PAYLOAD_BYTES), "-d", str(SETTLE_MS), "-c", ",".join(map(str, pids))]
    for flag, frames in (("-A", words.headers), ("-S", words.subscribe), ("-T", words.greeting)):
        for frame in frames:
            command += [flag, frame.replace("ROOM", room)]
    if workload.figure is Figure.DELIVERY:
        command += ["-w", str(workload.window), "-m", str(messages), "-t", str(RUN_TIMEOUT_SECONDS)]
        command += ["-U", words.publish.replace("ROOM", room)]
    else:
        command += ["-i", "-t", "0.1"]
    return _read(workload, _run(command))


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=3 * RUN_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as stuck:
        raise BenchmarkError(
            "The load generator got stuck: the server accepted a socket and did not answer."
        ) from stuck
    if done.returncode or _stalled(done.stdout) or "closed by server" in done.stdout:
        # Its command line is not repeated: it holds the token.
        raise BenchmarkError(f"The load generator failed: {(done.stdout + done.stderr).strip()[-1000:]}")
    return done.stdout


def _stalled(output: str) -> bool:
    """Whether deliveries stopped coming; a merely slow server is cut off at the end of the time and measured."""
    delivered = _DELIVERED.search(output)
    return "TIMEOUT" in output and (
        delivered is None or float(delivered["seconds"]) < RUN_TIMEOUT_SECONDS - STALL_SECONDS
    )


def _read(workload: Workload, output: str) -> Reading:
    connected, delivered = _CONNECTED.search(output), _DELIVERED.search(output)
    if workload.figure is Figure.DELIVERY and delivered:
        return Reading(
            # Not the printed µs per delivery: it is rounded to 0.01, a tenth of our figure.
            float(delivered["cpu_seconds"]) * 1e6 / int(delivered["count"]),
            round(int(delivered["count"]) / float(delivered["seconds"])),
            int(delivered["p50"]),
            int(delivered["p99"]),
        )
    if workload.figure is not Figure.DELIVERY and connected:
        return Reading(float(connected["cpu" if workload.figure is Figure.CONNECT else "kb"]))
    raise BenchmarkError(f"The load generator printed no figures: {output.strip()[-1000:]}")
