"""The one place that makes keys and channels.

A room lives in one of 256 partitions, the hash tag of all its keys, so that a script sees what it needs on a Cluster
too. Tenant ids are base62, rooms and users have no `/`, and an idempotency key comes last: no two things share a key,
whatever names tenants choose.
"""

from typing import Any, Final
from zlib import crc32

from service.brokers.broker import RoomAddress

FORMAT: Final = 1  # of keys and of what travels; nodes ignore what they don't know
PARTITIONS: Final = 256
ALL_NODES: Final = b"all"
SHARDED: Final = b"rc%d:s:" % FORMAT  # how sharded channels begin


def is_key_of(tenant_id: str, key: bytes) -> bool:
    """Whether a key is the tenant's own. `Keyspace.pattern` finds more: an idempotency key may hold any text."""
    return key.split(b"/", 2)[1:2] == [tenant_id.encode()]


def partition_of(tenant_id: str, room: str = "") -> int:
    """The same on every node and machine; a tenant's own data is in the partition of its empty room."""
    return crc32(f"{tenant_id}/{room}".encode()) % PARTITIONS


class RoomKeys:
    """A room's keys. Kinds: m meta, s stream, n members, u users, k idempotency; l ids, w watchers, g absent, e ends
    of absences: see members.lua.

    publish: the packed beginning of the publish command, made at the first one. batch: the publishes of this loop
    turn, while more may join them. Both are `publishing.py`'s.
    """

    __slots__ = ("_head", "_tail", "batch", "channel", "publish")

    def __init__(self, tenant_id: str, room: str, partition: int, channel_prefix: bytes) -> None:
        self._head = b"rc%d:{p%d}:" % (FORMAT, partition)
        self._tail = f"/{tenant_id}/{room}".encode()
        self.channel = b"%b{p%d}:c%b" % (channel_prefix, partition, self._tail)
        self.publish: tuple[int, bytes] | None = None
        self.batch: Any = None

    def key(self, kind: bytes) -> bytes:
        """The room's key of this kind."""
        return self._head + kind + self._tail

    def idempotency(self, scope: str, key: str) -> bytes:
        """Where the first position of `key` is kept; scope is a user, or "" for the tenant's servers."""
        return b"%bk%b/%b" % (self._head, self._tail, f"{scope}/{key}".encode())


class TenantKeys:
    """A tenant's keys: what the cluster knows of its connections, users and rooms.

    x: connection -> "lease node connected_at_ms address user". i: connection ids by name. u: user -> connections.
    v: "user/connection" by name. j: connection -> its rooms. o: occupied rooms by name. a: room -> leases that claim
    it. b: room -> bytes of history. t: rooms by last publish. y: "lease/kid" -> connections under a signing key.
    q: node -> its shares of the rates. lc, lr: a lease's connections and claimed rooms.
    """

    __slots__ = ("_head", "_tail")

    def __init__(self, tenant_id: str) -> None:
        self._head = b"rc%d:{p%d}:" % (FORMAT, partition_of(tenant_id))
        self._tail = f"/{tenant_id}".encode()

    def key(self, kind: bytes) -> bytes:
        """The tenant's key of this kind."""
        return self._head + kind + self._tail

    def of_lease(self, kind: bytes, lease: bytes) -> bytes:
        """The tenant's key of this kind and lease."""
        return b"%b%b%b/%b" % (self._head, kind, self._tail, lease)


class Keyspace:
    """All keys and channels of one Redis database.

    Channels carry the database's number when it isn't 0: SELECT does not separate pub/sub. On a Cluster the rooms' are
    sharded (`room_verb` is SPUBLISH) and say so in their first letters, for the scripts; the others go to every server.
    """

    SYSTEM: Final = b"rc%d:{n}:system" % FORMAT  # see greet.lua
    LEASES: Final = b"rc%d:{n}:leases" % FORMAT  # lease -> when it ends, by Redis' clock
    SWEEPS: Final = b"rc%d:{n}:sweeps" % FORMAT  # ended lease -> until when its sweeper has time
    NODES: Final = b"rc%d:{n}:nodes" % FORMAT  # lease -> what its node tells of itself
    SOUGHT: Final = b"rc%d:{n}:sought" % FORMAT  # tenant whose rates are divided by demand -> until when

    def __init__(self, database: int, *, is_sharded: bool = False) -> None:
        prefix = b"rc%d.%d:" % (FORMAT, database) if database else b"rc%d:" % FORMAT
        self.all_nodes = prefix + ALL_NODES
        self.node_prefix = prefix + b"node/"
        self.room_verb = "SPUBLISH" if is_sharded else "PUBLISH"
        self._room_prefix = SHARDED if is_sharded else prefix

    def channels_of(self, partition: int) -> bytes:
        """What the channels of a partition's rooms begin with; the rest is "tenant/room"."""
        return b"%b{p%d}:c/" % (self._room_prefix, partition)

    @staticmethod
    def system(tag: bytes) -> bytes:
        """What `SYSTEM` is to one hash tag of a Cluster, where each may lie on another server."""
        return b"rc%d:%b:system" % (FORMAT, tag)

    @staticmethod
    def probed(tag: bytes, node: str) -> bytes:
        """A node's own channel with one hash tag of a Cluster."""
        return b"%b%b:o/%b" % (SHARDED, tag, node.encode())

    @staticmethod
    def partition_in(channel: bytes) -> int:
        """The partition of a room's channel."""
        return int(channel[channel.index(b"{") + 2 : channel.index(b"}")])

    @staticmethod
    def changed(partition: int) -> bytes:
        """The partition's rooms that changed in the last seconds: see changed.lua."""
        return b"rc%d:{p%d}:changed" % (FORMAT, partition)

    @staticmethod
    def absences(partition: int) -> bytes:
        """The partition's rooms with absent members, by when the next grace ends."""
        return b"rc%d:{p%d}:absences" % (FORMAT, partition)

    @staticmethod
    def pattern(tenant_id: str) -> bytes:
        """What all keys of a tenant match, and few others: see `is_key_of`."""
        return b"rc%d:{p*}:*/%b*" % (FORMAT, tenant_id.encode())

    def address(self, tenant_id: str, room: str) -> RoomAddress:
        """Where a room lives, with its keys."""
        partition = partition_of(tenant_id, room)
        return RoomAddress(tenant_id, room, partition, RoomKeys(tenant_id, room, partition, self._room_prefix))

    def tenants_of(self, lease: bytes) -> bytes:
        """The set of tenants that have something under a lease."""
        return b"rc%d:{n}:lt/%b" % (FORMAT, lease)
