"""What each tenant uses on this node: counted in memory, cut into minutes.

All here is plain methods: `bookkeeper.py` has the clock, and carries what was cut to SQL.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from service.tenants.minute_usage import MINUTE_MS, MINUTE_SECONDS, PEAKS, SUMS, MinuteUsage, pack_samples

# What waits while SQL is away, about 1 KB each: ten minutes of 5,000 tenants. The oldest go first.
MAX_WAITING: Final = 50_000
# 1 µs and up to 20 µs each: a turn of the loop has 2 ms for it.
TENANTS_SAMPLED_AT_ONCE: Final = 1_000
TENANTS_CUT_AT_ONCE: Final = 100
_COUNTS: Final = (*SUMS, *PEAKS)
# Deliveries whose delay is taken, of each tenant and second.
DELAYS_A_SECOND: Final = 100


class Usage:
    """One tenant's use of this node in the minute that is open: plain integers, so that counting is an addition.

    messages_websocket, messages_http: messages, signals and sends that Redis took, by the edge they came in at;
        duplicates are none.
    deliveries: events of rooms and sends to users that a socket's outbox took.
    bytes_in: payloads of sockets' frames, and bodies of requests. bytes_out: frames, and bodies of answers.
    api_requests: requests with one of the tenant's keys or tokens, refused ones too.
    refused: commands and requests by code; refused_by_schema: what did not fit (`schema_key`).
    peak_rooms, history_bytes: of the whole tenant, the highest that was seen.
    samples: this node's connections in each second of the minute; None while there were none.
    delays_ms: from Redis' stamp to the sockets' outboxes, by this machine's clock; emptied once a second.
    """

    __slots__ = (
        "_counted", "_refused", "api_requests", "bytes_in", "bytes_out", "connection_seconds", "delays_ms",
        "deliveries", "history_bytes", "is_forgotten", "messages_http", "messages_websocket", "peak_rooms", "refused",
        "refused_by_schema", "samples",
    )  # fmt: skip

    def __init__(self) -> None:
        self.refused: dict[str, int] = {}
        self.refused_by_schema: dict[str, int] = {}
        self.delays_ms: list[float] = []
        self._counted = (0, 0, 0, 0)  # in the minutes before the open one
        self._refused: dict[str, int] = {}
        self.is_forgotten = False
        self._begin()

    def _begin(self) -> None:
        self.connection_seconds = self.messages_websocket = self.messages_http = self.deliveries = 0
        self.bytes_in = self.bytes_out = self.api_requests = self.peak_rooms = self.history_bytes = 0
        self.samples: list[int] | None = None
        if self.refused:
            self.refused = {}
        if self.refused_by_schema:
            self.refused_by_schema = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was used so far."""
        return not (
            self.connection_seconds or self.bytes_out or self.bytes_in or self.deliveries or self.api_requests
            or self.messages_websocket or self.messages_http or self.peak_rooms or self.history_bytes or self.refused
        )  # fmt: skip

    def refuse(self, code: str) -> None:
        """One more command or request was refused with this code."""
        self.refused[code] = self.refused.get(code, 0) + 1

    def refuse_by_schema(self, key: str) -> None:
        """Something did not fit a schema; that its command is refused is counted apart."""
        self.refused_by_schema[key] = self.refused_by_schema.get(key, 0) + 1

    def counted(self) -> tuple[int, int, int, int]:
        """Messages in, deliveries, bytes in and out, since the tenant came to this node."""
        messages, deliveries, bytes_in, bytes_out = self._counted
        return (
            messages + self.messages_websocket + self.messages_http,
            deliveries + self.deliveries,
            bytes_in + self.bytes_in,
            bytes_out + self.bytes_out,
        )

    def refused_so_far(self) -> dict[str, int]:
        """Refusals by code, since the tenant came to this node."""
        return {code: self._refused.get(code, 0) + self.refused.get(code, 0) for code in self._refused | self.refused}

    def note_rooms(self, occupied: int) -> None:
        """The tenant has so many occupied rooms now, on all nodes."""
        self.peak_rooms = max(self.peak_rooms, occupied)

    def note_history(self, history_bytes: int) -> None:
        """The tenant's histories take so much of Redis now."""
        self.history_bytes = max(self.history_bytes, history_bytes)

    def sample(self, second: int, connections: int) -> None:
        """So many connections are open in this second (0-59) of the minute."""
        if self.samples is None:
            self.samples = [0] * MINUTE_SECONDS
        self.samples[second] = max(self.samples[second], connections)
        self.connection_seconds += connections

    def row(self, tenant_id: str, starts_at_ms: int, node: str) -> MinuteUsage:
        """The minute as it stands."""
        return MinuteUsage(
            tenant_id=tenant_id,
            starts_at_ms=starts_at_ms,
            node=node,
            samples=pack_samples(self.samples),
            refused=dict(self.refused),
            refused_by_schema=dict(self.refused_by_schema),
            **{name: getattr(self, name) for name in _COUNTS},
        )

    def cut(self, tenant_id: str, starts_at_ms: int, node: str) -> MinuteUsage | None:
        """The minute is over: what it came to (None: to nothing), and the next one begins."""
        row = None if self.is_empty else self.row(tenant_id, starts_at_ms, node)
        self._counted, self._refused = self.counted(), self.refused_so_far()
        self._begin()
        return row


