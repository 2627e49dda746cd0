"""Commands: client to server. One Struct a command, tagged by `type`; `WebSocketCommand` is their union."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from service.protocol.identifiers import CommandId, CommandRoom, IdempotencyKey, MessageName, PositionText, UserName

PageLimit = Annotated[int, Meta(ge=1, le=1000, description="Items of one page.")]


def _tag(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class Command(
    msgspec.Struct,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag=_tag,
):
    """What each command may carry: an `id`, repeated in its reply. Without one there is no success reply."""

    id: CommandId | UnsetType = UNSET


class Authenticate(Command, kw_only=True):
    """Replace the token in force by a newer one of the same tenant and user."""

    token: Annotated[str, Meta(min_length=1, max_length=4096)]


class Join(Command, kw_only=True):
    """Join a room; with `since`, receive what was missed."""

    room: CommandRoom
    since: PositionText | UnsetType = UNSET
    watch: bool = False
    state: Raw | UnsetType = UNSET


class Leave(Command, kw_only=True):
    """Leave a room."""

    room: CommandRoom


class Publish(Command, kw_only=True):
    """Publish a message to a room. Needs the right, not membership."""

    room: CommandRoom
    data: Raw
    name: MessageName | UnsetType = UNSET
    key: IdempotencyKey | UnsetType = UNSET
    echo: bool = False


class Signal(Command, kw_only=True):
    """Send through a joined room what is never kept."""

    room: CommandRoom
    data: Raw
    name: MessageName | UnsetType = UNSET
    echo: bool = False


class Send(Command, kw_only=True):
    """Send to all connections of one user, at most once."""

    user: UserName
    data: Raw
    name: MessageName | UnsetType = UNSET


class SetState(Command, kw_only=True):
    """Change one's own state in a joined room."""

    room: CommandRoom
    state: Raw


class Members(Command, kw_only=True):
    """Page through who is in a room."""

    room: CommandRoom
    cursor: str | UnsetType = UNSET
    limit: PageLimit = 100


class History(Command, kw_only=True):
    """Page through a room's kept messages; the bounds themselves are left out."""

    room: CommandRoom
    since: PositionText | UnsetType = UNSET
    before: PositionText | UnsetType = UNSET
    limit: PageLimit = 100


class Ping(Command, kw_only=True):
    """Ask for the server's time, and whether it is there."""


WebSocketCommand = Authenticate | Join | Leave | Publish | Signal | Send | SetState | Members | History | Ping
