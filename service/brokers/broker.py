"""The port between the nodes: `Broker` is called downwards, `Listener` and `RoomReceiver` are called upwards.

One implementation exists for real (`redis.py`); simulated ones can drive `rooms/` in tests. All ids of tenants here
are internal ids, never names: a name may be deleted and made again. What is made for each message is a Struct: that
takes 0.1 µs, a NamedTuple 0.35.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import msgspec

from service.brokers.connections import Connections
from service.brokers.control import ClusterControl, ControlListener
from service.brokers.members import Members, PresenceChange, Shown, Snapshot
from service.protocol.errors import RoomcastError
from service.protocol.identifiers import Position


class RoomAddress:
    """Where a room lives. `keys` is the broker's own (made once, so that the hot path builds no key)."""

    __slots__ = ("keys", "partition", "room", "tenant_id")

    def __init__(self, tenant_id: str, room: str, partition: int, keys: Any) -> None:
        self.tenant_id = tenant_id
        self.room = room
        self.partition = partition
        self.keys = keys


class Retention(NamedTuple):
    """How much of a room's history is kept: at least `messages` (0: none), `seconds` from its last message.

    tenant_bytes: of Redis for all the tenant's histories (None: no limit); looked at within a second of a message.
    is_replicated: a publish is answered only when all replicas of Redis have it.
    """

    messages: int
    seconds: int
    tenant_bytes: int | None = None
    is_replicated: bool = False


