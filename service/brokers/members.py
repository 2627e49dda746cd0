"""The port between the nodes, as far as it is about who is in a room: what a connection shows of itself, changes of
it, pages. `presence.py` implements it.

A room's changes count up by one (`sequence`) while any node watches the room, and are told to the nodes that hear it.
"""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from service.brokers.broker import RoomAddress, RoomHead


class Shown(NamedTuple):
    """What a connection shows of itself in a room; `info` and `state` are checked JSON, or empty. watches: it wants
    to be told of changes.
    """

    info: bytes = b""
    state: bytes = b""
    watches: bool = False


NOTHING_SHOWN = Shown()


class RoomMember(msgspec.Struct, frozen=True, gc=False):
    """One connection in a room, there or absent for its time of grace; `info` and `state` as of `Shown`."""

    connection: str
    user: str
    joined_at_ms: int
    info: bytes
    state: bytes


class MemberChange(msgspec.Struct, frozen=True, gc=False):
    """One member joined, changed or left, for good; was: the absent connection whose place it took, or ""."""

    kind: Literal["joined", "changed", "left"]
    member: RoomMember
    was: str = ""


class PresenceChange(msgspec.Struct, frozen=True, gc=False):
    """What became of a room's members in one step, and how many are there since.

    changes: none where only the counts changed, and in rooms of more than 1,000.
    """

    sequence: int
    connections: int
    users: int
    changes: Sequence[MemberChange]


class Snapshot(NamedTuple):
    """Where a watched room stands after change `sequence`, with its first members by connection."""

    sequence: int
    connections: int
    users: int
    members: Sequence[RoomMember] = ()


class MemberPage(NamedTuple):
    """Members by connection, and how many are there, absent ones not counted. more: others come behind."""

    members: Sequence[RoomMember]
    more: bool
    connections: int
    users: int


class Members(Protocol):
    """Its part of `Broker`. Every step is atomic, and told to the nodes that watch in the same step."""

    def join(
        self, address: "RoomAddress", connection: str, user: str, max_members: int | None, shown: Shown = NOTHING_SHOWN
    ) -> Awaitable["RoomHead"]:
        """Make a connection a member, or keep it one; raises TooMany at the limit. The head counts oneself."""

    def leave(self, address: "RoomAddress", connection: str) -> Awaitable[None]:
        """End a membership; of no member: nothing happens."""

    def left(self, address: "RoomAddress", connection: str, grace_ms: int = 0) -> None:
        """As `leave`, sent and not waited for: its socket is gone. For the time of grace the member is absent: listed,
        not counted, and the next join of its user takes its place.
        """

    def set_info(self, address: "RoomAddress", connection: str, info: bytes) -> None:
        """A member shows another `info`; sent and not waited for."""

    def set_state(self, address: "RoomAddress", connection: str, state: bytes) -> Awaitable[bool]:
        """A member shows another state; False if it is no member."""

    def list_members(self, address: "RoomAddress", after: str, limit: int, max_bytes: int) -> Awaitable[MemberPage]:
        """Members by connection, behind `after` ("" from the start); ends early at `max_bytes` of them, after one."""

    def watch(self, address: "RoomAddress") -> Awaitable[Snapshot]:
        """Have this node told of changes, as a join that watches does, and learn where the room stands; no members."""

    def unwatch(self, address: "RoomAddress") -> None:
        """Nobody on this node watches any more; sent and not waited for."""

    def expel_user(self, address: "RoomAddress", user: str) -> Awaitable[None]:
        """Tell the nodes that hold connections of the user to put them out of the room, and end its absences."""
