"""Commands: client to server, as docs/PROTOCOL.md has them. A field that is UNSET is absent."""

from typing import TypeAlias

import msgspec
from msgspec import UNSET, Raw, UnsetType

CommandId: TypeAlias = str | int


def _tag(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class Command(msgspec.Struct, kw_only=True, tag_field="type", tag=_tag):
    """What each command may carry: an `id`, repeated in its reply."""

    id: CommandId | UnsetType = UNSET


class Authenticate(Command, kw_only=True):
    """Replace the token in force by a newer one of the same tenant and user."""

    token: str


class Join(Command, kw_only=True):
    """Join a room; with `since`, receive what was missed."""

    room: str
    since: str | UnsetType = UNSET
    watch: bool = False
    state: Raw | UnsetType = UNSET


class Leave(Command, kw_only=True):
    """Leave a room."""

    room: str


class Publish(Command, kw_only=True):
    """Publish a message to a room; the same key within 300 s is the same message."""

    room: str
    data: Raw
    name: str | UnsetType = UNSET
    key: str | UnsetType = UNSET
    echo: bool = False


class Signal(Command, kw_only=True):
    """Send through a joined room what is never kept."""

    room: str
    data: Raw
    name: str | UnsetType = UNSET
    echo: bool = False


class Send(Command, kw_only=True):
    """Send to all connections of one user, at most once."""

    user: str
    data: Raw
    name: str | UnsetType = UNSET


class SetState(Command, kw_only=True):
    """Change one's own state in a joined room."""

    room: str
    state: Raw


class Members(Command, kw_only=True):
    """Page through who is in a room."""

    room: str
    cursor: str | UnsetType = UNSET
    limit: int = 100


class History(Command, kw_only=True):
    """Page through a room's kept messages; the bounds themselves are left out."""

    room: str
    since: str | UnsetType = UNSET
    before: str | UnsetType = UNSET
    limit: int = 100


class Ping(Command, kw_only=True):
    """Ask for the server's time, and whether it is there."""


WebSocketCommand: TypeAlias = (
    Authenticate | Join | Leave | Publish | Signal | Send | SetState | Members | History | Ping
)
