"""What goes wrong: one class a code of docs/PROTOCOL.md ("Errors"), over sockets and REST alike; and our own."""

from typing import Any, Final

import msgspec
from msgspec import UnsetType

from roomcast_client.events import ErrorEvent

_FIELDS: Final = ("path", "room", "limit", "scope", "retry_after_ms", "incident")
_PROBLEM: Final = {"type", "title", "status", "detail", *_FIELDS}
_URN: Final = "urn:roomcast:error:"


class RoomcastError(Exception):
    """A refusal. `code` is the wire's; the optional fields are those of the `error` event.

    details: what else a problem body says, as the breaks of a contract that is refused.
    status: the HTTP status, None over sockets.
    """

    code = ""
    #: Whether the same request may succeed later.
    is_temporary = False

    def __init__(self, message: str, *, code: str = "", status: int | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.message = message
        self.status = status
        self.path: str | None = fields.get("path")
        self.room: str | None = fields.get("room")
        self.limit: str | None = fields.get("limit")
        self.scope: str | None = fields.get("scope")
        self.retry_after_ms: int | None = fields.get("retry_after_ms")
        self.incident: str | None = fields.get("incident")
        self.details: dict[str, Any] = fields.get("details", {})


class Malformed(RoomcastError):
    """Not JSON, bad UTF-8, or nested over 128 levels."""

    code = "malformed"


class Invalid(RoomcastError):
    """Does not fit its type; `path` says where."""

    code = "invalid"


class UnknownCommand(RoomcastError):
    """The server has no such command: it is older than this client."""

    code = "unknown_command"


class SchemaMismatch(RoomcastError):
    """Does not fit the room type's schema; `path` says where."""

    code = "schema"


class Unauthenticated(RoomcastError):
    """The token or key is missing, bad, expired or revoked."""

    code = "unauthenticated"


class Forbidden(RoomcastError):
    """The token, the key's scope or the tenant's state does not allow it."""

    code = "forbidden"


class NotJoined(RoomcastError):
    """A command that needs a joined room."""

    code = "not_joined"


class NotFound(RoomcastError):
    """No such thing in this tenant."""

    code = "not_found"


class NotAllowed(RoomcastError):
    """No such method on this path."""

    code = "not_allowed"


class Conflict(RoomcastError):
    """It exists already, or changed meanwhile."""

    code = "conflict"


class TooLarge(RoomcastError):
    """Over a size limit; `limit` names it."""

    code = "too_large"


class TooMany(RoomcastError):
    """Over a count limit; `limit` names it."""

    code = "too_many"


class RateLimited(RoomcastError):
    """Over a rate; again after `retry_after_ms`."""

    code = "rate_limited"
    is_temporary = True


class Unavailable(RoomcastError):
    """Redis or SQL out of reach, or the node draining."""

    code = "unavailable"
    is_temporary = True


class Internal(RoomcastError):
    """A bug of the server's; `incident` stands in its log."""

    code = "internal"


class QueueFull(RoomcastError):
    """More waits for the connection than the client's bounds allow; nothing was sent."""

    code = "queue_full"


class OutcomeUnknown(RoomcastError):
    """It was sent, no answer came, and to send it again would not be safe (any more)."""

    code = "outcome_unknown"


class NotConnected(RoomcastError):
    """What is never kept for later (a signal, a send) while there is no connection; nothing was sent."""

    code = "not_connected"
    is_temporary = True


class ClientClosed(RoomcastError):
    """The client is closed: by its owner, or for good by the server (the sentence says why)."""

    code = "closed"


_BY_CODE: Final = {
    kind.code: kind
    for kind in (
        *(Malformed, Invalid, UnknownCommand, SchemaMismatch, Unauthenticated, Forbidden, NotJoined, NotFound),
        *(NotAllowed, Conflict, TooLarge, TooMany, RateLimited, Unavailable, Internal),
    )
}


def refusal(event: ErrorEvent) -> RoomcastError:
    """The `error` event as an exception; a code that this version does not know is a plain RoomcastError."""
    fields = {name: value for name in _FIELDS if not isinstance(value := getattr(event, name), UnsetType)}
    return _BY_CODE.get(event.code, RoomcastError)(event.message, code=event.code, **fields)


def from_problem(status: int, body: bytes) -> RoomcastError:
    """An HTTP refusal as an exception: a problem body of ours, or whatever something in between has said."""
    try:
        problem = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        problem = {}
    said = str(problem.get("type", ""))
    if not said.startswith(_URN):
        kind = Unavailable if status in (502, 503, 504) else RoomcastError
        return kind(f"HTTP {status}", code=kind.code or f"http_{status}", status=status)
    code = said.removeprefix(_URN)
    fields = {name: problem[name] for name in _FIELDS if name in problem}
    details = {name: value for name, value in problem.items() if name not in _PROBLEM}
    kind = _BY_CODE.get(code, RoomcastError)
    return kind(str(problem.get("detail", code)), code=code, status=status, details=details, **fields)
