"""The one list of error codes and the one list of close codes, each saying what the client does next."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

ErrorCode = Literal[
    "malformed",
    "invalid",
    "unknown_command",
    "schema",
    "unauthenticated",
    "forbidden",
    "not_joined",
    "not_found",
    "not_allowed",
    "conflict",
    "too_large",
    "too_many",
    "rate_limited",
    "unavailable",
    "internal",
]


class ErrorKind(msgspec.Struct, frozen=True):
    """What an error code means over HTTP, and whether the same request may succeed later."""

    status: int
    title: str
    temporary: bool = False


ERROR_KINDS: dict[ErrorCode, ErrorKind] = {
    "malformed": ErrorKind(400, "Not JSON or MessagePack"),
    "invalid": ErrorKind(400, "Does not fit its type"),
    "unknown_command": ErrorKind(400, "No such command"),
    "schema": ErrorKind(422, "Does not fit the room's schema"),
    "unauthenticated": ErrorKind(401, "Token or key is missing or not valid"),
    "forbidden": ErrorKind(403, "Not allowed"),
    "not_joined": ErrorKind(409, "The room is not joined"),
    "not_found": ErrorKind(404, "Not found"),
    "not_allowed": ErrorKind(405, "Method not allowed"),
    "conflict": ErrorKind(409, "Exists already, or changed meanwhile"),
    "too_large": ErrorKind(413, "Over a size limit"),
    "too_many": ErrorKind(429, "Over a count limit"),
    "rate_limited": ErrorKind(429, "Over a rate limit", temporary=True),
    "unavailable": ErrorKind(503, "Out of reach for the moment", temporary=True),
    "internal": ErrorKind(500, "A bug of ours"),
}

# Commands that were refused for these codes count towards the flood limit (100 in 10 s); the others do not.
BAD_COMMAND_CODES: frozenset[ErrorCode] = frozenset({"malformed", "invalid", "unknown_command"})


class RoomcastError(Exception):
    """A refusal with its code. Subclasses take data and compose the sentence."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        path: str | None = None,
        room: str | None = None,
        limit: str | None = None,
        scope: str | None = None,
        retry_after_ms: int | None = None,
        incident: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message
        self.path = path
        self.room = room
        self.limit = limit
        self.scope = scope
        self.retry_after_ms = retry_after_ms
        self.incident = incident


class Malformed(RoomcastError):
    """Bytes that are no JSON or MessagePack, bad UTF-8, or nesting over 128 levels."""

    def __init__(self, message: str) -> None:
        super().__init__("malformed", message)


class Invalid(RoomcastError):
    """Well-formed, but not of the type that is wanted; `path` says where (`$.room`)."""

    def __init__(self, message: str, path: str = "$") -> None:
        super().__init__("invalid", message, path=path)


class UnknownCommand(RoomcastError):
    """No command has this `type`."""

    def __init__(self) -> None:
        super().__init__("unknown_command", "there is no command of this type", path="$.type")


class SchemaMismatch(RoomcastError):
    """What a client sent does not fit the room type's schema for it; nothing was stored."""

    def __init__(self, message: str, path: str, room: str | None = None) -> None:
        super().__init__("schema", message, path=path, room=room)


class Unauthenticated(RoomcastError):
    """The token or key is missing, bad, expired or revoked."""

    def __init__(self, message: str = "the token is not valid") -> None:
        super().__init__("unauthenticated", message)


class Forbidden(RoomcastError):
    """The token, the key's scope, the tenant's state or this version does not allow it."""

    def __init__(self, message: str, room: str | None = None) -> None:
        super().__init__("forbidden", message, room=room)


class NotJoined(RoomcastError):
    """The command needs a joined room."""

    def __init__(self, room: str) -> None:
        super().__init__("not_joined", f"join {room} first", room=room)


class NotFound(RoomcastError):
    """No such thing in this tenant."""

    def __init__(self, what: str) -> None:
        super().__init__("not_found", f"no such {what}")


class Conflict(RoomcastError):
    """It exists already, or changed meanwhile."""

    def __init__(self, message: str) -> None:
        super().__init__("conflict", message)


