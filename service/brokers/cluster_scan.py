"""SCAN over all primaries of a Cluster: one after the other, by one cursor."""

from collections.abc import Mapping
from typing import Final
from zlib import crc32

from service.brokers.cluster_routes import Shard
from service.brokers.cluster_topology import SLOTS, Address
from service.brokers.resp import out_of_reach, pack

MAX_PRIMARIES: Final = 16_384  # no Cluster has more: each has a slot
_LAYOUTS: Final = 2**16


async def scan_primaries(
    owners: Mapping[bytes, Address], shards: Mapping[Address, Shard], cursor: int, pattern: bytes, count: int
) -> tuple[int, list[bytes]]:
    """See `Link.scan`: from the beginning when slots have moved. Raises Unavailable while any slot is away."""
    if len(owners) < len(SLOTS):
        raise out_of_reach()
    layout = 1 + crc32(repr(sorted(owners.items())).encode()) % (_LAYOUTS - 1)
    addresses = sorted(set(owners.values()))
    rest, known_layout = divmod(cursor, _LAYOUTS)
    inner, place = divmod(rest, MAX_PRIMARIES) if known_layout == layout else (0, 0)
    shard = shards.get(addresses[place])
    if shard is None:
        raise out_of_reach()
    packed = pack("SCAN", inner, "MATCH", pattern, "COUNT", count)
    following, found = await shard.connection.command(packed)
    if following == b"0":
        place += 1
        if place == len(addresses):
            return 0, found
    return (int(following) * MAX_PRIMARIES + place) * _LAYOUTS + layout, found
