"""Django Channels: the tutorial's layer under daphne, and for speed the pub/sub layer, as it advises, under uvicorn."""

from benchmarks.peers.python_peers import FAST_UVICORN, JSON_WORDS, serve
from benchmarks.workload import Side, Starter

DAPHNE = ("-m", "daphne", "-v", "0")


def _starter(server: tuple[str, ...], layer: str) -> Starter:
    variables = {"CHANNEL_LAYER": layer}
    return lambda redis_port, folder: serve(
        server, "django_channels_app:app", JSON_WORDS, redis_port, folder, variables
    )


START = Side("django-channels", "Django Channels", _starter(DAPHNE, "core"))
FAST = Side("django-channels-fast", "Django Channels, tuned", _starter(FAST_UVICORN, "pubsub"))
