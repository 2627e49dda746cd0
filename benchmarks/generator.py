"""Builds and runs the load generator (load/), and reads the JSON that it prints."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.failures import BenchmarkError
from benchmarks.workload import Load, Server

HERE = Path(__file__).parent
BUILD = HERE / "build"
PHASE_TIMEOUT_SECONDS = 25  # it answers no pings: a server may close its sockets 35 s after they opened
RUN_TIMEOUT_SECONDS = 120


def build(command: list[str], output: Path, sources: tuple[Path, ...], directory: Path) -> None:
    """Run a compiler unless `output` is newer than its `sources`; BenchmarkError tells what is missing or wrong."""
    if output.exists() and all(output.stat().st_mtime >= source.stat().st_mtime for source in sources):
        return
    if shutil.which(command[0]) is None:
        raise BenchmarkError(f"{command[0]} is not on the PATH: the benchmarks build {output.name} with it.")
    output.parent.mkdir(exist_ok=True)
    made = subprocess.run(command, check=False, cwd=directory, capture_output=True, text=True)
    if made.returncode:
        raise BenchmarkError(f"{command[0]} could not build {output.name}: {made.stderr.strip()[-2000:]}")


def build_generator() -> Path:
    """Return the path of the built load generator."""
    sources = tuple(sorted((HERE / "load").glob("*.[ch]")))
    output = BUILD / "load"
    code = [str(source) for source in sources if source.suffix == ".c"]
    build(["gcc", "-O2", "-Wall", "-Wextra", "-o", str(output), *code], output, sources, HERE)
    return output


def drive(load: Load, server: Server, groups: Mapping[str, list[int]]) -> dict[str, Any]:
    """Put the load on the server; groups: processes whose CPU and memory are read together, by name.

    Returns what the generator printed (load/report.c). Raises BenchmarkError when it did not go through.
    """
    command = [str(build_generator()), *arguments(load, server)]
    for name, pids in groups.items():
        command += ["--group", f"{name}={','.join(map(str, pids))}"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=RUN_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as stuck:
        raise BenchmarkError("The load generator got stuck.") from stuck
    if done.returncode:
        # Its command line is not repeated: it holds the token.
        raise BenchmarkError(f"The load generator failed: {(done.stdout + done.stderr).strip()[-1000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    check_whole(load, result)
    return result


def arguments(load: Load, server: Server) -> list[str]:
    """The load generator's options, without groups."""
    words = server.words
    named: dict[str, object] = {"port": server.port, "path": words.path, "timeout": PHASE_TIMEOUT_SECONDS}
    named |= {"sockets": load.sockets, "rooms": load.rooms, "settle": load.settle_ms, "at-once": load.at_once}
    named["joins"] = load.joins
    optional: dict[str, object] = {
        "ready": words.ready,
        "publisher-path": words.publisher_path,
        "tokens": server.tokens,
    }
    optional |= {"connects": load.connects_per_second, "epoch-after": words.epoch_after}
    if load.request is not None:
        optional |= {"request": words.requests[load.request], "messages": load.messages}
    elif load.messages:
        optional |= {"publish": words.publish, "messages": load.messages, "deliveries": load.deliveries}
        optional |= {"window": load.window, "rate": load.rate, "bytes": load.payload_bytes}
    if load.watchers:
        optional |= {"watch": words.watch, "watchers": load.watchers}
    named |= {name: value for name, value in optional.items() if value}
    options = [part for name, value in named.items() for part in (f"--{name}", str(value))]
    options += ["--binary"] * words.is_binary + ["--everyone"] * load.everyone_publishes
    frames = {"header": words.headers, "subscribe": words.subscribe, "greeting": words.greeting}
    frames |= {"again": words.again if load.comes_back else ()}
    return options + [part for name, each in frames.items() for frame in each for part in (f"--{name}", frame)]


def check_whole(load: Load, result: Mapping[str, Any]) -> None:
    """Raise BenchmarkError if sockets were closed or deliveries lost, but for those that a slow server has not come to
    when the time was over."""
    if result["closed"]:
        raise BenchmarkError(f"The server closed {result['closed']} sockets.")
    stalled = result.get("deliveries", {}).get("seconds", 0) < PHASE_TIMEOUT_SECONDS - 4
    if (result.get("missing") and stalled) or (result.get("unrecovered") and load.comes_back):
        missing = result.get("missing") or result.get("unrecovered")
        raise BenchmarkError(f"{missing} deliveries never came.")
