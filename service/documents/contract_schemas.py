"""A contract's schemas as named components: what both the documents and the generated types are made of.

Each gets a name that every language takes (`ChatSaid` for the message `said` of the room type `chat`); what stands in
`$defs` becomes a component of its own (`ChatSaidAuthor`), and references lead there.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from service.documents.subschemas import Schema, map_subschemas
from service.tenants.contract import Contract
from service.tenants.room_types import RoomTypes
from service.tenants.schemas import compile_schema

REFERENCE: Final = "#/components/schemas/"
_DEFINITIONS: Final = ("$defs", "definitions")
_LOCAL_WORDS: Final = frozenset(
    {"$schema", "$id", "$anchor", "$dynamicAnchor", "$comment", "$vocabulary", *_DEFINITIONS}
)


class RoomSchemas(NamedTuple):
    """One room type; messages and signals by their name, each with the name of its component."""

    room_type: str
    pattern: str
    messages: Mapping[str, str]
    signals: Mapping[str, str]
    state: str | None
    allows_others: bool


class ContractSchemas(NamedTuple):
    """All room types by name, in order, and the schemas by their components' names, each after its own room type."""

    version: int | None
    rooms: list[RoomSchemas]
    schemas: dict[str, Schema]


def gather_schemas(contract: Contract, taken: Iterable[str] = ()) -> ContractSchemas:
    """Name every schema of a contract. `taken`: names that others have. The same contract gives the same names."""
    names = Names(taken)
    schemas: dict[str, Schema] = {}
    rooms = []
    for name, room_type in sorted(RoomTypes(contract.room_types).types.items()):
        of_type = pascal(name)
        wanted = [(f"{of_type}{pascal(message)}", schema) for message, schema in sorted(room_type.messages.items())]
        wanted += [(f"{of_type}{pascal(signal)}Signal", schema) for signal, schema in sorted(room_type.signals.items())]
        wanted += [] if room_type.state is None else [(f"{of_type}State", room_type.state)]
        given = [names.give(suggested) for suggested, _ in wanted]
        for component, (_, schema) in zip(given, wanted, strict=True):
            schemas |= _components(component, _with_true_examples(schema), names)
        ready = iter(given)
        rooms.append(
            RoomSchemas(
                room_type=name,
                pattern=room_type.pattern,
                messages={message: next(ready) for message in sorted(room_type.messages)},
                signals={signal: next(ready) for signal in sorted(room_type.signals)},
                state=next(ready, None),
                allows_others=room_type.additional == "allow",
            )
        )
    return ContractSchemas(contract.version, rooms, schemas)


def pascal(text: str) -> str:
    """`user-joined` as `UserJoined`; what is no letter or digit of ASCII parts words, other letters are told by number.

    Never empty, and begins with a letter.
    """
    words = re.split(r"[^0-9A-Za-z]+", re.sub(r"[^\x00-\x7f]", lambda found: f" U{ord(found[0]):X} ", text))
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"Any{joined}"


class Names:
    """Gives each name once; a second one gets a number behind it."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def give(self, wanted: str) -> str:
        """The name that is wanted, or one like it."""
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}{number}"
        self._taken.add(name)
        return name


def _components(name: str, schema: Schema, names: Names) -> dict[str, Schema]:
    """The schema under its name, and each of its definitions under one of its own."""
    definitions = {
        f"#/{word}/{escape_pointer(key)}": (names.give(f"{name}{pascal(key)}"), definition)
        for word in _DEFINITIONS
        for key, definition in sorted(schema.get(word, {}).items())
    }
    targets = {pointer: component for pointer, (component, _) in definitions.items()}
    resolve = partial(_resolve, name, targets)
    found = {name: {"title": name, **resolve(schema)}}
    return found | {
        component: {"title": component, **_as_object(resolve(each))} for component, each in definitions.values()
    }


def _with_true_examples(schema: Schema) -> Schema:
    """The schema with those of its examples that it takes; JSON Schema does not ask it of them."""
    examples = schema.get("examples")
    if not isinstance(examples, list):
        return schema
    validator = compile_schema(schema, "$")
    return {**schema, "examples": [example for example in examples if validator.is_valid(example)]}


def escape_pointer(key: str) -> str:
    """A key as RFC 6901 writes it in a pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def _resolve(name: str, targets: Mapping[str, str], schema: Any) -> Any:
    """The schema with references to components, without words that only mean something in a document of its own."""
    if not isinstance(schema, dict):
        return schema
    kept = {word: value for word, value in schema.items() if word not in _LOCAL_WORDS}
    resolved = map_subschemas(kept, partial(_resolve, name, targets))
    reference = resolved.pop("$ref", None)
    resolved.pop("$dynamicRef", None)
    if isinstance(reference, str) and reference.startswith("#"):
        resolved["$ref"] = _target(name, targets, reference)
    return resolved


def _target(name: str, targets: Mapping[str, str], reference: str) -> str:
    for pointer, component in targets.items():
        if reference == pointer or reference.startswith(f"{pointer}/"):
            return f"{REFERENCE}{component}{reference.removeprefix(pointer)}"
    return f"{REFERENCE}{name}{reference.removeprefix('#')}"


def _as_object(schema: Any) -> Schema:
    """A schema that is true or false, as an object."""
    if isinstance(schema, dict):
        return schema
    return {} if schema else {"not": {}}
