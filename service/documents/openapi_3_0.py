"""OpenAPI 3.1 as 3.0.3, for generators that know no newer one.

What 3.0.3 cannot say is left out, so that a schema takes more than its original, never less.
"""

from typing import Any, Final

from service.documents.subschemas import Schema, map_subschemas

_KEPT: Final = frozenset(
    {
        "$ref", "additionalProperties", "allOf", "anyOf", "default", "deprecated", "description", "discriminator",
        "enum", "example", "exclusiveMaximum", "exclusiveMinimum", "externalDocs", "format", "items", "maxItems",
        "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum", "multipleOf",
        "not", "nullable", "oneOf", "pattern", "properties", "readOnly", "required", "title", "type", "uniqueItems",
        "writeOnly", "xml",
    }
)  # fmt: skip
_TYPES: Final = {str: "string", bool: "boolean", int: "integer", float: "number"}


def downgrade(document: dict[str, Any]) -> dict[str, Any]:
    """The same document as OpenAPI 3.0.3."""
    kept = {name: value for name, value in document.items() if name not in ("jsonSchemaDialect", "webhooks")}
    lowered: dict[str, Any] = _lower(kept)
    info = {name: value for name, value in document["info"].items() if name != "summary"}
    if "license" in info:
        info["license"] = {name: value for name, value in info["license"].items() if name != "identifier"}
    schemas = {name: lower_schema(schema) for name, schema in document["components"].get("schemas", {}).items()}
    typed = {name: _with_types(schema, schemas) for name, schema in schemas.items()}
    return {**lowered, "openapi": "3.0.3", "info": info, "components": {**lowered["components"], "schemas": typed}}


def _lower(node: Any) -> Any:
    """Everything but schemas: it stays, with the schemas in it lowered. Scopes stand only on OAuth in 3.0.3."""
    if isinstance(node, list):
        return [_lower(item) for item in node]
    if not isinstance(node, dict):
        return node
    lowered: dict[str, Any] = {}
    for name, value in node.items():
        if name == "schema":
            lowered[name] = lower_schema(value)
        elif name == "security":
            lowered[name] = [{scheme: [] for scheme in choice} for choice in value]
            if scopes := sorted({scope for choice in value for scopes in choice.values() for scope in scopes}):
                lowered["x-scopes"] = scopes
        elif name in ("example", "examples", "schemas"):
            lowered[name] = value
        else:
            lowered[name] = _lower(value)
    return lowered


def lower_schema(schema: Any) -> Any:
    """One JSON Schema of 2020-12 as 3.0.3 has them."""
    if schema is True:
        return {}
    if schema is False:
        return {"not": {}}
    lowered = _without_null(_without_bounds(map_subschemas(_tuple_as_array(schema), lower_schema)))
    if "const" in lowered:
        value = lowered.pop("const")
        lowered |= {"enum": [value], "type": _TYPES[type(value)]} if type(value) in _TYPES else {"enum": [value]}
    if examples := lowered.pop("examples", None):
        lowered["example"] = examples[0]
    kept = {name: value for name, value in lowered.items() if name in _KEPT or name.startswith("x-")}
    if kept.get("type") == "array":
        kept.setdefault("items", {})
    if "$ref" in kept and len(kept) > 1:  # beside a reference nothing else counts
        kept["allOf"] = [{"$ref": kept.pop("$ref")}, *kept.get("allOf", ())]
    return kept


def _with_types(schema: Any, schemas: dict[str, Schema]) -> Any:
    """The type of what a reference leads to beside it, where it may be null: 3.0.3 has no `nullable` without a type."""
    if not isinstance(schema, dict):
        return schema
    changed = map_subschemas(schema, lambda each: _with_types(each, schemas))
    if changed.get("nullable") and "type" not in changed and len(changed.get("allOf", ())) == 1:
        target = schemas.get(changed["allOf"][0].get("$ref", "").rpartition("/")[2], {})
        if "type" in target:
            changed["type"] = target["type"]
    return changed


def _without_null(schema: Schema) -> Schema:
    """`nullable` for null, whether it stands in a list of types or among choices; choices are lowered already."""
    changed = dict(schema)
    types = changed.get("type")
    if isinstance(types, list):
        named = [name for name in types if name != "null"]
        del changed["type"]
        if len(named) == 1:
            changed["type"] = named[0]
        elif named:
            choices = [_of_type(name) for name in named]
            changed |= _nullable_choice("anyOf", choices) if "null" in types else {"anyOf": choices}
        if "null" in types and len(named) < 2:
            changed["nullable"] = True
    elif types == "null":
        del changed["type"]
        changed |= {"nullable": True, "enum": [None]}
    for word in ("anyOf", "oneOf"):
        if (listed := changed.get(word)) and any(map(_is_null, listed)):
            del changed[word]
            changed |= _nullable_choice(word, [item for item in listed if not _is_null(item)])
    values = changed.get("enum")
    if isinstance(values, list) and None in values and len(values) > 1:
        kinds = {_TYPES.get(type(value)) for value in values if value is not None}
        if "type" not in changed and len(kinds) == 1 and None not in kinds:
            changed |= {"type": kinds.pop(), "nullable": True}
    return changed


def _nullable_choice(word: str, choices: list[Any]) -> Schema:
    """One of these, or null: said of the choice itself where it has a type."""
    if len(choices) == 1:
        return {"allOf": choices, "nullable": True}
    typed = next((at for at, choice in enumerate(choices) if "type" in choice), None)
    if typed is None:
        return {word: choices, "nullable": True}
    return {word: [{**each, "nullable": True} if at == typed else each for at, each in enumerate(choices)]}


def _is_null(lowered: Any) -> bool:
    return isinstance(lowered, dict) and lowered.get("enum") == [None]


def _of_type(name: str) -> Schema:
    return {"type": name, "items": {}} if name == "array" else {"type": name}


def _without_bounds(schema: Schema) -> Schema:
    """An exclusive bound is a bound and a word beside it in 3.0.3."""
    changed = dict(schema)
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        value = changed.get(exclusive)
        if isinstance(value, int | float) and not isinstance(value, bool):
            inclusive = changed.get(bound)
            tighter = max if bound == "minimum" else min
            if inclusive is None or tighter(inclusive, value) == value:
                changed |= {bound: value, exclusive: True}
            else:
                del changed[exclusive]
    return changed


def _tuple_as_array(schema: Schema) -> Schema:
    """A tuple is an array of anything: 3.0.3 has no `prefixItems`."""
    return {**schema, "items": {}} if "prefixItems" in schema else schema
