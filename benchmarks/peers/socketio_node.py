"""Socket.IO on node: in memory and over Redis, as its documentation starts people off and as fast as it advises."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.failures import BenchmarkError
from benchmarks.generator import BUILD, HERE
from benchmarks.machine import free_port
from benchmarks.servers import running, wait_until_ready
from benchmarks.workload import Server, Side, Words

SOURCE = HERE / "peers" / "apps" / "socketio"
INSTALLED = BUILD / "socketio"
# Engine.IO speaks first; a socket may join when the namespace has answered.
WORDS = Words(
    path="/socket.io/?EIO=4&transport=websocket",
    subscribe=("40", '40{"sid>>42["join","r{room}"]'),
    ready='"joined"',
    greeting=("40", '40{"sid>>42["nothing"]'),
    publish='42["publish","r{room}",{"t":"{payload}"}]',
)


def _installed() -> Path:
    """The folder with the server and its modules, installed from the lock when that changed."""
    lock, stamp = SOURCE / "package-lock.json", INSTALLED / ".installed"
    if not stamp.exists() or stamp.stat().st_mtime < lock.stat().st_mtime:
        if shutil.which("npm") is None:
            raise BenchmarkError("npm is not on the PATH: Socket.IO is installed with it.")
        shutil.copytree(SOURCE, INSTALLED, dirs_exist_ok=True)
        command = ["npm", "ci", "--no-audit", "--no-fund"]
        made = subprocess.run(command, check=False, cwd=INSTALLED, capture_output=True, text=True)
        if made.returncode:
            raise BenchmarkError(f"npm could not install Socket.IO: {made.stderr.strip()[-1000:]}")
        stamp.touch()
    shutil.copy(SOURCE / "server.js", INSTALLED)
    return INSTALLED


@contextmanager
def _run(flags: tuple[str, ...], has_redis: bool, redis_port: int, folder: Path) -> Iterator[Server]:
    installed, port = _installed(), free_port()
    command = ["node", "server.js", str(port), *flags]
    command += ["--redis", str(redis_port)] * has_redis
    with running(command, folder, {"NODE_ENV": "production"}, installed) as process:
        wait_until_ready(process, port, "/socket.io/")
        yield Server(port, process.pid, WORDS)


MEMORY = Side("socketio-memory", "Socket.IO, memory", partial(_run, (), False))
START = Side("socketio", "Socket.IO, Redis", partial(_run, (), True))
FAST = Side("socketio-fast", "Socket.IO, Redis, tuned", partial(_run, ("--fast",), True))
MEMORY_FAST = Side("socketio-memory-fast", "Socket.IO, memory, tuned", partial(_run, ("--fast",), False))
