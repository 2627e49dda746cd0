"""JSON Schemas of the Structs in the shape that generators of clients want.

msgspec writes `anyOf` for tagged unions, `enum` of one value for tags and `anyOf` with null for what may be null.
Generators make classes, constants and optionals of `oneOf` with a discriminator, `const` and a list of types. An
integer without a format is one of 32 bits to most of them, which no instant in milliseconds fits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from service.protocol.identifiers import CommandId

_REFERENCE = "#/components/schemas/{name}"
_ID = "CommandId"
_LARGEST_INT32 = 2**31 - 1


def component_schemas(
    types: Sequence[Any], unions: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The schema of each of `types`, and all components that they refer to. A type in `unions` is a reference to it."""
    named = list(unions)
    schemas, components = msgspec.json.schema_components([*types, *unions.values()], ref_template=_REFERENCE)
    shaped = [_shape(schema) for schema in schemas]
    found = {name: _shape(schema) for name, schema in components.items()}
    found.update(zip(named, shaped[len(types) :], strict=True))
    _name_ids(found)
    references = [
        next(({"$ref": _REFERENCE.format(name=name)} for name in named if unions[name] == wanted), schema)
        for wanted, schema in zip(types, shaped, strict=False)
    ]
    return references, dict(sorted(found.items()))


def _name_ids(components: dict[str, dict[str, Any]]) -> None:
    """One component for the `id` of commands and replies: generators make a class of each union, and need its name."""
    anonymous = _shape(msgspec.json.schema(CommandId))
    for component in list(components.values()):
        properties = component.get("properties", {})
        if properties.get("id") == anonymous:
            properties["id"] = {"$ref": _REFERENCE.format(name=_ID)}
            components[_ID] = {"title": _ID, "description": "What a command's reply repeats.", **anonymous}


def _shape(schema: Any) -> Any:
    """The same schema in the generators' shape; whole trees."""
    if isinstance(schema, list):
        return [_shape(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    shaped = {name: _shape(value) for name, value in schema.items()}
    if "discriminator" in shaped:
        shaped["oneOf"] = shaped.pop("anyOf")
    values = shaped.get("enum")
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        shaped["type"] = "string"
        if len(values) == 1:
            shaped["const"] = shaped.pop("enum")[0]
    return _with_width(_merge_null(shaped))


def _with_width(schema: dict[str, Any]) -> dict[str, Any]:
    """An integer that may pass 32 bits says so."""
    is_integer = schema.get("type") in ("integer", ["integer", "null"])
    if is_integer and "format" not in schema and schema.get("maximum", _LARGEST_INT32 + 1) > _LARGEST_INT32:
        return {**schema, "format": "int64"}
    return schema


def _merge_null(schema: dict[str, Any]) -> dict[str, Any]:
    """`anyOf: [X, null]` as X with a list of types, where X has a plain type."""
    choices = schema.get("anyOf")
    if not isinstance(choices, list) or {"type": "null"} not in choices or len(choices) != 2:
        return schema
    (other,) = (choice for choice in choices if choice != {"type": "null"})
    if not isinstance(other.get("type"), str) or "const" in other or "enum" in other:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**other, **rest, "type": [other["type"], "null"]}
