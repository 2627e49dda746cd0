"""What one tenant may use: the limits of PROTOCOL.md's last table, and the bucket that holds a rate."""

import math
import random
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.protocol.errors import Invalid

# A frame carries one message and what stands around it: room, name, key, id, and MessagePack's or JSON's own bytes.
FRAME_OVERHEAD_BYTES = 8_192

# What a room keeps as long as its room type asks for nothing else; a tenant's maximum below that wins.
ROOM_HISTORY_MESSAGES = 100
ROOM_HISTORY_SECONDS = 300

# Of those who are turned away nobody is sent away for longer (RELIABILITY.md: 5,000 clients are back within 30 s).
MAX_APPOINTMENT_SECONDS: Final = 25.0

# JSON numbers above this are no longer exact in every reader (RFC 8259, section 6).
_Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Positive = Annotated[int, Meta(ge=1, le=2**53 - 1)]


def _says(description: str, unit: str, over: str, default: str | None = None) -> Meta:
    """The words of one limit: for the schema (description) and for the table in the docs (unit, over it)."""
    return Meta(description=description, extra={"unit": unit, "over": over, "default": default})


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One tenant's limits; None is no limit. What equals the default is not stored, so a new default reaches it."""

    max_message_bytes: Annotated[
        _Positive | None,
        _says("`data` of one message, as JSON. 64 KiB: chat and state fit, files do not.", "bytes", "`too_large`"),
    ] = 65_536
    max_frame_bytes: Annotated[
        _Positive | UnsetType | None,
        _says(
            "One frame or body with all around the message. Follows `max_message_bytes` unless it is set.",
            "bytes",
            "1009; HTTP 413",
            f"`max_message_bytes` + {FRAME_OVERHEAD_BYTES:,}",
        ),
    ] = UNSET
    max_state_bytes: Annotated[
        _Positive | None,
        _says("A member's `state`, as JSON. Small, as every watcher gets it.", "bytes", "`too_large`"),
    ] = 1_024
    max_connections: Annotated[
        _Count | None,
        _says("Open sockets of the tenant on all nodes. About 80 MB of one node's memory.", "sockets", "429, 4429"),
    ] = 10_000
    max_connections_per_user: Annotated[
        _Count | None,
        _says("Open sockets of one user: devices and tabs, not a crowd under one name.", "sockets", "429, 4429"),
    ] = 20
    max_rooms_per_connection: Annotated[
        _Count | None, _says("Rooms that one connection has joined at a time.", "rooms", "`too_many`")
    ] = 100
    max_rooms: Annotated[_Count | None, _says("Occupied rooms of the tenant on all nodes.", "rooms", "`too_many`")] = (
        100_000
    )
    max_members_per_room: Annotated[
        _Count | None,
        _says("Connections in one room: each publish is delivered that often.", "connections", "`too_many`"),
    ] = 10_000
    max_history_messages: Annotated[
        _Count | None,
        _says(
            f"What a room may keep at most; 0 keeps none. A room's own default is {ROOM_HISTORY_MESSAGES}.",
            "messages",
            "refused when set",
        ),
    ] = 1_000
    max_history_seconds: Annotated[
        _Positive | None,
        _says(
            f"How long a room may keep at most, from its last message. A room's own default is {ROOM_HISTORY_SECONDS}.",
            "seconds",
            "refused when set",
        ),
    ] = 86_400
    max_history_bytes: Annotated[
        _Count | None,
        _says(
            "Redis memory of all the tenant's histories, so that no tenant fills it for the others.",
            "bytes",
            "oldest rooms' history is cut first, told as `gap` `limit`",
        ),
    ] = 64 * 1024 * 1024
    connects_per_second: Annotated[
        _Positive | None,
        _says("New sockets of the tenant. 10,000 clients are back within 100 s.", "per second", "429, 4429"),
    ] = 100
    commands_per_second: Annotated[
        _Positive | None,
        _says("Commands of one connection; twice that at once.", "per second", "`rate_limited`"),
    ] = 50
    publishes_per_second: Annotated[
        _Positive | None, _says("Messages published by the whole tenant.", "per second", "`rate_limited`")
    ] = 1_000
    deliveries_per_second: Annotated[
        _Positive | None,
        _says(
            "Messages times their rooms' connections: a publish is refused, a delivery never dropped.",
            "per second",
            "`rate_limited`",
        ),
    ] = 100_000
    api_requests_per_second: Annotated[
        _Positive | None, _says("REST requests of the tenant's servers.", "per second", "`rate_limited`")
    ] = 100
    max_api_keys: Annotated[
        _Count | None, _says("API keys that are neither revoked nor expired.", "keys", "`too_many`")
    ] = 100
    max_signing_keys: Annotated[
        _Count | None,
        _says(
            "Signing keys that are neither revoked nor expired: each snapshot of the tenant holds all.",
            "keys",
            "`too_many`",
        ),
    ] = 20
    max_room_types: Annotated[
        _Count | None,
        _says("Room types: each node holds all of them in memory.", "room types", "`too_many`"),
    ] = 100
    max_contract_bytes: Annotated[
        _Count | None,
        _says("All room types with their schemas, as JSON: each node holds them in memory.", "bytes", "`too_large`"),
    ] = 1024 * 1024

    @property
    def frame_bytes(self) -> int | None:
        """The frame limit in force: the one that was set, else the message's and what stands around it."""
        return frame_bytes(self)


