"""What a node enters under its lease: connections, memberships and claims, as calls of their scripts."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from service.brokers.broker import ConnectionEntry, RoomAddress
from service.brokers.keys import RoomKeys, TenantKeys
from service.brokers.link import Link
from service.brokers.members import Shown
from service.brokers.resp import Argument, bulk
from service.brokers.scripts import NOTE_ROOMS, TELL_USER, Script

# With a join that watches (PROTOCOL.md, "Presence"), at most so many bytes of them.
SHOWN_MEMBERS: Final = 100
SHOWN_BYTES: Final = 512 * 1024
_CONNECT_ARGUMENTS = 5


def limit_argument(limit: int | None) -> Argument:
    """A limit as scripts take it."""
    return "" if limit is None else limit


def claim_keys(keys: TenantKeys, lease: bytes) -> Sequence[bytes]:
    """The keys of claim_room.lua and release_room.lua."""
    return [keys.key(b"o"), keys.key(b"a"), keys.of_lease(b"lr", lease)]


def pack_claim(script: Script, link: Link, tenant_id: str, room: str, max_rooms: int | None) -> bytes:
    """A call of claim_room.lua."""
    return script.pack(claim_keys(TenantKeys(tenant_id), link.lease), room, limit_argument(max_rooms))


def pack_join(
    script: Script, link: Link, address: RoomAddress, connection: str, user: str, max_members: int | None, shown: Shown
) -> bytes:
    """A call of join.lua."""
    keys: RoomKeys = address.keys
    return script.pack(
        [keys.key(b"m"), keys.key(b"s"), keys.channel, *map(keys.key, (b"n", b"u", b"l", b"w", b"g", b"e"))],
        link.generation_of(address.partition),
        connection,
        link.lease,
        user,
        limit_argument(max_members),
        shown.info,
        shown.state,
        SHOWN_MEMBERS if shown.watches else 0,
        SHOWN_BYTES,
    )


def pack_tell_user(link: Link, tenant_id: str, user: str, payload: bytes) -> bytes:
    """A call of tell_user.lua."""
    keys = TenantKeys(tenant_id)
    return TELL_USER.pack([keys.key(b"x"), keys.key(b"v")], user, link.keyspace.node_prefix, payload)


def pack_connect(
    script: Script,
    link: Link,
    tenant_id: str,
    entry: ConnectionEntry,
    max_connections: int | None,
    max_connections_per_user: int | None,
) -> bytes:
    """A call of connect.lua."""
    lease, connection, user = link.lease, entry.connection.encode(), entry.user.encode()
    registered = b"%b %b %d %b %b" % (
        lease,
        entry.node.encode(),
        entry.connected_at_ms,
        entry.address.encode(),
        user,
    )
    limits = map(_limit_bytes, (max_connections, max_connections_per_user))
    return _connect_beginning(script, tenant_id, lease) + b"".join(map(bulk, (connection, registered, user, *limits)))


@lru_cache(maxsize=1024)
def _connect_beginning(script: Script, tenant_id: str, lease: bytes) -> bytes:
    """The part that all of a tenant's connects share."""
    keys = TenantKeys(tenant_id)
    named = [*map(keys.key, (b"x", b"i", b"u", b"v")), keys.of_lease(b"lc", lease)]
    return script.beginning(named, _CONNECT_ARGUMENTS)


def _limit_bytes(limit: int | None) -> bytes:
    return b"" if limit is None else b"%d" % limit


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
