"""Where a JSON Schema holds further schemas: the keywords of 2020-12, and `definitions` of older drafts.

What stands under `const`, `enum`, `default` or `examples` is a value, and is never touched.
"""

from collections.abc import Callable
from typing import Any, Final

Schema = dict[str, Any]

_ONE: Final = frozenset(
    {
        "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames", "then",
        "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip
_LISTED: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})


def map_subschemas(schema: Schema, change: Callable[[Any], Any]) -> Schema:
    """The same schema with `change` of each schema directly in it, which may be true or false instead of an object."""
    changed: Schema = {}
    for keyword, value in schema.items():
        if keyword in _ONE:
            changed[keyword] = change(value)
        elif keyword in _LISTED and isinstance(value, list):
            changed[keyword] = [change(item) for item in value]
        elif keyword in _NAMED and isinstance(value, dict):
            changed[keyword] = {name: change(item) for name, item in value.items()}
        else:
            changed[keyword] = value
    return changed