class Break(msgspec.Struct, frozen=True):
    """One change of a contract that breaks clients, and where."""

    path: str
    change: str


class BreakingChange(Conflict):
    """A contract that breaks clients, which was not asked for. breaks: some of them, `count` in all."""

    def __init__(self, breaks: Sequence[Break], count: int) -> None:
        first = f"{breaks[0].path}: {breaks[0].change}" if breaks else ""
        super().__init__(f"{count} changes break clients of the contract in force, unless they are meant; {first}")
        self.breaks = list(breaks)


class TooLarge(RoomcastError):
    """Over a size limit; `scope` says whose: the tenant's, or a room's by its type."""

    def __init__(
        self, limit: str, allowed_bytes: int, *, scope: str = "tenant", path: str | None = None, room: str | None = None
    ) -> None:
        sentence = f"over {limit}: {allowed_bytes} bytes"
        self.allowed_bytes = allowed_bytes
        super().__init__("too_large", sentence, limit=limit, scope=scope, path=path, room=room)


class TooMany(RoomcastError):
    """Over a count limit; `scope` says whose: connection, user, room, tenant or address."""

    def __init__(self, limit: str, scope: str, *, room: str | None = None) -> None:
        super().__init__("too_many", f"the {scope} is at its limit {limit}", limit=limit, scope=scope, room=room)


class RateLimited(RoomcastError):
    """Over a rate; the same is welcome after `retry_after_ms`."""

    def __init__(self, limit: str, scope: str, retry_after_ms: int, *, room: str | None = None) -> None:
        sentence = f"the {scope} is over {limit}: try again in {retry_after_ms} ms"
        super().__init__("rate_limited", sentence, limit=limit, scope=scope, retry_after_ms=retry_after_ms, room=room)


class Unavailable(RoomcastError):
    """Redis or SQL is out of reach. `message` says when it is unknown whether something was stored."""

    def __init__(self, message: str, *, retry_after_ms: int | None = None, room: str | None = None) -> None:
        super().__init__("unavailable", message, retry_after_ms=retry_after_ms, room=room)


class Internal(RoomcastError):
    """A bug; `incident` stands in the log too."""

    def __init__(self, incident: str) -> None:
        super().__init__("internal", f"this is a bug of ours: incident {incident}", incident=incident)


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


Value = TypeVar("Value", str, int)


def _or_unset(value: Value | None) -> Value | UnsetType:
    return UNSET if value is None else value


def problem(error: RoomcastError, status: int | None = None) -> Problem:
    """The problem body of an error; `status` overrides the code's own (426 and 431 have no code of theirs)."""
    kind = ERROR_KINDS[error.code]
    return Problem(
        type=f"urn:roomcast:error:{error.code}",
        title=kind.title,
        status=status or kind.status,
        detail=error.message,
        path=_or_unset(error.path),
        room=_or_unset(error.room),
        limit=_or_unset(error.limit),
        scope=_or_unset(error.scope),
        retry_after_ms=_or_unset(error.retry_after_ms),
        incident=_or_unset(error.incident),
        breaks=error.breaks if isinstance(error, BreakingChange) else UNSET,
    )


class CloseCode(IntEnum):
    """Why a socket was closed; `RECONNECTS` says what the client does next."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_DATA = 1007
    FLOOD = 1008
    TOO_LARGE = 1009
    INTERNAL = 1011
    RESTART = 1012
    OVERLOADED = 1013
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    NO_PONG = 4408
    DISCONNECTED = 4409
    TOO_MANY = 4429
    SLOW_CONSUMER = 4450


# Whether `closing` tells the client to come back (true also where a new token is needed). DISCONNECTED is as asked.
RECONNECTS: frozenset[int] = frozenset(
    {
        CloseCode.GOING_AWAY,
        CloseCode.INTERNAL,
        CloseCode.RESTART,
        CloseCode.OVERLOADED,
        CloseCode.UNAUTHENTICATED,
        CloseCode.NO_PONG,
        CloseCode.TOO_MANY,
        CloseCode.SLOW_CONSUMER,
    }
)
