"""What a room type lets through: `data` and `state` held against its schemas, each compiled when it is first needed."""

from typing import Literal

from service.protocol.errors import RoomcastError, SchemaMismatch
from service.tenants.minute_usage import schema_key
from service.tenants.room_types import JsonSchema, RoomType
from service.tenants.schemas import SchemaCheck

Kind = Literal["message", "signal", "state"]


class RoomSchemas:
    """The schemas of one room type, as one snapshot of its tenant has them.

    A schema was compiled in a time box before it was saved (`tenants/schema_probe.py`), so that compiling it here, when
    its first message comes, holds the loop for no more than some milliseconds.
    """

    __slots__ = ("_compiled", "_room_type", "_type_name")

    def __init__(self, type_name: str, room_type: RoomType) -> None:
        self._type_name = type_name
        self._room_type = room_type
        self._compiled: dict[tuple[Kind, str | None], SchemaCheck] = {}

    def check(self, kind: Kind, name: str | None, value: bytes, room: str) -> bytes:
        """The value as it goes on: written anew where it has a schema, else as it came.

        Raises SchemaMismatch, and TooLarge for a value whose check could take too long.
        """
        check = self._compiled.get((kind, name))
        if check is None:
            check = self._compile(kind, name)
            if check is None:
                if self._room_type.additional == "refuse" and kind != "state":
                    raise SchemaMismatch(f"rooms of this type have no {kind} of this name", "$.name", room)
                return value
        try:
            return check.check(value, "$.state" if kind == "state" else "$.data")
        except RoomcastError as error:
            error.room = room
            raise

    def key(self, kind: Kind, name: str | None) -> str:
        """Under what a refusal is counted; all names that have no schema are one, as clients choose them."""
        return schema_key(self._type_name, kind, None if self._find(kind, name) is None else name)

    def _find(self, kind: Kind, name: str | None) -> JsonSchema | None:
        if kind == "state":
            return self._room_type.state
        by_name = self._room_type.messages if kind == "message" else self._room_type.signals
        return None if name is None else by_name.get(name)

    def _compile(self, kind: Kind, name: str | None) -> SchemaCheck | None:
        schema = self._find(kind, name)
        if schema is None:
            return None
        check = self._compiled[kind, name] = SchemaCheck(schema)
        return check


def make_schemas(type_name: str, room_type: RoomType) -> RoomSchemas | None:
    """The schemas of a type; None where all passes unchecked, which must cost nothing."""
    has_any = room_type.messages or room_type.signals or room_type.state is not None
    return RoomSchemas(type_name, room_type) if has_any or room_type.additional == "refuse" else None
