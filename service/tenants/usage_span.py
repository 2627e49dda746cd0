"""A span of time: what its parts come to, as a point of usage."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from service.protocol.resources import MessagesIn, SchemaRefusals, UsagePoint
from service.tenants.minute_usage import PEAKS, SUMS, read_schema_key

_START: Final = attrgetter("starts_at_ms")


class Span:
    """A minute, hour or day. peak_connections: of one second, over all nodes."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys((*SUMS, *PEAKS), 0)
        self.refused: dict[str, int] = {}
        self.refused_by_schema: dict[str, int] = {}
        self.peak_connections = 0

    def add_counts(self, counts: Mapping[str, int]) -> None:
        """Add a part's sums and peaks."""
        for name in SUMS:
            self.counts[name] += counts[name]
        for name in PEAKS:
            self.counts[name] = max(self.counts[name], counts[name])

    def add_refused(self, code: str, count: int) -> None:
        """Add a part's refusals with one code."""
        self.refused[code] = self.refused.get(code, 0) + count

    def add_refused_by_schema(self, key: str, count: int) -> None:
        """Add a part's refusals of what did not fit one schema."""
        self.refused_by_schema[key] = self.refused_by_schema.get(key, 0) + count

    def note_peak(self, connections: int) -> None:
        """So many connections were open in one second of it."""
        self.peak_connections = max(self.peak_connections, connections)

    def add_row(self, row: Any) -> None:
        """Add a row of either table, or a MinuteUsage, but for the peak of connections."""
        self.add_counts({name: getattr(row, name) for name in (*SUMS, *PEAKS)})
        for code, count in row.refused.items():
            self.add_refused(code, count)
        for key, count in row.refused_by_schema.items():
            self.add_refused_by_schema(key, count)

    def values(self) -> dict[str, Any]:
        """The columns of an hour."""
        refused = {"refused": self.refused, "refused_by_schema": self.refused_by_schema}
        return {**self.counts, **refused, "peak_connections": self.peak_connections}

    def point(self, starts_at_ms: int) -> UsagePoint:
        """The span as REST shows it."""
        counts = self.counts
        return UsagePoint(
            starts_at_ms=starts_at_ms,
            peak_connections=self.peak_connections,
            connection_minutes=counts["connection_seconds"] / 60,
            messages_in=MessagesIn(websocket=counts["messages_websocket"], http=counts["messages_http"]),
            deliveries=counts["deliveries"],
            bytes_in=counts["bytes_in"],
            bytes_out=counts["bytes_out"],
            api_requests=counts["api_requests"],
            refused=dict(sorted(self.refused.items())),
            refused_by_schema=[_refusals(key, count) for key, count in sorted(self.refused_by_schema.items())],
            peak_rooms=counts["peak_rooms"],
            history_bytes=counts["history_bytes"],
        )


def _refusals(key: str, count: int) -> SchemaRefusals:
    room_type, kind, name = read_schema_key(key)
    return SchemaRefusals(room_type=room_type, kind=kind, name=name, count=count)


def by_minute(rows: Iterable[Any]) -> Iterator[Sequence[Any]]:
    """Each minute's rows."""
    for _, parts in groupby(sorted(rows, key=_START), _START):
        yield list(parts)
