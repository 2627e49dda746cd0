"""Which schemas a Struct says: objects with named fields, also in several parts that all must hold (`allOf`)."""

from collections.abc import Mapping
from typing import Any, Final

from service.documents.contract_schemas import REFERENCE
from service.documents.subschemas import Schema

_NOT_PLAIN: Final = frozenset({"$ref", "allOf", "anyOf", "const", "enum", "oneOf"})
_DEEPEST: Final = 32  # of parts in parts: a part that holds itself ends there


def fields_of(schema: Schema) -> dict[str, Any]:
    """The fields by their names, those too that are only required."""
    properties: dict[str, Any] = schema.get("properties", {})
    return {**properties, **{name: True for name in schema.get("required", ()) if name not in properties}}


def is_struct(schema: Schema) -> bool:
    """Whether a merged schema is an object with fields, and nothing else."""
    return (
        schema.get("type", "object") == "object" and not _NOT_PLAIN & schema.keys() and bool(schema.get("properties"))
    )


def merged(schema: Any, schemas: Mapping[str, Schema], depth: int = 0) -> Schema:
    """The schema with the fields of all parts of its `allOf` as its own, if all are objects; else as it is."""
    if not isinstance(schema, dict):
        return {}
    if "allOf" not in schema or depth > _DEEPEST:
        return schema
    own = {word: value for word, value in schema.items() if word != "allOf"}
    parts = [merged(_followed(part, schemas), schemas, depth + 1) for part in schema["allOf"]]
    if len(parts) == 1 and not {"properties", "type", *_NOT_PLAIN} & own.keys():
        return {**merged(schema["allOf"][0], schemas, depth + 1), **own}
    if not all(map(is_struct, parts)) or not (is_struct(own) or not {"properties", *_NOT_PLAIN} & own.keys()):
        return schema
    properties: dict[str, Any] = {}
    required: list[str] = []
    for part in [*parts, own]:
        properties |= part.get("properties", {})
        required += part.get("required", [])
    return {**own, "type": "object", "properties": properties, "required": list(dict.fromkeys(required))}


def _followed(schema: Any, schemas: Mapping[str, Schema]) -> Any:
    """The component that a reference names, else the schema itself."""
    reference = schema.get("$ref") if isinstance(schema, dict) else None
    return schemas.get(reference.removeprefix(REFERENCE), schema) if isinstance(reference, str) else schema
