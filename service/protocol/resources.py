"""What travels over REST: bodies, decoded strictly, and answers.

A field that is `UNSET` is absent; a field that is None is sent as null, as is `next_cursor` on the last page of a list.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from service.protocol.errors import Problem
from service.protocol.identifiers import ConnectionId, IdempotencyKey, MessageName, RoomName, RoomPattern, UserName

MAX_BATCH_MESSAGES = 1000
MAX_TOKEN_SECONDS = 24 * 3600

Verb = Literal["join", "publish", "signal", "presence", "history", "*"]


class Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a request carries. Each Raw in it still needs `check_json`."""


class Answer(msgspec.Struct, kw_only=True):
    """What a request is answered with."""


class Counts(Answer, kw_only=True):
    """What a tenant has now on all nodes; `rooms` are those with a connection in them."""

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
    """One room; `position` is null where nothing is kept."""

    room: str
    room_type: str
    connections: int
    users: int
    position: str | None


class PublishBody(Body, kw_only=True):
    """A message for the room in the path; the connections in `exclude` do not get it."""

    name: MessageName | UnsetType = UNSET
    data: Raw
    key: IdempotencyKey | UnsetType = UNSET
    exclude: list[ConnectionId] | UnsetType = UNSET


class PublishAnswer(Answer, kw_only=True):
    """Redis has the message; `position` is null in a room without history."""

    position: str | None
    duplicate: bool


class BatchMessage(Body, kw_only=True):
    """One message of a batch."""

    room: RoomName
    name: MessageName | UnsetType = UNSET
    data: Raw
    key: IdempotencyKey | UnsetType = UNSET


class BatchBody(Body, kw_only=True):
    """Messages that are published in order, each for itself."""

    messages: Annotated[list[BatchMessage], Meta(max_length=MAX_BATCH_MESSAGES)]


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
    """What goes to all connections of the user in the path."""

    name: MessageName | UnsetType = UNSET
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
    """One page of a tenant's connections."""

    items: list[ConnectionDetail]
    next_cursor: str | None = None


class TokenBody(Body, kw_only=True):
    """The claims of the token to sign (PROTOCOL.md, "Connecting"); `info` is at most 1 KiB as JSON."""

    user: UserName
    rooms: dict[RoomPattern, list[Verb]] | UnsetType = UNSET
    join: list[RoomName] | UnsetType = UNSET
    send: bool | UnsetType = UNSET
    info: Raw | UnsetType = UNSET
    ttl_seconds: Annotated[int, Meta(ge=1, le=MAX_TOKEN_SECONDS)] | UnsetType = UNSET


class TokenAnswer(Answer, kw_only=True):
    """A signed token and when it ends."""

    token: str
    expires_at_ms: int


class MessagesIn(Answer, kw_only=True):
    """Messages, signals and sends that were taken, by the edge they came in at."""

    websocket: int
    http: int


class SchemaRefusals(Answer, kw_only=True):
    """How often something did not fit its schema. kind: `message`, `signal` or `state`; name: null for those that the
    room type has no schema for.
    """

    room_type: str
    kind: str
    name: str | None
    count: int


class UsagePoint(Answer, kw_only=True):
    """What was used in the minute, hour or day (of UTC) that begins at `starts_at_ms`; the last minutes still grow.

    peak_connections: in the second in which most were open, on all nodes. deliveries: what sockets were handed of
    rooms, and of sends to users. bytes_in: payloads from sockets, and bodies of requests; bytes_out: frames to sockets,
    and bodies of answers. refused: commands and requests by code; refused_by_schema: what makes up its `schema`.
    history_bytes: the most that histories took of Redis.
    """

    starts_at_ms: int
    peak_connections: int
    connection_minutes: float
    messages_in: MessagesIn
    deliveries: int
    bytes_in: int
    bytes_out: int
    api_requests: int
    refused: dict[str, int]
    refused_by_schema: list[SchemaRefusals]
    peak_rooms: int
    history_bytes: int


class UsagePage(Answer, kw_only=True):
    """One page of what was used, ascending; spans of time in which nothing was are left out."""

    items: list[UsagePoint]
    next_cursor: str | None = None


class StatsPoint(Answer, kw_only=True):
    """One second, over all nodes: open connections; messages taken, deliveries, bytes and refusals by code.

    p50_ms, p99_ms: from Redis' stamp of a message to the sockets' outboxes, rounded up to the next of 1, 2, 3, 4, 5, 7,
    10, 15 … 5,000 ms; taken of up to 100 deliveries of a tenant and node, null without any.
    """

    at_ms: int
    connections: int
    publishes: int
    deliveries: int
    bytes_in: int
    bytes_out: int
    refused: dict[str, int]
    p50_ms: float | None
    p99_ms: float | None


class Stats(Answer, kw_only=True):
    """The last seconds, ascending, one point for each, up to two seconds ago."""

    items: list[StatsPoint]


class RedisDetail(Answer, kw_only=True):
    """Redis as the node that answers sees it; of a Cluster, the primary that keeps the nodes' leases.

    latency_ms: of one command, there and back. max_memory_bytes: null where there is no bound.
    """

    version: str
    role: str
    replicas: int
    memory_bytes: int
    max_memory_bytes: int | None
    latency_ms: float


class Health(Answer, kw_only=True):
    """Whether the node is alive, or ready for traffic; one that is not answers with a problem."""

    status: Literal["ok"] = "ok"
