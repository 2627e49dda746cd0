"""NATS by its WebSocket: Debian's package nats-server. Core NATS keeps nothing and checks nothing here."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.failures import BenchmarkError
from benchmarks.generator import HERE
from benchmarks.machine import free_port
from benchmarks.servers import running, wait_until_ready
from benchmarks.workload import Server, Side, Words


def _words(connect: str) -> Words:
    return Words(
        path="/",
        subscribe=(f"{connect}SUB r{{room}} 1\\r\\nPING\\r\\n",),
        ready="PONG",
        greeting=(connect,),
        publish="PUB r{room} {length}\\r\\n{payload}\\r\\n",
        is_binary=True,
    )


@contextmanager
def _run(configuration: str, connect: str, _redis_port: int, folder: Path) -> Iterator[Server]:
    server = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")
    if server is None:
        raise BenchmarkError("nats-server is not installed: apt-get install nats-server.")
    port, client_port = free_port(), free_port()
    text = (HERE / "peers" / "apps" / configuration).read_text()
    text = text.replace("CLIENT_PORT", str(client_port)).replace("PORT", str(port))
    (folder / "nats.conf").write_text(text)
    with running([server, "-c", str(folder / "nats.conf")], folder, {"GOMAXPROCS": "1"}) as process:
        wait_until_ready(process, port, "/")
        yield Server(port, process.pid, _words(connect))


START = Side("nats", "NATS", partial(_run, "nats_start.conf", "CONNECT {}\\r\\n"))
FAST = Side("nats-fast", "NATS, tuned", partial(_run, "nats_fast.conf", 'CONNECT {"verbose":false,"echo":false}\\r\\n'))
