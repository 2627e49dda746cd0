"""What a schema may cost to check: found when it is saved, from the schema alone, whatever is sent later.

A validator can't be stopped half-way, and holds the event loop. So its work is bounded beforehand: by the number of
schemas that may look at one value (as `$ref`s multiply them), and by the states of its patterns. Unit: one visit of
one schema at one value, 10-25 ns on jsonschema-rs 0.60. Patterns run without backtracking, at 17 ns a state and byte.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from service.protocol.errors import Invalid

# 20 ms, for which one message may hold the loop (RELIABILITY.md).
MAX_VISITS: Final = 1_000_000
# Schemas that may look at one value.
MAX_AT_ONCE: Final = 1_000
# `$ref` behind `$ref` or applicator within applicator at one value: each takes some of the stack, 128 times in data.
MAX_CHAIN: Final = 32
MAX_PATTERN_STATES: Final = 1_000
# Groups of schemas that look at a value together; a schema of 32 KiB has a few hundred.
_MAX_GROUPS: Final = 5_000
# A fraction takes 33 us where the number is near 1e308, `{"a":…}` of an enum 200 ns, a property of `unevaluated…` 400.
_FRACTION_VISITS: Final = 1_650
_CONTAINER_VISITS: Final = 10
_UNEVALUATED_TIMES: Final = 8

IN_PLACE: Final = ("allOf", "anyOf", "oneOf")
_IN_PLACE_SINGLE: Final = ("not", "if", "then", "else")
_EACH_ITEM: Final = ("items", "contains", "unevaluatedItems")
_EACH_PROPERTY: Final = ("additionalProperties", "unevaluatedProperties")

_APPLICATORS: Final = frozenset(
    {*IN_PLACE, *_IN_PLACE_SINGLE, *_EACH_ITEM, *_EACH_PROPERTY, "$ref", "dependentSchemas", "properties"}
    | {"patternProperties", "propertyNames", "prefixItems"}
)

_PATTERN_PART: Final = re.compile(
    r"(?P<atom>\\[pP]\{[^}]*\}|\\.|\[\^?(?:\\.|[^\[\]\\])*\])"
    r"|\{\s*(?P<least>\d{0,9})\s*(?P<comma>,?)\s*(?P<most>\d{0,9})\s*\}"
    r"|(?P<open>\((?:\?(?:P?<[A-Za-z_]\w*>|[ims]*:))?)"
    r"|(?P<other>.)",
    re.DOTALL,
)


class Cost(msgspec.Struct, frozen=True):
    """Visits that a check takes at most: `fixed`, and so many for each byte of the value as JSON.

    has_alternatives: one of `anyOf` and the like is in it, whose failure is told at the price of all their failures.
    """

    fixed: int
    per_byte: float
    has_alternatives: bool

    @property
    def max_bytes(self) -> int:
        """How long a value may be, so that its check ends in time."""
        return int((MAX_VISITS - self.fixed) / self.per_byte) if self.per_byte else MAX_VISITS

    def visits(self, size_bytes: int) -> float:
        """What a value of this size takes at most."""
        return self.fixed + self.per_byte * size_bytes


def measure(schema: dict[str, Any]) -> Cost:
    """What the schema costs. Raises Invalid if one value may be looked at too often, or for ever."""
    return _Measuring(schema).cost()


class _Measuring:
    """All groups of schemas that may meet at one value, found from the root on."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._root = schema
        self._seen: set[tuple[tuple[int, ...], bool]] = set()
        self._fixed = self._repeated = self._states = 0
        self._has_alternatives = False

    def cost(self) -> Cost:
        waiting: list[tuple[list[Any], bool]] = [([self._root], False)]
        while waiting:
            group, repeats = waiting.pop()
            group = [schema for schema in group if isinstance(schema, dict)]
            key = (tuple(sorted(map(id, group))), repeats)
            if key in self._seen:
                continue
            self._seen.add(key)
            if len(self._seen) > _MAX_GROUPS:
                raise _too_much()
            if all(map(_APPLICATORS.isdisjoint, group)):  # most are: a tenth of the time
                self._count(group, repeats)
                continue
            together = self._expand(group)
            self._count(together, repeats)
            waiting += self._below(together, repeats)
        # the shortest values are two bytes with the comma
        cost = Cost(self._fixed, self._repeated / 2 + self._states, self._has_alternatives)
        if cost.fixed > MAX_VISITS / 2:
            raise _too_much()
        return cost

    def _expand(self, group: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All that look at the same value as these."""
        found: list[dict[str, Any]] = []
        waiting: list[tuple[Any, int]] = [(schema, 0) for schema in group]
        while waiting:
            schema, chain = waiting.pop()
            if not isinstance(schema, dict):
                continue
            found.append(schema)
            if chain > MAX_CHAIN:
                raise Invalid(f"over {MAX_CHAIN} schemas within each other look at the same value")
            if len(found) > MAX_AT_ONCE:
                raise _too_much()
            waiting += [(each, chain + 1) for each in self._in_place(schema)]
        return found

    def _in_place(self, schema: dict[str, Any]) -> Iterator[Any]:
        if "$ref" in schema:
            yield resolve(self._root, schema["$ref"])
        for keyword in IN_PLACE:
            yield from schema.get(keyword, ())
        for keyword in _IN_PLACE_SINGLE:
            if keyword in schema:
                yield schema[keyword]
        yield from schema.get("dependentSchemas", {}).values()
        if any(keyword in schema for keyword in ("anyOf", "oneOf", "propertyNames")):
            self._has_alternatives = True

    def _count(self, together: list[dict[str, Any]], repeats: bool) -> None:
        visits = sum(map(_visits, together))
        states = 0
        for schema in together:
            if "unevaluatedProperties" in schema or "unevaluatedItems" in schema:
                visits *= _UNEVALUATED_TIMES
            states += sum(map(pattern_states, schema.get("patternProperties", ())))
            if isinstance(pattern := schema.get("pattern"), str):
                count = pattern_states(pattern)
                if repeats or not is_bounded(pattern):
                    states += count
                else:
                    visits += count * count
        self._states = max(self._states, states)
        if repeats:
            self._repeated = max(self._repeated, visits)
        else:
            self._fixed += visits

    def _below(self, together: list[dict[str, Any]], repeats: bool) -> Iterator[tuple[list[Any], bool]]:
        """The groups that look at the values within. A property by its name is there once, an item many times."""
        by_pattern = [each for schema in together for each in schema.get("patternProperties", {}).values()]
        others = [schema[keyword] for schema in together for keyword in _EACH_PROPERTY if keyword in schema]
        for name in dict.fromkeys(name for schema in together for name in schema.get("properties", {})):
            named = [each for schema in together for each in _property(schema, name)]
            yield by_pattern + named, repeats
        yield by_pattern + others, True
        yield [schema["propertyNames"] for schema in together if "propertyNames" in schema], True
        each = [schema[keyword] for schema in together for keyword in _EACH_ITEM if keyword in schema]
        longest = max((len(schema.get("prefixItems", ())) for schema in together), default=0)
        for index in range(longest):
            placed = [item for schema in together for item in schema.get("prefixItems", ())[index : index + 1]]
            yield each + placed, repeats
        yield each, True


def _property(schema: dict[str, Any], name: str) -> list[Any]:
    named = schema.get("properties", {})
    if name not in named:
        return [schema[keyword] for keyword in _EACH_PROPERTY if keyword in schema]
    return [named[name], *([schema["unevaluatedProperties"]] if "unevaluatedProperties" in schema else [])]


def _visits(schema: dict[str, Any]) -> int:
    enum = schema.get("enum", ())
    containers = sum(isinstance(value, dict | list) for value in enum)
    factor = schema.get("multipleOf", 1)
    is_fraction = isinstance(factor, float) and not factor.is_integer()
    names = len(schema.get("patternProperties", ())) + 1
    return names + containers * _CONTAINER_VISITS + is_fraction * _FRACTION_VISITS


def resolve(root: dict[str, Any], reference: str) -> Any:
    """What `#` or `#/…` points to (RFC 6901, section 6). Raises Invalid if there is nothing, or no schema."""
    found: Any = root
    for part in reference.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        elif isinstance(found, dict) and name in found:
            found = found[name]
        else:
            raise Invalid(f"{reference[:100]} points to nothing")
    if not isinstance(found, dict | bool):
        raise Invalid(f"{reference[:100]} points to no schema")
    return found


def pattern_states(pattern: str) -> int:
    """How many places of a pattern a text can be at, at the same time; `{n}` multiplies. Raises Invalid above
    MAX_PATTERN_STATES, and for what can't be counted: flags `x`, and `[` within `[…]` without a backslash.
    """
    levels, last = [0], 0
    for part in _PATTERN_PART.finditer(pattern):
        if part["other"] == "[" or (part["open"] == "(" and pattern[part.end() :][:1] == "?"):
            raise Invalid("a pattern has groups (?:…) and (?<name>…) alone, and \\[ within […]")
        if part["open"]:
            levels.append(0)
        elif part["other"] == ")" and len(levels) > 1:
            last = levels.pop()
            levels[-1] += last
        elif part["least"] is not None:
            least, most = int(part["least"] or 0), int(part["most"] or 0)
            most = max(least + 1, most) if part["comma"] else least
            levels[-1] += last * max(0, most - 1)
            last *= most
        elif part["other"] not in ("*", "+", "?", "^", "$", "|"):
            last = 1
            levels[-1] += 1
        if levels[-1] > MAX_PATTERN_STATES:
            break
    states = max(1, sum(levels))
    if states > MAX_PATTERN_STATES:
        raise Invalid(f"a pattern has over {MAX_PATTERN_STATES} states: use maxLength in place of {{n}}")
    return states


def is_bounded(pattern: str) -> bool:
    """Whether a search ends within as many characters as the pattern has states: it begins with ^ and nothing loops."""
    return pattern.startswith("^") and not re.search(r"[|*+]|,\s*\}", pattern)


def _too_much() -> Invalid:
    return Invalid("too many schemas may look at one value: its check would take too long")
