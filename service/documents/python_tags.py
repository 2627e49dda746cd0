"""Which Structs of a union can be told apart by a tag: one field that each requires to be another text."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from service.documents.contract_schemas import REFERENCE
from service.documents.struct_schemas import fields_of, is_struct, merged
from service.documents.subschemas import Schema, map_subschemas


class Tag(NamedTuple):
    """The field, and what a Struct has in it."""

    field: str
    value: str


def find_tags(schemas: Mapping[str, Schema]) -> dict[str, Tag]:
    """The tag of each component that stands in a union of several; a component of two fields to tell by has none."""
    found: dict[str, Tag] = {}
    refused: set[str] = set()
    for schema in schemas.values():
        for choices in _unions(schema):
            for name, tag in _tags_of(choices, schemas).items():
                if found.setdefault(name, tag) != tag:
                    refused.add(name)
    return {name: tag for name, tag in found.items() if name not in refused}


def _unions(schema: Any) -> Iterator[list[Any]]:
    """Every list of choices in a schema."""
    if isinstance(schema, dict):
        yield from (schema[word] for word in ("anyOf", "oneOf") if isinstance(schema.get(word), list))
        inner: list[Any] = []
        map_subschemas(schema, inner.append)
        for each in inner:
            yield from _unions(each)


def _tags_of(choices: list[Any], schemas: Mapping[str, Schema]) -> dict[str, Tag]:
    """The tags of a union of components, or nothing."""
    names = [each.get("$ref", "").removeprefix(REFERENCE) for each in choices if each != {"type": "null"}]
    if len(names) < 2 or not set(names) <= schemas.keys():
        return {}
    structs = [merged(schemas[name], schemas) for name in names]
    if not all(map(is_struct, structs)):
        return {}
    for field in fields_of(structs[0]):
        values = [_constant(struct, field) for struct in structs]
        if None not in values and len(set(values)) == len(values):
            return {name: Tag(field, str(value)) for name, value in zip(names, values, strict=True)}
    return {}


def _constant(struct: Schema, field: str) -> str | None:
    """The one text that the field must be."""
    schema = fields_of(struct).get(field)
    if not isinstance(schema, dict) or field not in struct.get("required", ()):
        return None
    listed = schema.get("enum", [schema.get("const")])
    return listed[0] if len(listed) == 1 and isinstance(listed[0], str) else None
