"""Starts the servers under test: Roomcast, the Centrifuge peer, and the prototype that showed what is reachable."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.failures import BenchmarkError
from benchmarks.generator import BUILD, HERE, Words, build
from benchmarks.machine import free_port, process_tree

ROOT = HERE.parent
ROOMCAST = Path(sys.executable).with_name("roomcast")
PROTOTYPE = ROOT.parent / "shared" / "bench" / "peers" / "prototype.py"
READY_TIMEOUT_SECONDS = 20
STOP_TIMEOUT_SECONDS = 10
HISTORY_MESSAGES = 100  # kept per room on both sides: Roomcast's default for a room

# Raised, not `none`: every limit is checked and counted as in production, and none is reached.
RAISED_LIMITS = {
    "max_connections": 1_000_000,
    "max_connections_per_user": 1_000_000,
    "max_members_per_room": 1_000_000,
    "max_rooms": 1_000_000,
    "connects_per_second": 1_000_000,
    "commands_per_second": 1_000_000,
    "publishes_per_second": 1_000_000,
    "deliveries_per_second": 1_000_000_000,
}


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, the process whose tree is measured, and how it is spoken to."""

    port: int
    pid: int
    words: Words


@contextmanager
def centrifuge(redis_port: int, folder: Path) -> Iterator[Server]:
    """Run the peer, Centrifuge (the engine of Centrifugo) with its Redis broker, on one processor as Go sees it."""
    source, output = HERE / "peers" / "centrifuge", BUILD / "centrifuge-peer"
    sources = (source / "main.go", source / "go.mod", source / "go.sum")
    build(["go", "build", "-o", str(output), "."], output, sources, source)
    port = free_port()
    command = [str(output), "-address", f"127.0.0.1:{port}", "-redis", f"127.0.0.1:{redis_port}"]
    words = Words(
        path="/connection/websocket",
        subscribe=('{"id":1,"connect":{}}', '{"id":2,"subscribe":{"channel":"ROOM"}}'),
        greeting=('{"id":1,"connect":{}}',),
        publish='{"id":3,"publish":{"channel":"ROOM","data":{"t":"%s"}}}',
    )
    command += ["-history", str(HISTORY_MESSAGES)]
    with _running(command, folder, {"GOMAXPROCS": "1"}) as process:
        _wait_until_ready(process, port, "/")
        yield Server(port, process.pid, words)


@contextmanager
def roomcast(redis_port: int, folder: Path, tree: Path = ROOT) -> Iterator[Server]:
    """Run one Roomcast node with a tenant whose limits are raised; supervisor and worker are measured.

    tree: the checkout whose code runs, whichever one is installed.
    """
    if not ROOMCAST.exists():
        raise BenchmarkError("The command roomcast is not installed beside this Python: run make setup.")
    port = free_port()
    settings = {
        "PYTHONPATH": str(tree),
        "ROOMCAST_DATA_DIR": str(folder),
        "ROOMCAST_REDIS_URL": f"redis://127.0.0.1:{redis_port}",
    }
    _command(settings, "db", "upgrade")
    serve = [str(ROOMCAST), "serve", "--port", str(port), "--connects-per-second-per-address", "1000000"]
    with _running(serve, folder, settings) as process:
        _wait_until_ready(process, port, "/health/ready")
        limits = [word for name, value in RAISED_LIMITS.items() for word in ("--limit", f"{name}={value}")]
        _command(settings, "tenant", "create", "bench", *limits, "--json")
        token = _command(settings, "token", "--tenant", "bench", "--user", "u1", "--rooms", '{"*":["*"]}')
        yield Server(port, process.pid, _roomcast_words("/v1/connect", token))


@contextmanager
def prototype(redis_port: int, folder: Path) -> Iterator[Server]:
    """Run the bare prototype of the project's shared notes: no rights, limits or replies; it checks the runner."""
    if not PROTOTYPE.exists():
        raise BenchmarkError("The prototype is not here: it lies in shared/bench/peers, beside the project's folder.")
    port = free_port()
    script = folder / "prototype.py"
    script.write_text(PROTOTYPE.read_text().replace("6399", str(redis_port)).replace("8123", str(port)))
    token = _output([sys.executable, str(script), "token"], {})
    with _running([sys.executable, str(script)], folder, {}) as process:
        _wait_until_ready(process, port, "/")
        yield Server(port, process.pid, _roomcast_words("/ws", token))


def _roomcast_words(path: str, token: str) -> Words:
    return Words(
        path=path,
        subscribe=('{"type":"join","room":"ROOM"}',),
        publish='{"type":"publish","room":"ROOM","data":{"t":"%s"}}',
        headers=(f"Authorization: Bearer {token}",),
    )


def _command(settings: Mapping[str, str], *words: str) -> str:
    return _output([str(ROOMCAST), *words], settings)


def _output(command: list[str], environment: Mapping[str, str]) -> str:
    variables = os.environ | dict(environment)
    done = subprocess.run(
        command, check=False, env=variables, cwd=environment.get("PYTHONPATH", ROOT), capture_output=True, text=True
    )
    if done.returncode:
        raise BenchmarkError(f"{Path(command[0]).name} {command[1]} failed: {done.stderr.strip()[-1000:]}")
    return done.stdout.strip()


@contextmanager
def _running(command: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=os.environ | dict(environment),
            cwd=environment.get("PYTHONPATH", ROOT),  # before what is installed, for `python -m`
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    except BenchmarkError as failure:
        log_end = (folder / "server.log").read_text(errors="replace")[-1500:]
        raise BenchmarkError(f"{failure}\nThe server's last words:\n{log_end}") from failure
    finally:
        tree = process_tree(process.pid)
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in tree:
                os.kill(pid, 9)
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    """Return once `path` is answered, with 200 if it is the health route (the others have no page at /)."""
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200 or path == "/":
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise BenchmarkError(f"The server ended, or was not ready within {READY_TIMEOUT_SECONDS} s.")
