"""Events: server to client, as docs/PROTOCOL.md has them. A field that is UNSET was absent.

What an application sends comes as the types of the room's contract (`contract.RoomContract`), or as plain values where
there is none. Codes and reasons are texts: a later server may have more of them.
"""

from typing import Any, Generic, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from roomcast_client.commands import CommandId
from roomcast_client.contract import MessageT, SignalT, StateT


def _tag(name: str) -> str:
    name = name.removesuffix("Event")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class Event(msgspec.Struct, kw_only=True, tag_field="type", tag=_tag):
    """What the server sends."""


class Reply(Event, kw_only=True):
    """An event that answers a command, and repeats its `id`."""

    id: CommandId | UnsetType = UNSET


class Sender(msgspec.Struct, kw_only=True):
    """Who published: `connection` is None over HTTP."""

    user: str
    connection: str | None = None


class Member(msgspec.Struct, Generic[StateT], kw_only=True):
    """One connection in a room; `was` is the connection whose place it took."""

    user: str
    connection: str
    info: Any = UNSET
    state: StateT | UnsetType = UNSET
    joined_at_ms: int
    was: str | UnsetType = UNSET


class Occupancy(msgspec.Struct, kw_only=True):
    """How many are in a room, on all nodes."""

    connections: int
    users: int


class WelcomeLimits(msgspec.Struct, kw_only=True):
    """The limits that a client can keep to by itself; None is no limit."""

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


class Message(Event, Generic[MessageT], kw_only=True):
    """A published message. `from_` is None when the tenant's server published."""

    room: str
    offset: int | UnsetType = UNSET
    name: str | UnsetType = UNSET
    data: MessageT
    time_ms: int
    from_: Sender | None = msgspec.field(name="from")


class HistoryItem(msgspec.Struct, Generic[MessageT], kw_only=True):
    """A kept message: a `message` event without `type` and `room`."""

    offset: int
    name: str | UnsetType = UNSET
    data: MessageT
    time_ms: int
    from_: Sender | None = msgspec.field(name="from")


class SignalEvent(Event, Generic[SignalT], kw_only=True):
    """What another connection sent through the room, never kept."""

    room: str
    name: str | UnsetType = UNSET
    data: SignalT
    from_: Sender = msgspec.field(name="from")


class Direct(Event, kw_only=True):
    """What was sent to this user; `from_` is None when the tenant's server sent it."""

    name: str | UnsetType = UNSET
    data: Any
    from_: Sender | None = msgspec.field(name="from")


class Presence(Event, Generic[StateT], kw_only=True):
    """Who came, changed and went, gathered for up to 100 ms; `reset`: the list begins anew (`Room.members` has it)."""

    room: str
    joined: list[Member[StateT]]
    changed: list[Member[StateT]]
    left: list[Member[StateT]]
    occupancy: Occupancy
    reset: bool | UnsetType = UNSET


class OccupancyEvent(Event, kw_only=True):
    """Instead of `presence` in rooms above 1,000 members."""

    room: str
    connections: int
    users: int


class Left(Reply, kw_only=True):
    """The connection is out of the room: `asked`, `rights`, `server`, `limit`; only `asked` answers a command."""

    room: str
    reason: str


class Gap(Event, kw_only=True):
    """Lost are the messages after `from_` (None: unknown) up to `to`, where live goes on.

    Reasons of the server: `expired`, `epoch`, `limit`, `slow`, `unstored`. This client's own: `behind`, the application
    let more events wait than the room's `max_waiting`.
    """

    room: str
    from_: str | None = msgspec.field(name="from")
    to: str | None
    reason: str


class Expiring(Event, kw_only=True):
    """The token ends soon; the client sends a new one by itself."""

    in_seconds: int


class ErrorEvent(Reply, kw_only=True):
    """A command was refused. The connection stays."""

    code: str
    message: str
    path: str | UnsetType = UNSET
    room: str | UnsetType = UNSET
    limit: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    incident: str | UnsetType = UNSET


class Closing(Event, kw_only=True):
    """The socket will be closed within 1 s; the client comes back `after_ms` from the close if `reconnect`."""

    code: int
    reason: str
    reconnect: bool
    after_ms: int


class Authenticated(Reply, kw_only=True):
    """The new token is in force."""

    expires_at_ms: int


class Joined(Reply, Generic[StateT], kw_only=True):
    """`position` is the room's head at the join; `recovered` is None without `since`."""

    room: str
    position: str | None
    recovered: bool | None
    occupancy: Occupancy
    members: list[Member[StateT]] | UnsetType = UNSET


class Published(Reply, kw_only=True):
    """Redis has the message; `position` is None in rooms without history."""

    room: str
    position: str | None
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


class MembersEvent(Reply, Generic[StateT], kw_only=True):
    """One page of a room's members."""

    room: str
    members: list[Member[StateT]]
    next_cursor: str | UnsetType = UNSET
    occupancy: Occupancy


class HistoryEvent(Reply, Generic[MessageT], kw_only=True):
    """One page of a room's kept messages, ascending; `position` is the head."""

    room: str
    messages: list[HistoryItem[MessageT]]
    position: str | None
    more: bool
    complete: bool


class Pong(Reply, kw_only=True):
    """The answer to `ping`."""

    time_ms: int


RoomEvent: TypeAlias = Message[MessageT] | SignalEvent[SignalT] | Presence[StateT] | OccupancyEvent | Gap | Left
"""What a room's iteration gives."""