class Origin(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Whose message it is, so that every node can place it: it travels with the message and is kept with it.

    connection: the publishing connection, or "" when a server published over HTTP.
    reference: a number that the publishing node chose, to find the waiting answer again; 0 for none.
    echo: whether the publishing connection gets its own message too.
    exclude: connections that don't get it.
    """

    connection: str = ""
    reference: int = 0
    echo: bool = False
    exclude: tuple[str, ...] = ()


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """One message of a room as it travels and as it is kept.

    offset counts every message of the room, also where none is kept (`stored` False), so that loss shows.
    body is the inside of a JSON object, without braces: name, data and from (see rooms/fanout.py).
    """

    epoch: str
    offset: int
    stored: bool
    time_ms: int
    origin: Origin
    body: bytes


class Publication(msgspec.Struct, frozen=True, gc=False):
    """Redis has it, kept (`stored`) or not; `duplicate`: its key was known; `members`: of the room, on all nodes."""

    epoch: str
    offset: int
    stored: bool
    duplicate: bool
    members: int

    @property
    def position(self) -> Position:
        """Where it is; made when it is asked for, which most publishes never do."""
        return Position(self.epoch, self.offset)


class RoomHead(NamedTuple):
    """A room's head and how many are in it, on all nodes; `snapshot` for a join that watches."""

    position: Position
    connections: int
    users: int
    snapshot: Snapshot | None = None


class History(NamedTuple):
    """Kept messages of a room, ascending.

    head: the room's last position. first: the offset of the oldest kept message (head + 1 when none is kept).
    cut_offset: messages up to it were cut for the tenant's history budget (0: none).
    more: whether kept messages lie further in the direction of reading.
    """

    head: Position
    first: int
    cut_offset: int
    messages: Sequence[Envelope]
    more: bool


class ConnectionEntry(NamedTuple):
    """One connection in the cluster's registry. shown: by room, where it shows anything, for a new lease."""

    connection: str
    user: str
    node: str
    connected_at_ms: int
    address: str
    rooms: tuple[str, ...] = ()
    shown: Mapping[str, Shown] = MappingProxyType({})


class TenantCounts(NamedTuple):
    """What a tenant has on all nodes; `rooms`: occupied ones."""

    connections: int
    users: int
    rooms: int


class RoomCount(NamedTuple):
    """How many are in an occupied room, on all nodes."""

    room: str
    connections: int
    users: int


PublicationDone = Callable[[Publication | RoomcastError], None]


class RoomReceiver(Protocol):
    """What the broker calls for one subscribed room, in the order in which Redis told it; never blocking."""

    def receive_message(self, envelope: Envelope) -> None:
        """A message was published. Offsets may jump or repeat after trouble: the room repairs that."""

    def receive_signal(self, origin: Origin, body: bytes) -> None:
        """A signal was sent; `body` as in `Envelope`."""

    def receive_presence(self, change: PresenceChange) -> None:
        """Members joined, changed or left; told in the order of their sequence, while any node watches the room."""

    def receive_epoch(self, head: Position) -> None:
        """The room's epoch ended (history forgotten, continuity lost); `head` is where the new one stands."""

    def receive_interruption(self) -> None:
        """The subscription was lost and is confirmed again: what came between must be read from history."""

    def receive_head(self, head: Position) -> None:
        """The room stood here, and all that was announced up to then was handed over, as far as it ever will be."""


class Listener(ControlListener, Protocol):
    """What the broker calls for the whole node; never blocking."""

    def receive_direct(self, tenant_id: str, user: str, body: bytes) -> None:
        """For every local connection of the user; `body` as in `Envelope`."""

    def receive_disconnect(self, tenant_id: str, user: str | None, connection: str | None, reconnect: bool) -> None:
        """Close the local connections of the user, or the one connection, with 4409."""

    def receive_expulsion(self, tenant_id: str, room: str, user: str) -> None:
        """Put the local connections of the user out of the room."""

    def turn_ended(self) -> None:
        """All that one read of the socket brought has been handed over: now fan out."""

    def redis_lost(self) -> None:
        """Redis is out of reach: commands answer `unavailable`."""

    def redis_back(self) -> None:
        """Redis answers again; what `local_connections` gave was entered again if the lease is a new one."""

    def local_connections(self) -> Iterable[tuple[str, ConnectionEntry]]:
        """(tenant id, entry with its joined rooms) of every local connection: what a new lease registers.

        Slowly iterated over: each is to be as it is at its turn, and left out if it has gone meanwhile.
        """


class Broker(ClusterControl, Connections, Members, Protocol):
    """What the nodes share. Promises:

    - Publishes of one node to one room are stored in the order of the calls; the answers come in that order too.
    - A message is stored, its offset counted and it is announced in one atomic step, or nothing happens.
    - Every operation ends within 1.5 s; a failure is `Unavailable`, and says so when the outcome is unknown.
    - Nothing is retried in secret.
    """

    node: str

    @property
    def is_ready(self) -> bool:
        """Whether Redis answers and this node's lease is in force."""

    def address(self, tenant_id: str, room: str) -> RoomAddress:
        """The address of a room; callers keep it as long as they keep the room."""

    # Messages

    def broadcast_to_room(
        self,
        address: RoomAddress,
        body: bytes,
        origin: Origin,
        retention: Retention,
        done: PublicationDone,
        idempotency_key: tuple[str, str] | None = None,
    ) -> None:
        """Store and announce a message; `done` is called exactly once, later.

        idempotency_key: (scope, key); scope is the user, or "" for the tenant's servers. Known within 300 s: the
        first position comes back and nothing is stored or announced.
        """

    def signal_room(self, address: RoomAddress, body: bytes, origin: Origin) -> Awaitable[None]:
        """Announce what is never kept."""

    def broadcast_to_user(self, tenant_id: str, user: str, body: bytes) -> Awaitable[None]:
        """Announce to the nodes that hold connections of the user; at most once; nobody there is no error."""

    def disconnect(
        self, tenant_id: str, *, user: str | None = None, connection: str | None = None, reconnect: bool = False
    ) -> Awaitable[bool]:
        """Tell the nodes that hold it; False if there is no such connection (or none of the user)."""

    # Rooms

    def subscribe(self, address: RoomAddress, receiver: RoomReceiver) -> Awaitable[None]:
        """Hear a room from now on; returns when Redis confirmed. Batched with others of the same turn."""

    def unsubscribe(self, address: RoomAddress) -> None:
        """Stop hearing a room; the caller has waited out the linger."""

    def claim_room(self, address: RoomAddress, max_rooms: int | None) -> Awaitable[int]:
        """This node has members in the room: counts it as occupied, and gives how many are; TooMany at the limit.

        Claim before the first join and release after the last leave: a dead node's members are found by its claims.
        """

    def release_room(self, address: RoomAddress) -> Awaitable[None]:
        """This node has no member in the room any more."""

    def read_history(
        self, address: RoomAddress, *, after: int | None, before: int | None, limit: int, newest: bool, max_bytes: int
    ) -> Awaitable[History]:
        """Kept messages with after < offset < before: the first `limit` of them, or the last when `newest`.

        Ends early at `max_bytes` of bodies, with at least one message.
        """

    def forget_history(self, address: RoomAddress) -> Awaitable[Position]:
        """Drop the history and begin a new epoch, announced to all nodes."""

    def end_epoch(self, address: RoomAddress, epoch: str) -> Awaitable[Position]:
        """Begin a new epoch if the room's is still `epoch` (continuity was lost); the head either way."""

    def describe_room(self, address: RoomAddress) -> Awaitable[RoomHead | None]:
        """A room's head and occupancy; None if it was never seen."""
