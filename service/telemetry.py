"""The name of every log field and metric, and the functions that record them.

Logging: `configure_logging` once a process, then `log = structlog.get_logger()` where it is needed and
`log.warning("what happened", tenant=…, code=…)` with fields of `LOG_FIELDS`. Tokens, keys and payloads are never
passed; what looks like one is cut out all the same.

Metrics: on the hot path an event costs one `counters.messages_published += 1`; Prometheus reads the plain integers when
it scrapes. No metric has a tenant label: nothing bounds how many tenants there are.
"""

import asyncio
import logging
import re
import secrets
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, MutableMapping
from itertools import accumulate
from typing import Any, Final, Literal

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

LOG_FIELDS: Final = {
    "tenant": "tenant's name",
    "tenant_id": "tenant's internal id",
    "connection": "connection id",
    "user": "user, as the tenant named it",
    "room": "room's name",
    "node": "node id",
    "code": "code of PROTOCOL.md's list of errors",
    "close_code": "WebSocket close code",
    "incident": "id that an `internal` error's receiver got too",
    "address": "client's or server's address",
    "worker": "index of a worker process",
    "process": "process id",
    "exit_code": "a process's exit code; negative: the signal that ended it",
    "duration_seconds": "how long it took",
    "retry_seconds": "when it is tried again",
    "count": "how many",
    "partition": "which of the 256 in which the rooms lie",
    "connections": "how many sockets",
    "task": "a part of the node that runs all the time",
    "reason": "why, in words",
    "error": "type and text of an exception",
    "path": "file, or HTTP path",
    "actor_kind": "who wrote: operator, api_key, command_line or system",
    "actor_id": "which API key wrote",
    "action": "what was written, as `tenant.change`",
    "subject": "of what: a tenant's name, a kid, a room type",
    "before": "what stood there, as far as it differs",
    "after": "what stands there now, as far as it differs",
}

COUNTERS: Final = {
    "connections_opened": "Sockets accepted",
    "connections_closed": "Sockets ended, whoever ended them",
    "commands": "Commands received",
    "messages_published": "Messages that Redis acknowledged",
    "messages_fanned_out": "Deliveries: messages handed to sockets",
    "bytes_received": "Bytes of frames received",
    "bytes_sent": "Bytes of frames sent",
    "gaps": "Losses in a room that were told as a gap",
    "repairs": "Reads of a room's history to repair a gap, one for all its sockets",
    "redis_reconnects": "Connections to Redis made again",
    "slow_drops": "Messages left out of a full outbox, where their room's type says so",
    "slow_closes": "Sockets closed with 4450, their outbox being full",
    "faults": "Bugs: answers `internal` and closes 1011",
}


class Counters:
    """Plain integers that only rise, one for each name of `COUNTERS`; one thread, the event loop's, writes them."""

    __slots__ = tuple(COUNTERS)

    connections_opened: int
    connections_closed: int
    commands: int
    messages_published: int
    messages_fanned_out: int
    bytes_received: int
    bytes_sent: int
    gaps: int
    repairs: int
    redis_reconnects: int
    slow_drops: int
    slow_closes: int
    faults: int

    def __init__(self) -> None:
        for name in COUNTERS:
            setattr(self, name, 0)


class Histogram:
    """Durations in buckets; `observe` costs 0.2 µs, an eighth of prometheus_client's own, which locks."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds_seconds: tuple[float, ...]) -> None:
        self._bounds = bounds_seconds
        self._counts = [0] * (len(bounds_seconds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration in seconds."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Prometheus' cumulative (upper bound, count) pairs, and the sum in seconds."""
        bounds = [*map(str, self._bounds), "+Inf"]
        return list(zip(bounds, map(float, accumulate(self._counts)), strict=True)), self._sum


counters: Final = Counters()
refusals: Final[dict[str, int]] = {}  # by error code; `count_refusal` writes it
redis_latency: Final = Histogram((0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5))
loop_lag: Final = Histogram((0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0))

GAUGES: Final = {"connections": "Open sockets of this node", "rooms": "Rooms with a socket on this node"}
Gauge = Literal["connections", "rooms"]
_gauges: Final[dict[str, Callable[[], int]]] = {}


