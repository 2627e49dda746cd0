"""The names that travel on the wire, checked on the way in and never normalised (PROTOCOL.md, "Words").

Every pattern ends in `$(?!\\n)`: Python's `$` alone also matches before a final newline, and `"chat\\n"` is no room.
The same text is valid ECMA-262, so the published schemas carry it unchanged.
"""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

TENANT_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$(?!\n)"
ROOM_PATTERN = r"^(?!\.{1,2}$)[A-Za-z0-9_\-=@,.;:]{1,200}$(?!\n)"
RIGHTS_PATTERN = r"^(?!\.{1,2}$)(?:[A-Za-z0-9_\-=@,.;:]{1,200}|[A-Za-z0-9_\-=@,.;:]{0,200}\*)$(?!\n)"
USER_PATTERN = r"^(?!\.{1,2}$)[^\x00-\x1f\x7f-\x9f/]{1,128}$(?!\n)"
MESSAGE_NAME_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]{1,200}$(?!\n)"
EPOCH_PATTERN = r"^[A-Za-z0-9_-]{1,16}$(?!\n)"
CONNECTION_PATTERN = r"^[A-Za-z0-9_-]{16,40}$(?!\n)"
POSITION_PATTERN = r"^[A-Za-z0-9_-]{1,16}:(0|[1-9][0-9]{0,17})$(?!\n)"

TenantName = Annotated[str, Meta(pattern=TENANT_PATTERN, description="A tenant's name.")]
RoomName = Annotated[str, Meta(pattern=ROOM_PATTERN, description="A room's name.")]
# In commands: a pattern costs msgspec 0.55 µs, two thirds of decoding a publish, so the codec looks (0.07 µs, cached).
CommandRoom = Annotated[
    str,
    Meta(min_length=1, max_length=200, description="A room's name.", extra_json_schema={"pattern": ROOM_PATTERN}),
]
RoomPattern = Annotated[
    str, Meta(pattern=RIGHTS_PATTERN, description="A room's name, or the beginning of one and a final `*`.")
]
UserName = Annotated[
    str, Meta(pattern=USER_PATTERN, description="A user, as its tenant names it (`sub` of its token).")
]
MessageName = Annotated[str, Meta(pattern=MESSAGE_NAME_PATTERN, description="What kind of message it is.")]
ConnectionId = Annotated[str, Meta(pattern=CONNECTION_PATTERN, description="One live socket, named by the server.")]
PositionText = Annotated[str, Meta(pattern=POSITION_PATTERN, description="A place in a room: `epoch:offset`.")]
IdempotencyKey = Annotated[
    str, Meta(min_length=1, max_length=128, description="The same key within 300 s is the same message.")
]

# RFC 8259 section 6: integers within +-(2^53-1) survive every JSON implementation, JavaScript's included.
SAFE_INTEGER = 2**53 - 1
CommandId = Annotated[str, Meta(min_length=1, max_length=64)] | Annotated[int, Meta(ge=-SAFE_INTEGER, le=SAFE_INTEGER)]

_tenant = re.compile(TENANT_PATTERN)
_room = re.compile(ROOM_PATTERN)
_user = re.compile(USER_PATTERN)
_connection = re.compile(CONNECTION_PATTERN)
_position = re.compile(POSITION_PATTERN)


def is_tenant(text: str) -> bool:
    """Whether `text` may name a tenant."""
    return _tenant.search(text) is not None


def is_room(text: str) -> bool:
    """Whether `text` may name a room."""
    return _room.search(text) is not None


def is_user(text: str) -> bool:
    """Whether `text` may name a user."""
    return _user.search(text) is not None


def is_connection(text: str) -> bool:
    """Whether `text` may name a connection."""
    return _connection.search(text) is not None


class Position(msgspec.Struct, frozen=True):
    """A place in a room. Offsets of two epochs are never compared."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        """The text that travels: `epoch:offset`."""
        return f"{self.epoch}:{self.offset}"


def is_position(text: str) -> bool:
    """Whether `text` is a position."""
    return _position.search(text) is not None


def parse_position(text: str) -> Position:
    """A checked `epoch:offset` text (see `is_position`) as a `Position`."""
    epoch, _, offset = text.partition(":")
    return Position(epoch, int(offset))
