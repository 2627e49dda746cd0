"""Starts servers and waits for them; what all sides share."""

import http.client
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.failures import BenchmarkError
from benchmarks.generator import HERE
from benchmarks.machine import process_tree

ROOT = HERE.parent
HEALTH = "/health/ready"
READY_TIMEOUT_SECONDS = 40  # on a machine that others use; a quiet one takes 1-2
STOP_TIMEOUT_SECONDS = 10
HISTORY_MESSAGES = 100  # kept per room on both sides: Roomcast's default for a room


def output_of(command: list[str], environment: Mapping[str, str]) -> str:
    """What a command prints, run in the tree that PYTHONPATH names, else in this one. Raises BenchmarkError."""
    variables = os.environ | dict(environment)
    done = subprocess.run(
        command, check=False, env=variables, cwd=environment.get("PYTHONPATH", ROOT), capture_output=True, text=True
    )
    if done.returncode:
        raise BenchmarkError(f"{Path(command[0]).name} {command[1]} failed: {done.stderr.strip()[-1000:]}")
    return done.stdout.strip()


@contextmanager
def running(
    command: list[str], folder: Path, environment: Mapping[str, str], directory: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server with its output in `folder`/server.log, and end it with all its processes."""
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=os.environ | dict(environment),
            cwd=directory or environment.get("PYTHONPATH", ROOT),  # before what is installed, for `python -m`
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


def wait_until_ready(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    """Return once `path` is answered, with 200 if it is our health route (the others have no page at /)."""
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200 or path != HEALTH:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise BenchmarkError(f"The server ended, or was not ready within {READY_TIMEOUT_SECONDS} s.")
