"""RELIABILITY.md's attack on schemas: what one may be, and that its check ends in time whatever is sent."""

import socket
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocol.errors import Invalid, RoomcastError, SchemaMismatch, TooLarge
from service.tenants.schemas import (
    MAX_SCHEMA_BYTES,
    MAX_SCHEMA_DEPTH,
    SchemaCheck,
    check_schema,
    compile_schema,
    path_to,
)

CHAT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "maxLength": 10},
        "at": {"type": "string", "format": "date-time"},
        "list": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["text"],
    "additionalProperties": False,
}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels - 1):
        schema = {"not": schema}
    return schema


def ref_bomb(levels: int) -> dict[str, Any]:
    defs: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": defs | {f"a{levels}": {"type": "object"}}}


def compiles(schema: dict[str, Any]) -> None:
    check_schema(schema, "$.s")
    compile_schema(schema, "$.s")


def refuses(schema: dict[str, Any]) -> Invalid:
    started = time.process_time()
    with pytest.raises(Invalid) as refused:
        compiles(schema)
    assert time.process_time() - started < 1
    return refused.value


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"$ref": "https://example.com/schema"}, "$.s.$ref"),
        ({"$ref": "file:///etc/passwd"}, "$.s.$ref"),
        ({"$ref": "other.json#/x"}, "$.s.$ref"),
        ({"items": {"$ref": "#named"}}, "$.s.items.$ref"),
        ({"$id": "https://example.com/"}, "$.s.$id"),
        ({"items": {"$anchor": "a"}}, "$.s.items.$anchor"),
        ({"$dynamicRef": "#a"}, "$.s.$dynamicRef"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "$.s.$schema"),
        ({"$schema": "http://localhost/evil"}, "$.s.$schema"),
        ({"$schema": 5}, "$.s.$schema"),
        ({"$ref": "#/$defs/none"}, "$.s"),
        ({"$ref": "#/title", "title": "a"}, "$.s"),
        ({"properties": {"a b": {"type": "strin"}}}, '$.s.properties["a b"].type'),
        ({"properties": 5}, "$.s.properties"),
        ({"pattern": "("}, "$.s.pattern"),
        ({"pattern": "(?=a)b"}, "$.s.pattern"),
        ({"pattern": r"(a)\1"}, "$.s.pattern"),
        ({"patternProperties": {"(?<!a)b": {}}}, "$.s.patternProperties"),
        ({"pattern": "[01]{1,3000}x"}, "$.s.pattern"),
        ({"pattern": "((a{30}){30}){30}"}, "$.s.pattern"),
        ({"pattern": "[[a]{9}]"}, "$.s.pattern"),
        ({"enum": ["a\0"]}, "$.s.enum[0]"),
        ({"maximum": 10**400}, "$.s.maximum"),
        ({"maximum": float("inf")}, "$.s.maximum"),
    ],
)
def test_what_is_no_schema_of_ours_is_refused_with_its_path(schema: dict[str, Any], path: str) -> None:
    assert refuses(schema).path == path


@pytest.mark.parametrize(
    "schema",
    [
        ref_bomb(14),
        ref_bomb(30),
        ref_bomb(200),
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]},
        {"items": {"oneOf": [{"items": {"$ref": "#/items"}}, {"items": {"$ref": "#/items"}}]}},
    ],
)
def test_references_that_multiply_or_never_end_are_refused(schema: dict[str, Any]) -> None:
    assert "look at" in refuses(schema).message


def test_references_that_multiply_a_little_are_taken() -> None:
    assert SchemaCheck(ref_bomb(6)).check(b"{}", "$") == b"{}"


def test_recursion_that_meets_each_value_once_is_taken() -> None:
    check = SchemaCheck({"properties": {"kids": {"items": {"$ref": "#"}}, "name": {"type": "string"}}})
    deep = b'{"kids":[' * 60 + b'{"name":"a"}' + b"]}" * 60
    assert check.check(deep, "$") == deep
    with pytest.raises(SchemaMismatch) as refused:
        check.check(b'{"kids":[{"kids":[{"name":5}]}]}', "$.data")
    assert refused.value.path == "$.data.kids[0].kids[0].name"


