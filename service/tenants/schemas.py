"""JSON Schemas of a tenant (draft 2020-12): what one may be, and how a value is held against it.

A tenant's schemas are a stranger's programs on every node. So they are small, point nowhere outside, and what their
check may cost is known before they are in force (`schema_cost`). Validators are jsonschema-rs's: its patterns never
backtrack (those with look-around or back-references are refused), and it fetches nothing.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final

import jsonschema_rs
import msgspec

from service.protocol.errors import Invalid, SchemaMismatch, TooLarge
from service.tenants.schema_cost import MAX_CHAIN, Cost, measure, pattern_states

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
MAX_SCHEMA_BYTES: Final = 32 * 1024
MAX_SCHEMA_DEPTH: Final = 32
# A pattern as it is compiled; 500 different ones of this size took 1.6 s, which the time box ends (`schema_probe`).
_MAX_PATTERN_BYTES: Final = 1024 * 1024
# What names another document, or a place that only a look at the data finds; generators take none of them.
_REFUSED: Final = frozenset(
    {
        "$id",
        "$anchor",
        "$dynamicRef",
        "$dynamicAnchor",
        "$recursiveRef",
        "$recursiveAnchor",
        "$vocabulary",
        "definitions",
    }
)
# What holds values, in which a `$ref` is no reference.
_VALUES: Final = frozenset({"enum", "const", "default", "examples"})
_BY_NAME: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})
# An error is told with its path where that costs below 15 ms: 15 us for each failure within alternatives.
_TOLD_VISITS: Final = 1_000
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)
_MAX_PATH: Final = 500

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def check_schema(schema: dict[str, Any], path: str) -> Cost:
    """What a schema may cost, once it is sure that it is one: all is looked at but its compiling.

    path: where it stands, for the errors. Raises Invalid with the path within it, TooLarge.
    """
    try:
        text = _encode(schema)
    except (msgspec.MsgspecError, UnicodeEncodeError, OverflowError, RecursionError, ValueError, TypeError):
        raise Invalid("this is no JSON", path) from None
    if len(text) > MAX_SCHEMA_BYTES:
        raise TooLarge("max_schema_bytes", MAX_SCHEMA_BYTES, scope="contract", path=path)
    _check_nesting(schema, path, 1)
    if schema.get("$schema", DRAFT).rstrip("#") != DRAFT if isinstance(schema.get("$schema", ""), str) else True:
        raise Invalid(f"schemas are of the draft {DRAFT}", f"{path}.$schema")
    _check_keywords(schema, path)
    try:
        jsonschema_rs.meta.validate(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise _no_schema(error, path) from None
    try:
        return measure(schema)
    except Invalid as error:
        raise Invalid(error.message, path) from None


def _check_nesting(value: Any, path: str, level: int) -> None:
    """Raises Invalid for what is too deep, and for texts and numbers that a database or a validator does not take."""
    if isinstance(value, dict | list):
        if level > MAX_SCHEMA_DEPTH:
            raise Invalid(f"a schema is nested {MAX_SCHEMA_DEPTH} levels at most", path)
        for key, held in value.items() if isinstance(value, dict) else enumerate(value):
            inner = path_to(path, [key])
            if isinstance(key, str):
                _check_nesting(key, inner, level)
            _check_nesting(held, inner, level + 1)
    elif isinstance(value, str) and "\0" in value:
        raise Invalid("there is no NUL in the texts of a schema", path)
    elif isinstance(value, float) and not math.isfinite(value):
        raise Invalid("a number is beyond a double", path)
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise Invalid("an integer is outside -2^63 … 2^64-1", path)


def _check_keywords(schema: Any, path: str) -> None:
    """Raises Invalid for a keyword, or a `$ref`, that leads out of the schema."""
    if isinstance(schema, list):
        for index, each in enumerate(schema):
            _check_keywords(each, f"{path}[{index}]")
    if not isinstance(schema, dict):
        return
    for keyword, held in schema.items():
        inner = path_to(path, [keyword])
        _check_keyword(keyword, held, inner)
        if keyword in _BY_NAME and isinstance(held, dict):
            for name, each in held.items():
                _check_keywords(each, path_to(inner, [name]))
        elif keyword not in _VALUES:
            _check_keywords(held, inner)


def _check_keyword(keyword: str, held: Any, path: str) -> None:
    if keyword in _REFUSED:
        raise Invalid(f"{keyword} is not taken here: use $defs, and $ref with #/$defs/…", path)
    if keyword == "$ref" and not (isinstance(held, str) and re.fullmatch(r"#(/[^%]*)?", held)):
        raise Invalid("a $ref points into its own schema: # or #/…", path)
    if keyword == "pattern" and isinstance(held, str):
        _check_pattern(held, path)
    if keyword == "patternProperties" and isinstance(held, dict):
        for pattern in held:
            _check_pattern(pattern, path)


def _check_pattern(pattern: str, path: str) -> None:
    try:
        pattern_states(pattern)
    except Invalid as error:
        raise Invalid(error.message, path) from None


def _no_schema(error: Any, path: str) -> Invalid:
    within = getattr(error, "instance_path", [])
    message = getattr(error, "message", "a $ref points to nothing")
    return Invalid(f"this is no JSON Schema: {message[:200]}", path_to(path, within))


def compile_schema(schema: dict[str, Any], path: str) -> jsonschema_rs.Validator:
    """The validator of a schema that `check_schema` took. Raises Invalid for a pattern that it does not take."""
    try:
        return jsonschema_rs.Draft202012Validator(
            schema,
            validate_formats=True,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=_MAX_PATTERN_BYTES),
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise _no_schema(error, path) from None


class SchemaCheck:
    """One schema that is in force: it takes values, as JSON, or says what is wrong with them."""

    __slots__ = ("_cost", "_is_valid", "_max_bytes", "_validator")

    def __init__(self, schema: dict[str, Any]) -> None:
        self._cost = measure(schema)
        self._validator = compile_schema(schema, "$")
        self._is_valid = self._validator.is_valid
        self._max_bytes = self._cost.max_bytes

    def check(self, value: bytes, path: str) -> bytes:
        """The value written anew, as what was checked is all that readers are to meet: of equal keys the last counts.

        path: where the value stands. Raises SchemaMismatch, TooLarge where its check could take too long.
        """
        if len(value) > self._max_bytes:
            raise TooLarge("max_checked_bytes", self._max_bytes, scope="schema", path=path)
        decoded = _decode(value)
        if self._is_valid(decoded):
            return _encode(decoded)
        raise self._mismatch(decoded, len(value), path)

    def _mismatch(self, value: Any, size_bytes: int, path: str) -> SchemaMismatch:
        if self._cost.has_alternatives and self._cost.visits(size_bytes) > _TOLD_VISITS:
            return SchemaMismatch("the value does not fit the schema", path)
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            told = _nearest(error)
            return SchemaMismatch(_sentence(told), path_to(path, [*told.instance_path, *_missing(told)]))
        return SchemaMismatch("the value does not fit the schema", path)


def _nearest(error: jsonschema_rs.ValidationError) -> jsonschema_rs.ValidationError:
    """Of alternatives that all fail, the mistake in the one with the fewest, if one has fewer than the others."""
    for _ in range(MAX_CHAIN):
        branches = sorted(getattr(error.kind, "context", ()), key=len)
        if error.kind.name == "oneOf" and not all(branches):
            return error  # several fit
        if not branches or (len(branches) > 1 and len(branches[0]) == len(branches[1])):
            return error
        error = branches[0][0]
    return error


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    """What was expected; never what was sent, but for the name of a field."""
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required():
            return "a required property is missing"
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties() | jsonschema_rs.ValidationErrorKind.FalseSchema():
            return "there is no such property"
        case jsonschema_rs.ValidationErrorKind.Type(types):
            return f"expected {' or '.join(types)}"
        case jsonschema_rs.ValidationErrorKind.Format(name):
            return f"expected the format {name}"
        case kind:
            return f"does not fit `{kind.name}` of the schema"


def _missing(error: jsonschema_rs.ValidationError) -> list[str | int]:
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(name):
            return [name]
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties([name, *_]):
            return [name]
        case _:
            return []


def path_to(path: str, within: list[str | int]) -> str:
    """The path of what stands within a value: `$.data.texts[1]`, `$.data["a b"]`; cut where it gets long."""
    return (path + "".join(_steps(within)))[:_MAX_PATH]


def _steps(within: list[str | int]) -> Iterator[str]:
    for step in within:
        if isinstance(step, int):
            yield f"[{step}]"
        else:
            yield f".{step}" if _IDENTIFIER.fullmatch(step) or step.startswith("$") else f"[{json.dumps(step)}]"
