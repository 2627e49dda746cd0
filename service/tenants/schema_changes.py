"""What changes between two JSON Schemas, keyword by keyword; the rules stand in docs/contract.md.

Schemas within schemas are compared where both have one, and `$ref`s by what they point to, so that moving a part to
`$defs` is no change. What can't be judged breaks.
"""

from collections import deque
from typing import Any, Final

import msgspec

from service.protocol.contracts import ContractChange
from service.tenants.schema_cost import resolve
from service.tenants.schemas import path_to

# Pairs of schemas that are compared; of two of 32 KiB, that differ all over, no more can be meant.
MAX_COMPARED: Final = 20_000
MAX_CHANGES: Final = 200

_TYPES: Final = frozenset({"null", "boolean", "object", "array", "number", "string"})
# Bounds by the side on which they stand: tighter ones turn writers away, wider ones readers take.
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
# Of these, any change may turn something away or let something in.
_OPAQUE: Final = (
    "not", "if", "then", "else", "contains", "minContains", "maxContains", "propertyNames", "patternProperties",
    "dependentRequired", "dependentSchemas", "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
_STRICTER: Final = ("pattern", "multipleOf", "uniqueItems")  # to go is no harm, to come or to change is
_KNOWN: Final = frozenset(
    {*_LOWER, *_UPPER, *_OPAQUE, *_STRICTER, "$defs", "$ref", "type", "enum", "const", "format", "properties"}
    | {"required", "additionalProperties", "items", "prefixItems", "allOf", "anyOf", "oneOf"}
)


def compare_schemas(old: dict[str, Any], new: dict[str, Any], path: str) -> list[ContractChange]:
    """The changes from one checked schema to another, both at `path`: by their paths, at most MAX_CHANGES."""
    comparison = _Comparison(old, new)
    comparison.run(path)
    return sorted(comparison.changes, key=lambda change: change.path)


def is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same; Python alone takes 1, 1.0 and true for that."""
    return bool(one == other) and written(one) == written(other)


def written(value: Any) -> str:
    """A value as JSON, the same text for the same value."""
    return msgspec.json.encode(value, order="sorted").decode()


class _Comparison:
    """Pairs of schemas that apply to the same values, each compared once, at the first of its paths."""

    def __init__(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        self._roots = old, new
        self._seen: set[tuple[int, int]] = set()
        self._waiting: deque[tuple[Any, Any, str]] = deque()
        self.changes: list[ContractChange] = []

    def run(self, path: str) -> None:
        """Compare the roots, and all below them."""
        self._waiting.append((*self._roots, path))
        while self._waiting and len(self.changes) < MAX_CHANGES:
            old, new, path = self._waiting.popleft()
            if (id(old), id(new)) in self._seen:
                continue
            self._seen.add((id(old), id(new)))
            if len(self._seen) > MAX_COMPARED:
                self._note(path, "changed in too many places to compare", True)
                return
            self._compare(self._followed(0, old), self._followed(1, new), path)

    def _note(self, path: str, change: str, breaking: bool) -> None:
        self.changes.append(ContractChange(path, change, breaking))

    def _followed(self, side: int, schema: Any) -> Any:
        """What a schema that is a `$ref` and else only annotations points to."""
        while isinstance(schema, dict) and "$ref" in schema and not (_KNOWN - {"$ref", "$defs"}) & schema.keys():
            schema = resolve(self._roots[side], schema["$ref"])
        return schema

    def _compare(self, old: Any, new: Any, path: str) -> None:
        if old is False or new is False:
            if old is not new:
                self._note(path, "allowed" if old is False else "no longer allowed", True)
            return
        old, new = ({} if each is True else each for each in (old, new))
        self._compare_types(old, new, path)
        self._compare_values(old, new, path)
        self._compare_bounds(old, new, path)
        self._compare_properties(old, new, path)
        self._compare_items(old, new, path)
        for keyword in ("allOf", "anyOf", "oneOf"):
            self._compare_branches(keyword, old, new, path)
        self._compare_rest(old, new, path)

    def _compare_types(self, old: dict[str, Any], new: dict[str, Any], path: str) -> None:
        was, now = _types(old), _types(new)
        if was == now:
            return
        if now < was:
            self._note(f"{path}.type", f"narrowed from {_listed(was)} to {_listed(now)}", True)
        elif was < now:
            self._note(f"{path}.type", f"widened from {_listed(was)} to {_listed(now)}", True)
        else:
            self._note(f"{path}.type", f"changed from {_listed(was)} to {_listed(now)}", True)

    def _compare_values(self, old: dict[str, Any], new: dict[str, Any], path: str) -> None:
        """`enum` and `const`: readers count on what is listed, writers send it."""
        was, now = _values(old), _values(new)
        where = f"{path}.{'const' if 'const' in old and 'const' in new else 'enum'}"
        if was is None or now is None:
            if was is not now:
                self._note(where, "added: other values are refused" if was is None else "removed: any value", True)
            return
        for value in sorted(was - now):
            self._note(where, f"{value[:80]} removed", True)
        for value in sorted(now - was):
            self._note(where, f"{value[:80]} added", True)

    def _compare_bounds(self, old: dict[str, Any], new: dict[str, Any], path: str) -> None:
        for keyword in (*_LOWER, *_UPPER):
            was, now = old.get(keyword), new.get(keyword)
            if was == now:
                continue
            if was is not None and now is not None:
                is_tighter = now > was if keyword in _LOWER else now < was
            else:
                is_tighter = was is None
            change = "tightened" if is_tighter else "loosened"
            self._note(f"{path}.{keyword}", f"{change} from {written(was)} to {written(now)}", is_tighter)

    def _compare_properties(self, old: dict[str, Any], new: dict[str, Any], path: str) -> None:
        was, now = old.get("properties", {}), new.get("properties", {})
        for name in sorted({*was, *now}):
            where = path_to(f"{path}.properties", [name])
            if name not in now:
                self._note(where, "removed", True)
            elif name in was:
                self._waiting.append((was[name], now[name], where))
            elif name in new.get("required", ()):
                self._note(where, "added", False)  # that it is required is told below
            else:
                self._note(where, "added, optional", False)
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(needed ^ needs):
            change = "no longer required" if name in needed else "required"
            self._note(f"{path}.required", f"{name} is {change}", True)
        closed, closes = old.get("additionalProperties", True), new.get("additionalProperties", True)
        where = f"{path}.additionalProperties"
        if closed is False and closes is not False:
            self._note(where, "others are allowed", False)  # which readers ignore
        else:
            self._waiting.append((closed, closes, where))

    def _compare_items(self, old: dict[str, Any], new: dict[str, Any], path: str) -> None:
        self._waiting.append((old.get("items", True), new.get("items", True), f"{path}.items"))
        was, now = old.get("prefixItems", []), new.get("prefixItems", [])
        for index in range(max(len(was), len(now))):
            # What stands at no place of its own is one of the `items`.
            pair = [
                each[index] if index < len(each) else side.get("items", True) for each, side in ((was, old), (now, new))
            ]
            self._waiting.append((pair[0], pair[1], f"{path}.prefixItems[{index}]"))

    def _compare_branches(self, keyword: str, old: dict[str, Any], new: dict[str, Any], path: str) -> None:
        """Branches that are the same are taken away first, the others are paired by what tells them apart."""
        where = f"{path}.{keyword}"
        was, now = ([(index, each) for index, each in enumerate(side.get(keyword, ()))] for side in (old, new))
        for find in (written, _discriminator):
            for index, branch in list(was):
                key = find(branch)
                other = next((each for each in now if key is not None and find(each[1]) == key), None)
                if other is not None:
                    was.remove((index, branch))
                    now.remove(other)
                    self._waiting.append((branch, other[1], f"{where}[{other[0]}]"))
        if len(was) == len(now):
            pairs = zip(was, now, strict=True)
            self._waiting += [(mine, other, f"{where}[{index}]") for (_, mine), (index, other) in pairs]
            return
        for index, _ in was:
            self._note(f"{where}[{index}]", "removed", True)
        for index, _ in now:
            self._note(f"{where}[{index}]", "added", True)

    def _compare_rest(self, old: dict[str, Any], new: dict[str, Any], path: str) -> None:
        """Keywords that are compared whole, and annotations."""
        for keyword in sorted({*old, *new}):
            was, now = old.get(keyword), new.get(keyword)
            if is_same(was, now):
                continue
            where = path_to(path, [keyword])
            if keyword == "$ref":
                pair = [
                    resolve(root, each) if each else True for root, each in zip(self._roots, (was, now), strict=True)
                ]
                self._waiting.append((pair[0], pair[1], where))
            elif keyword in _STRICTER:
                goes = now is None or now is False
                self._note(where, "removed" if goes else "added or changed", not goes)
            elif keyword == "format" or keyword in _OPAQUE:
                self._note(where, "changed" if keyword in old and keyword in new else _came_or_went(was), True)
            elif keyword not in _KNOWN:
                self._note(where, "changed", False)


def _types(schema: dict[str, Any]) -> frozenset[str]:
    """The types that a schema allows; where none is said, those of its `enum` or `const`, else all."""
    said = schema.get("type")
    if said is not None:
        types = frozenset([said] if isinstance(said, str) else said)
    elif "const" in schema or "enum" in schema:
        types = frozenset(map(_type_of, [schema["const"]] if "const" in schema else schema["enum"]))
    else:
        types = _TYPES
    return types | {"integer"} if "number" in types else types


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "integer" if float(value).is_integer() else "number"
        case str():
            return "string"
        case _:
            return "array" if isinstance(value, list) else "object"


def _listed(types: frozenset[str]) -> str:
    if types >= _TYPES:
        return "any"
    return " or ".join(sorted(types - {"integer"} if "number" in types else types)) or "none"


def _values(schema: dict[str, Any]) -> frozenset[str] | None:
    """What `enum` or `const` lists, as JSON; None: they list nothing."""
    if "const" in schema:
        return frozenset([written(schema["const"])])
    return frozenset(map(written, schema["enum"])) if "enum" in schema else None


def _discriminator(schema: Any) -> str | None:
    """What tells a branch from the others: its `$ref`, or the constants among its properties."""
    if not isinstance(schema, dict):
        return None
    if "$ref" in schema:
        return str(schema["$ref"])
    properties = schema.get("properties", {}).items()
    constants = {name: held["const"] for name, held in properties if isinstance(held, dict) and "const" in held}
    return written(constants) if constants else None


def _came_or_went(was: Any) -> str:
    return "added" if was is None else "removed"
