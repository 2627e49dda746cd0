"""A tenant's contract: all of its room types with their schemas, as one thing that has versions."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from service.protocol.errors import Conflict, Invalid, TooLarge, TooMany
from service.tenants.limits import Limits
from service.tenants.room_types import JsonSchema, RoomType, RoomTypes
from service.tenants.schemas import path_to

# Each is a line of its own in usage, and a validator on every node that meets its messages.
MAX_SCHEMAS: Final = 1_000


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All room types of a tenant by name.

    version: counts the changes of any of them, 0 before the first; None: not said.
    """

    version: int | None = None
    room_types: dict[str, RoomType] = {}


def admit_room_types(room_types: Mapping[str, RoomType], limits: Limits) -> dict[str, RoomType]:
    """The types as they may be in force together, with their patterns; what their schemas hold is not looked at.

    Raises Invalid, Conflict (two with one pattern), TooMany (`max_room_types`), TooLarge (`max_contract_bytes`).
    """
    most = limits.max_room_types
    if most is not None and len(room_types) > most:
        raise TooMany("max_room_types", "tenant")
    admitted: dict[str, RoomType] = {}
    owners: dict[str, str] = {}
    for name, room_type in room_types.items():
        path = path_to("$.room_types", [name])
        try:
            admitted[name] = RoomTypes().admit(name, room_type, limits)
        except Invalid as error:
            raise Invalid(error.message, f"{path}{(error.path or '$')[1:]}") from None
        owner = owners.setdefault(admitted[name].pattern, name)
        if owner != name:
            raise Conflict(f"the room type {owner} has the pattern {admitted[name].pattern} already")
    check_size(admitted, limits)
    return admitted


def check_size(room_types: Mapping[str, RoomType], limits: Limits) -> None:
    """Raises TooLarge (`max_contract_bytes`), Invalid for more than MAX_SCHEMAS."""
    if sum(1 for each in room_types.values() for _ in schemas_of(each)) > MAX_SCHEMAS:
        raise Invalid(f"a contract has {MAX_SCHEMAS:,} schemas at most", "$.room_types")
    most = limits.max_contract_bytes
    try:
        if most is not None and len(msgspec.json.encode(room_types)) > most:
            raise TooLarge("max_contract_bytes", most)
    except (msgspec.MsgspecError, UnicodeEncodeError, OverflowError, RecursionError, ValueError):
        raise Invalid("the schemas are no JSON", "$.room_types") from None


def schemas_of(room_type: RoomType) -> Iterator[tuple[list[str | int], JsonSchema]]:
    """Each schema of a type, with the place at which it stands in it."""
    for kind, by_name in (("messages", room_type.messages), ("signals", room_type.signals)):
        for name, schema in by_name.items():
            yield [kind, name], schema
    if room_type.state is not None:
        yield ["state"], room_type.state