def frame_bytes(limits: Limits) -> int | None:
    """The frame limit in force in bytes; None: no limit."""
    if limits.max_frame_bytes is not UNSET:
        return limits.max_frame_bytes
    return None if limits.max_message_bytes is None else limits.max_message_bytes + FRAME_OVERHEAD_BYTES


def parse_limit(text: str) -> tuple[str, int | None]:
    """`NAME=VALUE` of a command line, VALUE digits or `none`, as (name, value). Raises Invalid with the remedy."""
    name, separator, value = text.partition("=")
    if not separator:
        raise Invalid(f"{text!r} is not NAME=VALUE", "$.limits")
    _check_name(name)
    if value == "none":
        return name, None
    # int() would also take "1_000", " 7 " and digits of other scripts.
    if not re.fullmatch(r"[0-9]{1,16}", value, re.ASCII):
        raise Invalid(f"the limit {name} takes a whole number or none, not {value!r}", f"$.limits.{name}")
    apply_limits(Limits(), {name: int(value)})
    return name, int(value)


def apply_limits(limits: Limits, changes: Mapping[str, Any]) -> Limits:
    """`limits` with `changes` over them. Raises Invalid for an unknown name or a value that does not fit it."""
    for name in changes:
        _check_name(name)
    try:
        return msgspec.convert(msgspec.to_builtins(limits) | dict(changes), Limits)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at ")
        name = path.strip("`").removeprefix("$.")
        raise Invalid(f"the limit {name} does not fit: {sentence}", f"$.limits.{name}") from None


def _check_name(name: str) -> None:
    if name not in Limits.__struct_fields__:
        name, known = name[:64], ", ".join(Limits.__struct_fields__)
        raise Invalid(f"there is no limit {name!r}; the limits are {known}", f"$.limits.{name}")


def limits_table() -> str:
    """The limits as a table in Markdown, for the docs: name, default, unit, what happens over it, and why."""
    rows = ["| limit | default | unit | over it | what and why |", "|---|---|---|---|---|"]
    for field in msgspec.structs.fields(Limits):
        meta = _meta(field.type)
        extra = meta.extra or {}
        default = extra["default"] or f"{field.default:,}"
        rows.append(f"| `{field.name}` | {default} | {extra['unit']} | {extra['over']} | {meta.description} |")
    return "\n".join(rows) + "\n"


def _meta(annotation: Any) -> Meta:
    meta: Meta = annotation.__metadata__[-1]  # every field above is made with _says
    return meta


class Appointments:
    """When those who are turned away may come again: each at a time of its own, as fast as a rate lets them in.

    Told the same time, a thousand clients would all come back in that moment, and be turned away again.
    """

    __slots__ = ("_last_at",)

    def __init__(self) -> None:
        self._last_at = 0.0

    def make(self, rate_per_second: float, now: float) -> int:
        """In how many milliseconds the next one may come. `now`: monotonic seconds."""
        self._last_at = max(self._last_at, now) + 1 / rate_per_second
        seconds = self._last_at - now
        if seconds > MAX_APPOINTMENT_SECONDS:
            self._last_at = now + MAX_APPOINTMENT_SECONDS
            seconds = random.uniform(0.5, 1.0) * MAX_APPOINTMENT_SECONDS  # noqa: S311 - no secret
        return max(1, math.ceil(seconds * 1000))


class TokenBucket:
    """A rate with a burst; None as rate is no limit. Pure: the caller passes `now` (monotonic seconds).

    A cost above the burst is granted when the bucket is full, and leaves a debt: a publish into a room larger than a
    tenant's burst of deliveries is slowed, not impossible. tokens: what was left when it was last looked at.
    """

    __slots__ = ("_burst", "_filled_at", "rate_per_second", "tokens")

    def __init__(self, rate_per_second: float | None, burst: float, now: float) -> None:
        self.rate_per_second = rate_per_second
        self._burst = burst
        self.tokens = burst
        self._filled_at = now

    def take(self, cost: float, now: float) -> int:
        """Take `cost` and return 0, or take nothing and return the milliseconds (at least 1) until it is there."""
        rate = self.rate_per_second
        if rate is None:
            return 0
        tokens = self.tokens + (now - self._filled_at) * rate
        burst = self._burst
        if tokens > burst:
            tokens = burst
        self._filled_at = now
        needed = cost if cost < burst else burst
        if tokens >= needed:
            self.tokens = tokens - cost
            return 0
        self.tokens = tokens
        return max(1, math.ceil((needed - tokens) / rate * 1000))

    def debit(self, cost: float) -> None:
        """Take `cost` whether or not it is there: what has happened already, told afterwards. May leave a debt."""
        if self.rate_per_second is not None:
            self.tokens -= cost

    def reconfigure(self, rate_per_second: float | None, burst: float) -> None:
        """New limits from now on; what is left is kept, up to the new burst, and so is a debt."""
        self.rate_per_second = rate_per_second
        self._burst = burst
        self.tokens = min(self.tokens, burst)
