"""Events: server to client. One Struct an event, tagged by `type`; `WebSocketEvent` is their union.

A field that is `UNSET` is absent; a field that is None is sent as null.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from service.protocol.errors import ErrorCode
from service.protocol.identifiers import CommandId

PositionOrNull = str | None


def _tag(name: str) -> str:
    name = name.removesuffix("Event")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class Event(msgspec.Struct, kw_only=True, tag_field="type", tag=_tag):
    """What the server sends. A client ignores event types and fields that it does not know."""


class Reply(Event, kw_only=True):
    """An event that answers a command, and repeats its `id`."""

    id: CommandId | UnsetType = UNSET


class Sender(msgspec.Struct, kw_only=True):
    """Who published: `connection` is null over HTTP."""

    user: str
    connection: str | None = None


class Member(msgspec.Struct, kw_only=True):
    """One connection in a room; `was` is the connection whose place it took."""

    user: str
    connection: str
    info: Raw | UnsetType = UNSET
    state: Raw | UnsetType = UNSET
    joined_at_ms: int
    was: str | UnsetType = UNSET


class Occupancy(msgspec.Struct, kw_only=True):
    """How many are in a room, on all nodes."""

    connections: int
    users: int


class WelcomeLimits(msgspec.Struct, kw_only=True):
    """The limits that a client can keep to by itself; null is no limit."""

    max_message_bytes: int | None
    max_frame_bytes: int | None
    max_state_bytes: int | None
    max_rooms_per_connection: int | None
    commands_per_second: int | None
    commands_burst: int | None


class Welcome(Event, kw_only=True):
    """The first event of every connection."""

    version: int
    connection: str
    user: str
    tenant: str
    node: str
    expires_at_ms: int
    ping_interval_seconds: float
    features: list[str]
    limits: WelcomeLimits


class Message(Event, kw_only=True):
    """A published message. `from` is null when the tenant's server published."""

    room: str
    offset: int | UnsetType = UNSET
    name: str | UnsetType = UNSET
    data: Raw
    time_ms: int
    from_: Sender | None = msgspec.field(name="from")


class HistoryItem(msgspec.Struct, kw_only=True):
    """A kept message: a `message` event without `type` and `room`."""

    offset: int
    name: str | UnsetType = UNSET
    data: Raw
    time_ms: int
    from_: Sender | None = msgspec.field(name="from")


class SignalEvent(Event, kw_only=True):
    """What another connection sent through the room, never kept."""

    room: str
    name: str | UnsetType = UNSET
    data: Raw
    from_: Sender = msgspec.field(name="from")


class Direct(Event, kw_only=True):
    """What was sent to this user; `from` is null when the tenant's server sent it."""

    name: str | UnsetType = UNSET
    data: Raw
    from_: Sender | None = msgspec.field(name="from")


class Presence(Event, kw_only=True):
    """Who came, changed and went, gathered for up to 100 ms; `reset`: forget the list and page `members`."""

    room: str
    joined: list[Member]
    changed: list[Member]
    left: list[Member]
    occupancy: Occupancy
    reset: bool | UnsetType = UNSET


class OccupancyEvent(Event, kw_only=True):
    """Instead of `presence` in rooms above 1,000 members."""

    room: str
    connections: int
    users: int


class Left(Reply, kw_only=True):
    """The connection is out of the room; only `asked` answers a command."""

    room: str
    reason: Literal["asked", "rights", "server", "limit"]


GapReason = Literal["expired", "epoch", "limit", "slow", "unstored"]


class Gap(Event, kw_only=True):
    """Lost are the messages after `from` up to `to`, where live goes on."""

    room: str
    from_: PositionOrNull = msgspec.field(name="from")
    to: PositionOrNull
    reason: GapReason


class Expiring(Event, kw_only=True):
    """The token ends soon: send `authenticate`."""

    in_seconds: int


class ErrorEvent(Reply, kw_only=True):
    """A command was refused. The connection stays."""

    code: ErrorCode
    message: str
    path: str | UnsetType = UNSET
    room: str | UnsetType = UNSET
    limit: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    incident: str | UnsetType = UNSET


class Closing(Event, kw_only=True):
    """The socket will be closed within 1 s; come back `after_ms` from the close if `reconnect`."""

    code: int
    reason: str
    reconnect: bool
    after_ms: Annotated[int, Meta(ge=0)]


class Authenticated(Reply, kw_only=True):
    """The new token is in force."""

    expires_at_ms: int


class Joined(Reply, kw_only=True):
    """`position` is the room's head at the join; `recovered` is null without `since`."""

    room: str
    position: PositionOrNull
    recovered: bool | None
    occupancy: Occupancy
    members: list[Member] | UnsetType = UNSET


class Published(Reply, kw_only=True):
    """Redis has the message; `position` is null in rooms without history."""

    room: str
    position: PositionOrNull
    duplicate: bool


class Signalled(Reply, kw_only=True):
    """Redis has the signal."""

    room: str


class Sent(Reply, kw_only=True):
    """Redis has it; whether anybody was there is not told."""

    user: str


class StateSet(Reply, kw_only=True):
    """The new state is in force."""

    room: str


class MembersEvent(Reply, kw_only=True):
    """One page of a room's members."""

    room: str
    members: list[Member]
    next_cursor: str | UnsetType = UNSET
    occupancy: Occupancy


class HistoryEvent(Reply, kw_only=True):
    """One page of a room's kept messages, ascending; `position` is the head."""

    room: str
    messages: list[HistoryItem]
    position: PositionOrNull
    more: bool
    complete: bool


class Pong(Reply, kw_only=True):
    """The answer to `ping`."""

    time_ms: int


WebSocketEvent = (
    Welcome
    | Message
    | SignalEvent
    | Direct
    | Presence
    | OccupancyEvent
    | Left
    | Gap
    | Expiring
    | ErrorEvent
    | Closing
    | Authenticated
    | Joined
    | Published
    | Signalled
    | Sent
    | StateSet
    | MembersEvent
    | HistoryEvent
    | Pong
)
