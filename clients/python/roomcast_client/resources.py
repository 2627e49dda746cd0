"""What travels over REST, as docs/PROTOCOL.md has it: bodies and answers. A field that is UNSET is absent."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType


class Body(msgspec.Struct, kw_only=True):
    """What a request carries."""


class Answer(msgspec.Struct, kw_only=True):
    """What a request is answered with; fields of a later server are skipped."""


class Counts(Answer, kw_only=True):
    """What the tenant has now on all nodes; `rooms` are those with a connection in them."""

    connections: int
    users: int
    rooms: int


class RoomSummary(Answer, kw_only=True):
    """An occupied room in a list."""

    room: str
    connections: int
    users: int


class RoomPage(Answer, kw_only=True):
    """One page of the occupied rooms."""

    items: list[RoomSummary]
    next_cursor: str | None = None


class RoomDetail(Answer, kw_only=True):
    """One room; `position` is None where nothing is kept."""

    room: str
    room_type: str
    connections: int
    users: int
    position: str | None


class PublishBody(Body, kw_only=True):
    """A message for a room; the connections in `exclude` do not get it."""

    name: str | UnsetType = UNSET
    data: Raw
    key: str | UnsetType = UNSET
    exclude: list[str] | UnsetType = UNSET


class PublishAnswer(Answer, kw_only=True):
    """Redis has the message; `position` is None in a room without history."""

    position: str | None
    duplicate: bool


class BatchMessage(Body, kw_only=True):
    """One message of a batch; made by `batch_message`."""

    room: str
    name: str | UnsetType = UNSET
    data: Raw
    key: str | UnsetType = UNSET


class BatchBody(Body, kw_only=True):
    """Messages that are published in order, each for itself."""

    messages: list[BatchMessage]


class Break(msgspec.Struct, frozen=True):
    """One change of a contract that breaks clients, and where."""

    path: str
    change: str


class Problem(msgspec.Struct, kw_only=True):
    """RFC 9457 `application/problem+json`, with the optional fields of the `error` event."""

    type: str
    title: str
    status: int
    detail: str
    path: str | UnsetType = UNSET
    room: str | UnsetType = UNSET
    limit: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    incident: str | UnsetType = UNSET
    breaks: list[Break] | UnsetType = UNSET


class BatchResult(Answer, kw_only=True):
    """What became of one message of a batch: `position` and `duplicate`, or `problem` alone."""

    position: str | UnsetType | None = UNSET
    duplicate: bool | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class BatchAnswer(Answer, kw_only=True):
    """One result for each message of the batch, in its order."""

    results: list[BatchResult]


class UserDetail(Answer, kw_only=True):
    """Where a user is now; nobody there gives empty lists."""

    user: str
    connections: list[str]
    rooms: list[str]


class DirectBody(Body, kw_only=True):
    """What goes to all connections of a user."""

    name: str | UnsetType = UNSET
    data: Raw


class ConnectionDetail(Answer, kw_only=True):
    """One live socket; `address` is the client's, as far as trusted proxies tell it."""

    connection: str
    user: str
    node: str
    rooms: list[str]
    connected_at_ms: int
    address: str | None


class ConnectionPage(Answer, kw_only=True):
    """One page of the tenant's connections."""

    items: list[ConnectionDetail]
    next_cursor: str | None = None


class TokenBody(Body, kw_only=True):
    """The claims of a token to sign."""

    user: str
    rooms: Mapping[str, Sequence[str]] | UnsetType = UNSET
    join: Sequence[str] | UnsetType = UNSET
    send: bool | UnsetType = UNSET
    info: Raw | UnsetType = UNSET
    ttl_seconds: int | UnsetType = UNSET


class TokenAnswer(Answer, kw_only=True):
    """A signed token and when it ends."""

    token: str
    expires_at_ms: int


class RevocationBody(Body, kw_only=True):
    """Refuses all tokens of a user, or the one with this `jti`, until an instant; exactly one of the two is named."""

    user: str | UnsetType = UNSET
    jti: str | UnsetType = UNSET
    until_at_ms: int


def batch_message(room: str, data: Any, *, name: str | None = None, key: str | None = None) -> BatchMessage:
    """One message for `Server.publish_batch`; `data` is anything that msgspec knows a JSON of."""
    return BatchMessage(
        room=room, data=Raw(msgspec.json.encode(data)), name=UNSET if name is None else name, key=key or UNSET
    )