def count_refusal(code: str) -> None:
    """One more refusal with this code of PROTOCOL.md's list of errors."""
    refusals[code] = refusals.get(code, 0) + 1


def register_gauge(name: Gauge, read: Callable[[], int]) -> None:
    """Have `read` called for this gauge at each scrape; the last one registered counts."""
    _gauges[name] = read


def new_incident() -> str:
    """A fresh id that ties an `internal` answer to its log line; 12 characters of URL-safe base64."""
    return secrets.token_urlsafe(9)


class _NodeCollector(Collector):
    """All metrics of this process, read from the plain values when Prometheus asks."""

    def collect(self) -> Iterator[Metric]:
        for name, about in COUNTERS.items():
            yield CounterMetricFamily(f"roomcast_{name}", about, value=getattr(counters, name))
        refused = CounterMetricFamily(
            "roomcast_refusals", "Refused commands and requests by error code", labels=["code"]
        )
        for code, count in sorted(refusals.items()):
            refused.add_metric([code], count)
        yield refused
        for name, read in _gauges.items():
            yield GaugeMetricFamily(f"roomcast_{name}", GAUGES[name], value=read())
        for name, about, histogram in (
            ("redis_latency_seconds", "From a command's sending to Redis' answer", redis_latency),
            ("loop_lag_seconds", "How much later than planned the event loop ran a timer", loop_lag),
        ):
            buckets, total_seconds = histogram.buckets()
            yield HistogramMetricFamily(f"roomcast_{name}", about, buckets=buckets, sum_value=total_seconds)


registry: Final = CollectorRegistry()
registry.register(_NodeCollector())


def metrics_text() -> bytes:
    """All metrics in Prometheus' text format 0.0.4 (`text/plain; version=0.0.4; charset=utf-8`)."""
    return generate_latest(registry)


async def watch_loop_lag(interval_seconds: float = 0.25, warn_seconds: float = 0.25) -> None:
    """Measure the event loop's lag for ever; a lag above `warn_seconds` is logged. Ends when cancelled."""
    loop = asyncio.get_running_loop()
    log = structlog.get_logger()
    while True:
        planned = loop.time() + interval_seconds
        await asyncio.sleep(interval_seconds)
        lag_seconds = max(0.0, loop.time() - planned)
        loop_lag.observe(lag_seconds)
        if lag_seconds > warn_seconds:
            log.warning("event loop stalled", duration_seconds=round(lag_seconds, 3))


_SECRET_FIELDS: Final = {"token", "secret", "api_key", "authorization", "key", "data", "payload", "password"}
_SECRET_TEXTS: Final = re.compile(
    r"(?P<jwt>eyJ[\w-]{5,}\.[\w-]+\.[\w-]*)"  # a JWT's header is JSON: it starts with {"
    r"|(?P<key>rc[ko]_[\w-]+)"
    r"|(?P<password>(?<=:)[^\s:/@]+(?=@[\w.\[-]))"  # within a URL, as redis://:password@host
    r"|(?P<secret>(?<![\w+/=-])[\w+/-]{43}=?(?![\w+/=-]))"  # 32 bytes in base64, as signing secrets and the sealing key
)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: the last wall before a secret reaches a log. Run it after exceptions became text."""
    for name, value in event.items():
        if name in _SECRET_FIELDS:
            event[name] = "[redacted]"
        elif not isinstance(value, int | float | None) and _SECRET_TEXTS.search(text := str(value)):
            event[name] = _SECRET_TEXTS.sub("[redacted]", text)
    return event


def configure_logging(log_format: Literal["console", "json"], **context: str | int) -> None:
    """Send the logs of structlog, of the standard library and so of uvicorn to stderr, one form for all.

    `console` is for people, `json` one object a line. `context` are fields that every line of this process carries.
    """
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**context)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,  # a logger made at import must follow this configuration
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
        logging.getLogger(name).setLevel(logging.NOTSET)  # uvicorn's own configuration may have set one
    for name in ("uvicorn", "alembic"):  # they tell each step of a good start
        logging.getLogger(name).setLevel(logging.WARNING)
