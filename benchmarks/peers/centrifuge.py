"""Centrifuge, the Go library that Centrifugo is built on: in memory, over Redis, and over Redis with history, the last
also with its writer tuned and with tokens checked.

Its documentation starts people off with its default writer, which flushes as soon as it can; for many messages it
advises `WriteDelay`. GOMAXPROCS=1: it has one core, as every side.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import OctKey

from benchmarks.generator import BUILD, HERE, build
from benchmarks.machine import free_port
from benchmarks.servers import HISTORY_MESSAGES, running, wait_until_ready
from benchmarks.workload import Server, Side, Words

SOURCE = HERE / "peers" / "apps" / "centrifuge"
SECRET = "a secret of forty-three characters, as ours is"  # noqa: S105 - of a server that lives for a minute
TOKEN_SECONDS = 3_600
# So long a write may wait for more messages. 10 ms is felt by nobody, and takes in 16 in flight.
WRITE_DELAY = "10ms"


@dataclass(frozen=True)
class Setup:
    """How the peer is set up."""

    has_redis: bool = True
    keeps_history: bool = True
    write_delay: str = ""
    checks_tokens: bool = False


@contextmanager
def _run(setup: Setup, redis_port: int, folder: Path) -> Iterator[Server]:
    output = BUILD / "centrifuge-peer"
    build(["go", "build", "-o", str(output), "."], output, tuple(SOURCE.glob("*.*")), SOURCE)
    port = free_port()
    command = [str(output), "-address", f"127.0.0.1:{port}"]
    command += ["-redis", f"127.0.0.1:{redis_port}"] * setup.has_redis
    command += ["-history", str(HISTORY_MESSAGES)] * setup.keeps_history
    command += ["-write-delay", setup.write_delay] if setup.write_delay else []
    command += ["-jwt", SECRET] * setup.checks_tokens
    with running(command, folder, {"GOMAXPROCS": "1"}) as process:
        wait_until_ready(process, port, "/")
        yield Server(port, process.pid, _words(setup))


def _words(setup: Setup) -> Words:
    connect = f'{{"token":"{_token()}"}}' if setup.checks_tokens else "{}"
    connect = f'{{"id":1,"connect":{connect}}}'
    recover = '"recover":true,"epoch":"{epoch}","offset":{offset}'
    return Words(
        path="/connection/websocket",
        subscribe=(connect, '"connect":{>>{"id":2,"subscribe":{"channel":"r{room}"}}'),
        ready='"subscribe":{',
        greeting=(connect,),
        publish='{"id":3,"publish":{"channel":"r{room}","data":{"t":"{payload}"}}}',
        again=(connect, '"connect":{>>{"id":2,"subscribe":{"channel":"r{room}",' + recover + "}}"),
        epoch_after='"epoch":"',
    )


def _token() -> str:
    claims = {"sub": "u1", "exp": int(time.time()) + TOKEN_SECONDS}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))


def _side(name: str, title: str, setup: Setup, *abilities: str) -> Side:
    return Side(f"centrifuge-{name}", f"Centrifuge, {title}", partial(_run, setup), frozenset(abilities))


MEMORY = _side("memory", "memory", Setup(has_redis=False, keeps_history=False))
REDIS = _side("redis", "Redis", Setup(keeps_history=False))
HISTORY = _side("history", "Redis with history", Setup(), "recovery")
TUNED = _side("tuned", f"Redis with history, WriteDelay {WRITE_DELAY}", Setup(write_delay=WRITE_DELAY), "recovery")
TOKENS = _side("tokens", "Redis with history, JWT", Setup(checks_tokens=True), "recovery", "tokens")
