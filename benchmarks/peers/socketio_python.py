"""python-socketio: in memory and over Redis, as its documentation starts people off and as fast as it advises."""

from benchmarks.peers.python_peers import FAST_UVICORN, UVICORN, serve
from benchmarks.peers.socketio_node import WORDS
from benchmarks.workload import Side, Starter

APP = "python_socketio_app:app"


def _starter(server: tuple[str, ...], **variables: str) -> Starter:
    return lambda redis_port, folder: serve(server, APP, WORDS, redis_port, folder, variables)


MEMORY = Side("python-socketio-memory", "python-socketio, memory", _starter(UVICORN, REDIS_URL=""))
START = Side("python-socketio", "python-socketio, Redis", _starter(UVICORN))
FAST = Side("python-socketio-fast", "python-socketio, Redis, tuned", _starter(FAST_UVICORN, FAST="1"))
