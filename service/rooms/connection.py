"""One connection of this node, as rooms see it."""

import asyncio
import random
import secrets
import time

from service.brokers.broker import ConnectionEntry
from service.brokers.members import Shown
from service.protocol.codec import event_frame, transcode
from service.protocol.errors import RECONNECTS, CloseCode
from service.protocol.events import Closing
from service.rooms.answers import Lane
from service.rooms.fanout import Subscriber
from service.rooms.membership import Membership

# 128 random bits as 22 url-safe characters: opaque and unguessable (PROTOCOL.md, "Words").
CONNECTION_ID_BYTES = 16
# Over so long a node that ends at once spreads the return of its clients: 5,000 clients are 1,000 a second.
RETURN_SPREAD_MS = 5_000


def new_entry(user: str, node: str, address: str) -> ConnectionEntry:
    """The registry's entry of a connection that is about to be."""
    connection = secrets.token_urlsafe(CONNECTION_ID_BYTES)
    return ConnectionEntry(connection, user, node, time.time_ns() // 1_000_000, address)


class Connection:
    """One live socket of one user.

    rooms: joined rooms by name. joining: joins under way. lanes: rooms with answers outstanding. is_leaving: the node
    drains and is about to close it; commands are refused.
    """

    __slots__ = (
        "_feeding",
        "address",
        "connected_at_ms",
        "id",
        "is_leaving",
        "joining",
        "lanes",
        "max_held_bytes",
        "rooms",
        "subscriber",
        "user",
    )

    def __init__(self, subscriber: Subscriber, entry: ConnectionEntry, max_held_bytes: int) -> None:
        self.id = entry.connection
        self.user = entry.user
        self.address = entry.address
        self.connected_at_ms = entry.connected_at_ms
        self.subscriber = subscriber
        self.max_held_bytes = max_held_bytes
        self.rooms: dict[str, Membership] = {}
        self.joining = 0
        self.is_leaving = False
        self.lanes: dict[str, Lane] | None = None
        self._feeding: asyncio.Lock | None = None

    @property
    def feeding(self) -> asyncio.Lock:
        """Held while one page of a recovery is read and sent: rooms that recover together share the outbox in turn."""
        if self._feeding is None:
            self._feeding = asyncio.Lock()
        return self._feeding

    def lane_of(self, room: str) -> Lane | None:
        """The answers outstanding in a room; None when there are none."""
        return None if self.lanes is None else self.lanes.get(room)

    def lane(self, room: str) -> Lane:
        """The lane of a room, made when there is none."""
        if self.lanes is None:
            self.lanes = {}
        lane = self.lanes.get(room)
        if lane is None:
            lanes = self.lanes
            lane = lanes[room] = Lane(self.subscriber, lambda: self._drop_lane(room))
        return lane

    def _drop_lane(self, room: str) -> None:
        if self.lanes is not None:
            self.lanes.pop(room, None)
            if not self.lanes:
                self.lanes = None

    @property
    def awaits_answers(self) -> bool:
        """Whether a command is not answered yet."""
        return self.lanes is not None

    def close(
        self, code: int, reason: str, *, reconnect: bool | None = None, spread_ms: int = RETURN_SPREAD_MS
    ) -> None:
        """Tell the client why and whether to come back, then close. spread_ms: as of `closing_frame`."""
        self.subscriber.close(code, reason, closing=self.closing_frame(code, reason, reconnect, spread_ms))

    def closing_frame(
        self, code: int, reason: str, reconnect: bool | None = None, spread_ms: int = RETURN_SPREAD_MS
    ) -> bytes:
        """The `closing` event as a ready frame; `reconnect` None: as the code says. spread_ms: within which time the
        clients of a node that ends are told to come back, each at its own.
        """
        will = code in RECONNECTS if reconnect is None else reconnect
        after_ms = 0
        if code in (CloseCode.GOING_AWAY, CloseCode.RESTART):
            # All clients of a node that ends would be back in the same instant.
            after_ms = random.randrange(spread_ms)  # noqa: S311 - no secret
        event = Closing(code=code, reason=reason, reconnect=will, after_ms=after_ms)
        return event_frame(event, self.subscriber.binary)

    @property
    def kid(self) -> str:
        """The signing key whose token it came with, or took later; empty where there is none."""
        return ""

    @property
    def info(self) -> bytes:
        """What its token shows of the user in every room, JSON; empty if nothing."""
        return b""

    def tenant_changed(self) -> None:
        """The tenant's limits, keys or state are others from now on."""

    def send_direct(self, body: bytes) -> None:
        """Send what was sent to the user; `body` as in `Envelope`."""
        payload = b'{"type":"direct",%b}' % body
        if self.subscriber.send_payload(transcode(payload) if self.subscriber.binary else payload):
            self.subscriber.usage.deliveries += 1

    def entry(self, node: str) -> ConnectionEntry:
        """What the cluster's registry holds of it."""
        shown = {name: self.shown(member) for name, member in self.rooms.items() if not member.is_leaving}
        return ConnectionEntry(self.id, self.user, node, self.connected_at_ms, self.address, tuple(shown), shown)

    def shown(self, member: Membership) -> Shown:
        """What it shows in a room that it is in."""
        presence = member.room.presence
        return Shown(self.info, member.state, presence is not None and member in presence)
