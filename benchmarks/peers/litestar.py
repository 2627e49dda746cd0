"""Litestar's ChannelsPlugin over Redis, as its documentation starts people off, and as fast as it advises."""

from benchmarks.peers.python_peers import FAST_UVICORN, JSON_WORDS, UVICORN, serve
from benchmarks.workload import Side, Starter


def _starter(server: tuple[str, ...], app: str) -> Starter:
    return lambda redis_port, folder: serve(server, app, JSON_WORDS, redis_port, folder, {})


START = Side("litestar", "Litestar ChannelsPlugin", _starter(UVICORN, "litestar_start:app"))
FAST = Side("litestar-fast", "Litestar ChannelsPlugin, tuned", _starter(FAST_UVICORN, "litestar_fast:app"))
