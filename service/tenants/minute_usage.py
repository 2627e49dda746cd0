"""One tenant's minute on one node, as nodes count it and as SQL keeps it."""

from collections.abc import Iterable, Mapping, Sequence
from struct import Struct
from typing import Final

import msgspec

MINUTE_SECONDS: Final = 60
MINUTE_MS: Final = 60_000

# Columns by how a longer time's values come of its parts' ones.
SUMS: Final = (
    "connection_seconds", "messages_websocket", "messages_http", "deliveries", "bytes_in", "bytes_out", "api_requests",
)  # fmt: skip
PEAKS: Final = ("peak_rooms", "history_bytes")

_SAMPLES: Final = Struct(f"<{MINUTE_SECONDS}I")
# A number in each place of 32 bits: what is kept of a minute in which all samples were the same.
_REPEATED: Final = sum(1 << 32 * place for place in range(MINUTE_SECONDS))
_ONE_SAMPLE_BYTES: Final = 4


class MinuteUsage(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant's minute on one node. samples: its connections in each second, packed."""

    tenant_id: str
    starts_at_ms: int
    node: str
    samples: bytes
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
    refused_by_schema: Mapping[str, int] = {}


def schema_key(room_type: str, kind: str, name: str | None) -> str:
    """The key in `refused_by_schema`: a room type's name has no spaces. name: None for other names, or none."""
    return f"{room_type} {kind}" if name is None else f"{room_type} {kind} {name}"


def read_schema_key(key: str) -> tuple[str, str, str | None]:
    """What `schema_key` was given."""
    room_type, kind, *name = key.split(" ", 2)
    return room_type, kind, name[0] if name else None


def pack_samples(samples: Sequence[int] | None) -> bytes:
    """60 samples in 240 bytes, in 4 where all are the same, in none where there is none."""
    if not samples:
        return b""
    packed = _SAMPLES.pack(*samples)
    return packed[:_ONE_SAMPLE_BYTES] if packed == packed[:_ONE_SAMPLE_BYTES] * MINUTE_SECONDS else packed


def peak_of(nodes: Iterable[bytes]) -> int:
    """The most connections of one second of a minute, of the nodes' packed samples: those of all were open together.

    One addition of large numbers adds 60 samples, as no sum comes near 2^32: 1 us a node.
    """
    together = sum(map(_number, nodes))
    return max(_SAMPLES.unpack(together.to_bytes(_SAMPLES.size, "little")), default=0)


def _number(packed: bytes) -> int:
    number = int.from_bytes(packed, "little")
    return number * _REPEATED if len(packed) == _ONE_SAMPLE_BYTES else number
