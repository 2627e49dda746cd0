"""One tenant's minute on one node, as nodes count it and as SQL keeps it."""

from collections.abc import Mapping
from typing import Final

import msgspec

MINUTE_SECONDS: Final = 60
MINUTE_MS: Final = 60_000

# Columns by how a longer time's values come of its parts' ones.
SUMS: Final = (
    "connection_seconds", "messages_websocket", "messages_http", "deliveries", "bytes_in", "bytes_out", "api_requests",
)  # fmt: skip
PEAKS: Final = ("peak_rooms", "history_bytes")


class MinuteUsage(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant's minute on one node. samples: its connections in each second; empty: there were none."""

    tenant_id: str
    starts_at_ms: int
    node: str
    samples: tuple[int, ...]
    connection_seconds: int
    messages_websocket: int
    messages_http: int
    deliveries: int
    bytes_in: int
    bytes_out: int
    api_requests: int
    peak_rooms: int
    history_bytes: int
    refused: Mapping[str, int]
