"""What the peers written in Python share: an environment of their own, with hashed requirements, never the main one."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.failures import BenchmarkError
from benchmarks.generator import BUILD, HERE
from benchmarks.machine import free_port
from benchmarks.servers import running, wait_until_ready
from benchmarks.workload import Server, Words

APPS = HERE / "peers" / "apps"
REQUIREMENTS = APPS / "requirements.txt"
ENVIRONMENT = BUILD / "peers-venv"
JSON_WORDS = Words(
    path="/ws",
    subscribe=('{"type":"join","room":"r{room}"}',),
    ready='joined"',
    publish='{"type":"publish","room":"r{room}","data":{"t":"{payload}"}}',
)
# As `pip install uvicorn` starts people off, and as "uvicorn[standard]" and its settings make it fast.
UVICORN = ("-m", "uvicorn", "--loop", "asyncio", "--http", "h11", "--ws", "websockets")
FAST_UVICORN = (
    *("-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--ws", "websockets-sansio"),
    *("--ws-per-message-deflate", "false", "--no-access-log", "--log-level", "warning"),
)


def python() -> Path:
    """The interpreter of the peers' environment, which is made when it is first needed or its requirements changed."""
    stamp = ENVIRONMENT / ".installed"
    if stamp.exists() and stamp.stat().st_mtime >= REQUIREMENTS.stat().st_mtime:
        return ENVIRONMENT / "bin" / "python"
    executable = str(ENVIRONMENT / "bin" / "python")
    install = [executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    for command in ([sys.executable, "-m", "venv", str(ENVIRONMENT)], [*install, "-r", str(REQUIREMENTS)]):
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        if made.returncode:
            raise BenchmarkError(f"The peers' environment could not be made: {made.stderr.strip()[-1000:]}")
    stamp.touch()
    return ENVIRONMENT / "bin" / "python"


@contextmanager
def serve(
    server: tuple[str, ...], app: str, words: Words, redis_port: int, folder: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Run an application of apps/ under a server module, uvicorn's or daphne's words."""
    port = free_port()
    variables = {"REDIS_URL": f"redis://127.0.0.1:{redis_port}", "PYTHONPATH": str(APPS)} | dict(environment)
    flags = ["-b", "127.0.0.1", "-p", str(port)] if "daphne" in server else ["--host", "127.0.0.1", "--port", str(port)]
    with running([str(python()), *server, *flags, app], folder, variables, APPS) as process:
        wait_until_ready(process, port, "/")
        yield Server(port, process.pid, words)