class UsageBook:
    """This node's use by tenant: the open minute, and minutes that SQL does not have yet.

    node: unique among nodes and over restarts, so that rows of two never meet. second: Unix time at the start.
    """

    def __init__(self, node: str, second: int) -> None:
        self.node = node
        self._second = second
        #: By tenant id; for others to read.
        self.open: dict[str, Usage] = {}
        self._waiting: dict[tuple[str, int], MinuteUsage] = {}
        #: Rows that were given up, as too many waited; the bookkeeper tells of them.
        self.dropped = 0

    def of(self, tenant_id: str) -> Usage:
        """The tenant's open minute: one object for as long as the tenant is on this node."""
        usage = self.open.get(tenant_id)
        if usage is None:
            usage = self.open[tenant_id] = Usage()
        usage.is_forgotten = False
        return usage

    def forget(self, tenant_id: str) -> None:
        """The tenant has nothing on this node any more: what it used leaves with the open minute."""
        self.open[tenant_id].is_forgotten = True

    @property
    def active(self) -> list[tuple[str, Usage]]:
        """Tenants that use something in the open minute."""
        return [(tenant_id, usage) for tenant_id, usage in self.open.items() if not usage.is_empty]

    def tick(self, second: int, connections: Iterable[tuple[str, int]]) -> Iterator[None]:
        """Once a second: how many connections each tenant has here. `second`: Unix time. Yields after each slice of
        tenants, so that others get the loop; to be gone through before the next one.

        Seconds that a busy loop missed count as this one. A clock that was set back stands still here until it is
        where it was, so that no minute is written twice with two contents; connection seconds go on meanwhile.
        """
        counted = list(connections)
        missed_from = max(self._second + 1, second - MINUTE_SECONDS + 1)
        for each in range(missed_from, second + 1) if second > self._second else (self._second,):
            if each // MINUTE_SECONDS > self.minute:
                yield from self.close_minute()
            self._second = each
            for number, (tenant_id, count) in enumerate(counted, 1):
                self.of(tenant_id).sample(each % MINUTE_SECONDS, count)
                if number % TENANTS_SAMPLED_AT_ONCE == 0:
                    yield

    def close_minute(self) -> Iterator[None]:
        """Cut the open minute, for all tenants: when it is over, and when the node ends. Yields as `tick` does; what
        counts meanwhile belongs to this minute or the next one, as it happens."""
        starts_at_ms = self._starts_at_ms
        for number, (tenant_id, usage) in enumerate(list(self.open.items()), 1):
            row = usage.cut(tenant_id, starts_at_ms, self.node)
            if row is not None:
                self._waiting[tenant_id, starts_at_ms] = row
            if usage.is_forgotten:
                del self.open[tenant_id]
            if number % TENANTS_CUT_AT_ONCE == 0:
                yield
        while len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
            self.dropped += 1

    @property
    def minute(self) -> int:
        """The one that is open, in Unix time's minutes."""
        return self._second // MINUTE_SECONDS

    @property
    def _starts_at_ms(self) -> int:
        return self.minute * MINUTE_MS

    def waiting(self, most: int) -> list[MinuteUsage]:
        """Minutes that SQL is to have, the oldest first; they wait until they are `written`."""
        return [row for row, _ in zip(self._waiting.values(), range(most), strict=False)]

    def written(self, rows: Iterable[MinuteUsage]) -> None:
        """SQL has these."""
        for row in rows:
            self._waiting.pop((row.tenant_id, row.starts_at_ms), None)

    def rows(self, tenant_id: str) -> list[MinuteUsage]:
        """What SQL may not have yet of one tenant, the open minute included, ascending."""
        rows = [row for row in self._waiting.values() if row.tenant_id == tenant_id]
        usage = self.open.get(tenant_id)
        if usage is not None and not usage.is_empty:
            rows.append(usage.row(tenant_id, self._starts_at_ms, self.node))
        return rows