def test_a_schema_is_of_a_size_and_a_depth() -> None:
    check_schema(nested(MAX_SCHEMA_DEPTH), "$")
    with pytest.raises(Invalid, match="levels"):
        check_schema(nested(MAX_SCHEMA_DEPTH + 1), "$")
    refuses(nested(100_000 // 100))
    check_schema({"description": "a" * (MAX_SCHEMA_BYTES - 18)}, "$")
    with pytest.raises(TooLarge) as refused:
        check_schema({"description": "a" * MAX_SCHEMA_BYTES}, "$.s")
    assert (refused.value.limit, refused.value.path) == ("max_schema_bytes", "$.s")


def test_nothing_is_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/schema"
        refuses({"$ref": address})
        refuses({"$schema": address})
        with pytest.raises(Invalid):
            compile_schema({"$ref": address}, "$")
        with pytest.raises(TimeoutError):
            server.accept()


# Each with what it is at its worst on: all that may be sent, and the longest that its own bound lets pass.
WORST: dict[str, tuple[dict[str, Any], bytes]] = {
    "backtracking": ({"pattern": "^(a+)+$"}, b'"' + b"a" * 60_000 + b'!"'),
    "states": ({"pattern": "[01]*1[01]{400}[ab]"}, b'"' + b"0110" * 16_000 + b'"'),
    "many states": ({"pattern": "[01]{1,900}x"}, b'"' + b"01" * 32_000 + b'"'),
    "alternatives": (
        {"items": {"anyOf": [{"const": n} for n in range(200)]}}, b"[" + b"7," * 32_000 + b"999]",
    ),
    "objects in an enum": ({"items": {"enum": [{"a": n} for n in range(500)]}}, b"[" + b'{"a":499},' * 6_000 + b"1]"),
    "fractions": ({"items": {"multipleOf": 0.01}}, b"[" + b"1e308," * 10_000 + b"1]"),
    "unevaluated": (
        {"allOf": [{"contains": {"const": n}} for n in range(20)], "unevaluatedItems": False},
        b"[" + b"7," * 32_000 + b"1]",
    ),
    "names": (
        {"patternProperties": {f"^p{n}": {"type": "string"} for n in range(200)}},
        b"{" + b",".join(b'"k%d":1' % n for n in range(7_000)) + b"}",
    ),
    "failures of alternatives": (
        {"anyOf": [{"items": {"type": "string"}}] * 10}, b"[" + b"1," * 30_000 + b"1]",
    ),
    "unique": ({"uniqueItems": True}, b"[" + b",".join(b"%d" % n for n in range(11_000)) + b"]"),
}  # fmt: skip


@pytest.mark.alone
@pytest.mark.parametrize("attack", WORST)
def test_no_value_takes_longer_than_its_bound(attack: str) -> None:
    schema, value = WORST[attack]
    check_schema(schema, "$")
    check = SchemaCheck(schema)
    seconds = []
    for size in (len(value), 32_000, 16_000, 8_000, 4_000, 2_000, 1_000, 300):
        # the longest beginning that is let through to the validator
        cut = value if size >= len(value) else value[: value.rfind(b",", 0, size)] + b"]}"[value[:1] == b"{" :][:1]
        if value[:1] == b'"':
            cut = value[: min(size, len(value)) - 1] + b'"'
        started = time.process_time()
        try:
            check.check(cut, "$")
        except TooLarge:
            continue
        except SchemaMismatch:
            pass
        seconds.append(time.process_time() - started)
    # 20 ms on a machine of its own; twice the machine's worst day here
    assert seconds
    assert max(seconds) < 0.1, seconds


def test_what_does_not_fit_is_told_by_path_and_without_what_was_sent() -> None:
    check = SchemaCheck(CHAT)

    def told(value: bytes) -> tuple[str, str | None]:
        with pytest.raises(SchemaMismatch) as refused:
            check.check(value, "$.data")
        return refused.value.message, refused.value.path

    assert told(b"[]") == ("expected object", "$.data")
    assert told(b"{}") == ("a required property is missing", "$.data.text")
    assert told(b'{"text":"secretsecret"}') == ("does not fit `maxLength` of the schema", "$.data.text")
    assert told(b'{"text":"a","list":[1,"secret"]}') == ("expected integer", "$.data.list[1]")
    assert told(b'{"text":"a","at":"yesterday"}') == ("expected the format date-time", "$.data.at")
    assert told(b'{"text":"a","a b":1}') == ("there is no such property", '$.data["a b"]')
    long = told(b'{"text":"a","%b":1}' % (b"k" * 5_000))[1]
    assert long is not None
    assert len(long) <= 500


def test_of_alternatives_the_nearest_says_what_is_wrong() -> None:
    def branch(name: str, **more: Any) -> dict[str, Any]:
        return {"properties": {"kind": {"const": name}, **more}, "required": ["kind", *more]}

    check = SchemaCheck({"oneOf": [branch("a", x={"type": "string"}), branch("b", y={"type": "integer"})]})
    with pytest.raises(SchemaMismatch) as refused:
        check.check(b'{"kind":"a","x":5}', "$.data")
    assert refused.value.path == "$.data.x"


def test_what_fits_is_written_anew() -> None:
    check = SchemaCheck({"properties": {"n": {"type": "number"}}})
    assert check.check(b'{ "n": "x", "n": 1.0 }', "$") == b'{"n":1.0}'
    assert check.check(b'{"n":18446744073709551615}', "$") == b'{"n":18446744073709551615}'
    assert check.check(b'"\\u00e4"', "$") == '"ä"'.encode()


def test_true_is_not_one() -> None:
    with pytest.raises(SchemaMismatch):
        SchemaCheck({"const": 1}).check(b"true", "$")


_names = st.sampled_from(["type", "items", "properties", "allOf", "pattern", "$ref", "enum", "const", "$defs", "not"])
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["#", "#/a", "string"]),
    lambda held: st.lists(held, max_size=3) | st.dictionaries(_names, held, max_size=3),
    max_leaves=15,
)


@given(st.dictionaries(_names, _json, max_size=4))
def test_whatever_is_called_a_schema_is_taken_or_refused(schema: dict[str, Any]) -> None:
    try:
        check_schema(schema, "$")
        check = SchemaCheck(schema)
    except RoomcastError:
        return
    for value in (b"{}", b"[1]", b'"a"', b"null"):
        try:
            check.check(value, "$")
        except SchemaMismatch:
            continue


def test_paths_are_written_as_they_are_read() -> None:
    assert path_to("$.data", ["a", 0, "b c", "$defs", "ä"]) == '$.data.a[0]["b c"].$defs["\\u00e4"]'
