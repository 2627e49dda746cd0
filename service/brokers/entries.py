"""What a node enters under its lease: connections, memberships and claims, as calls of their scripts."""

from collections.abc import Sequence

from service.brokers.broker import ConnectionEntry
from service.brokers.keys import RoomKeys, TenantKeys
from service.brokers.link import Link
from service.brokers.resp import Argument
from service.brokers.scripts import NOTE_ROOMS, Script


def limit_argument(limit: int | None) -> Argument:
    """A limit as scripts take it."""
    return "" if limit is None else limit


def claim_keys(keys: TenantKeys, lease: bytes) -> Sequence[bytes]:
    """The keys of claim_room.lua and release_room.lua."""
    return [keys.key(b"o"), keys.key(b"a"), keys.of_lease(b"lr", lease)]


def pack_claim(script: Script, link: Link, tenant_id: str, room: str, max_rooms: int | None) -> bytes:
    """A call of claim_room.lua."""
    return script.pack(claim_keys(TenantKeys(tenant_id), link.lease), room, limit_argument(max_rooms))


def pack_join(script: Script, link: Link, keys: RoomKeys, connection: str, user: str, max_members: int | None) -> bytes:
    """A call of join.lua."""
    return script.pack(
        [keys.key(b"m"), keys.key(b"s"), keys.channel, keys.key(b"n"), keys.key(b"u")],
        link.generation,
        connection,
        link.lease,
        user,
        limit_argument(max_members),
    )


def pack_connect(
    script: Script,
    link: Link,
    tenant_id: str,
    entry: ConnectionEntry,
    max_connections: int | None,
    max_connections_per_user: int | None,
) -> bytes:
    """A call of connect.lua."""
    keys = TenantKeys(tenant_id)
    return script.pack(
        [*map(keys.key, (b"x", b"i", b"u", b"v")), keys.of_lease(b"lc", link.lease)],
        entry.connection,
        b"%b %b" % (link.lease, f"{entry.node} {entry.connected_at_ms} {entry.address} {entry.user}".encode()),
        entry.user,
        limit_argument(max_connections),
        limit_argument(max_connections_per_user),
    )


def parse_entry(connection: bytes, entry: bytes, rooms: bytes | None) -> ConnectionEntry:
    """The reverse; `rooms` have a space between."""
    _, node, connected_at_ms, address, user = entry.decode().split(" ", 4)
    joined = tuple(rooms.decode().split(" ")) if rooms else ()
    return ConnectionEntry(connection.decode(), user, node, int(connected_at_ms), address, joined)


def pack_rooms(link: Link, tenant_id: str, connections: Sequence[tuple[str, Sequence[str]]]) -> bytes:
    """A call of note_rooms.lua: which rooms the connections are in."""
    keys = TenantKeys(tenant_id)
    arguments = [text for connection, rooms in connections for text in (connection, " ".join(rooms))]
    return NOTE_ROOMS.pack([keys.key(b"x"), keys.key(b"j")], *arguments)
