"""FastAPI and redis-py, as people write it, and as fast as they advise."""

from dataclasses import replace

from benchmarks.peers.python_peers import FAST_UVICORN, JSON_WORDS, UVICORN, serve
from benchmarks.workload import Side, Starter

_BODY = '{"data":{"t":"' + 86 * "x" + '"}}'
_POST = "POST /rooms/r{room}/messages HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Type: application/json\\r\\n"
_WORDS = replace(
    JSON_WORDS,
    requests={
        "publish": f"{_POST}Content-Length: {len(_BODY)}\\r\\n\\r\\n{_BODY}",
        "counts": "GET /counts HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n",
    },
)


def _starter(server: tuple[str, ...], app: str) -> Starter:
    return lambda redis_port, folder: serve(server, app, _WORDS, redis_port, folder, {})


START = Side("fastapi", "FastAPI + redis-py", _starter(UVICORN, "fastapi_start:app"), frozenset({"requests"}))
FAST = Side(
    "fastapi-fast", "FastAPI + redis-py, tuned", _starter(FAST_UVICORN, "fastapi_fast:app"), frozenset({"requests"})
)
