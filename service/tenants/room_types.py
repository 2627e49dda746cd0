"""Room types: a tenant's rules for the rooms whose names match a pattern (PROTOCOL.md, "Words")."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from service.protocol.administration import ROOM_TYPE_NAME_PATTERN
from service.protocol.errors import Conflict, Invalid
from service.protocol.identifiers import MESSAGE_NAME_PATTERN, RoomPattern
from service.tenants.limits import ROOM_HISTORY_MESSAGES, ROOM_HISTORY_SECONDS, Limits

# The type of all rooms that no other type's pattern matches.
DEFAULT_NAME = "default"
DEFAULT_PATTERN = "*"

SlowConsumer = Literal["disconnect", "drop_oldest", "latest_by_name"]
Acknowledge = Literal["stored", "replicated"]
Additional = Literal["allow", "refuse"]
# A JSON Schema, draft 2020-12, in the bounds of `schemas.check_schema`.
JsonSchema = dict[str, Any]
SchemaName = Annotated[str, Meta(pattern=MESSAGE_NAME_PATTERN)]

# JSON numbers above this are no longer exact in every reader (RFC 8259, section 6).
_Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Positive = Annotated[int, Meta(ge=1, le=2**53 - 1)]
_Grace = Annotated[float, Meta(ge=0, le=300)]


def _says(description: str) -> Meta:
    return Meta(description=description)


_name = re.compile(ROOM_TYPE_NAME_PATTERN)


class RoomType(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One room type as its tenant wrote it; None: the tenant's limit alone counts, for history the default.

    An empty pattern stands for the type's own name.
    """

    pattern: RoomPattern = ""
    history_messages: Annotated[
        _Count | None, _says(f"How many messages a room keeps at least, {ROOM_HISTORY_MESSAGES} by default; 0: none.")
    ] = None
    history_seconds: Annotated[
        _Count | None,
        _says(f"How long after its last message a room keeps them, {ROOM_HISTORY_SECONDS} by default; 0: not at all."),
    ] = None
    presence: Annotated[bool, _says("Whether members can be listed and watched.")] = True
    presence_grace_seconds: Annotated[_Grace, _says("How long a lost socket's member stays.")] = 3.0
    slow_consumer: Annotated[
        SlowConsumer,
        _says(
            "What becomes of a socket that takes too little: it is closed (4450), or the room's oldest messages "
            "that wait for it are left out, or first those that a later one of their name follows. A `gap` says so."
        ),
    ] = "disconnect"
    max_members: Annotated[_Count | None, _says("Connections in one room, on all nodes.")] = None
    messages_per_second: Annotated[_Positive | None, _says("Messages and signals in one room, on all nodes.")] = None
    max_message_bytes: Annotated[_Positive | None, _says("`data` of one message or signal, as JSON.")] = None
    acknowledge: Annotated[
        Acknowledge,
        _says(
            "When a publish is answered: once Redis has stored it, or only when all replicas have it, too. With fewer "
            "than all in reach the answer comes within 1 s, and is `unavailable`, outcome unknown."
        ),
    ] = "stored"
    messages: Annotated[dict[SchemaName, JsonSchema], _says("JSON Schemas of `data`, by a message's `name`.")] = {}
    signals: Annotated[dict[SchemaName, JsonSchema], _says("JSON Schemas of `data`, by a signal's `name`.")] = {}
    state: Annotated[JsonSchema | None, _says("The JSON Schema of members' `state`; null: any.")] = None
    additional: Annotated[
        Additional,
        _says("Whether messages and signals with other names, or none, pass unchecked or are refused (`schema`)."),
    ] = "allow"


DEFAULT = RoomType(pattern=DEFAULT_PATTERN)


class RoomTypes:
    """A tenant's room types by name, ready to be looked up by a room's name. Immutable.

    types: name to type, each with its pattern.
    """

    __slots__ = ("_exact", "_lengths", "_prefixes", "types")

    def __init__(self, types: Mapping[str, RoomType] = MappingProxyType({})) -> None:
        self.types: Mapping[str, RoomType] = MappingProxyType(
            {name: _with_pattern(name, room_type) for name, room_type in types.items()}
        )
        found = {room_type.pattern: (name, room_type) for name, room_type in self.types.items()}
        self._exact = {pattern: item for pattern, item in found.items() if not pattern.endswith("*")}
        self._prefixes = {pattern[:-1]: item for pattern, item in found.items() if pattern.endswith("*")}
        self._lengths = tuple(sorted({len(prefix) for prefix in self._prefixes}, reverse=True))

    def find(self, room: str) -> tuple[str, RoomType]:
        """The name and the type of a room: by its exact name, else by the longest prefix, else the default."""
        found = self._exact.get(room)
        if found is not None:
            return found
        for length in self._lengths:
            if length <= len(room) and (found := self._prefixes.get(room[:length])) is not None:
                return found
        return DEFAULT_NAME, DEFAULT

    def admit(self, name: str, room_type: RoomType, limits: Limits) -> RoomType:
        """The type as it may be put under `name`, with its pattern.

        Raises Invalid for a name, pattern or history that cannot be, Conflict if another type has the pattern.
        """
        if _name.search(name) is None:
            raise Invalid("a room type's name is 1-64 letters, digits and _ . : * -", "$.name")
        admitted = _with_pattern(name, room_type)
        try:
            msgspec.convert(admitted.pattern, RoomPattern)
        except msgspec.ValidationError:
            raise Invalid("a pattern is a room's name, or its beginning and a final *", "$.pattern") from None
        if name == DEFAULT_NAME and admitted.pattern != DEFAULT_PATTERN:
            raise Invalid(f"the pattern of {DEFAULT_NAME} is {DEFAULT_PATTERN}", "$.pattern")
        _check_history("history_messages", admitted.history_messages, limits.max_history_messages)
        _check_history("history_seconds", admitted.history_seconds, limits.max_history_seconds)
        for other, taken in self.types.items():
            if other != name and taken.pattern == admitted.pattern:
                raise Conflict(f"the room type {other} has the pattern {taken.pattern} already")
        return admitted


def _with_pattern(name: str, room_type: RoomType) -> RoomType:
    if room_type.pattern:
        return room_type
    return msgspec.structs.replace(room_type, pattern=DEFAULT_PATTERN if name == DEFAULT_NAME else name)


def _check_history(field: str, wanted: int | None, allowed: int | None) -> None:
    if wanted is not None and allowed is not None and wanted > allowed:
        raise Invalid(f"{field} is above the tenant's max_{field}: {allowed}", f"$.{field}")
