"""Which changes break a reader or a writer: docs/contract.md's table, row by row."""

from typing import Any

import pytest

from service.tenants.contract_changes import compare_contracts
from service.tenants.room_types import RoomType
from service.tenants.schema_changes import MAX_CHANGES, compare_schemas, is_same

TEXT = {"type": "string"}
SAID: dict[str, Any] = {"properties": {"text": TEXT}, "required": ["text"]}


def compared(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(each.path, each.change, each.breaking) for each in compare_schemas(old, new, "$")]


@pytest.mark.parametrize(
    ("old", "new", "path", "change"),
    [
        ({"required": ["a"]}, {}, "$.required", "a is no longer required"),
        ({}, {"required": ["a"]}, "$.required", "a is required"),
        ({"properties": {"a": {}}}, {}, "$.properties.a", "removed"),
        ({"type": ["string", "null"]}, TEXT, "$.type", "narrowed from null or string to string"),
        (TEXT, {"type": ["string", "null"]}, "$.type", "widened from string to null or string"),
        (TEXT, {"type": "integer"}, "$.type", "changed from string to integer"),
        ({"type": "number"}, {"type": "integer"}, "$.type", "narrowed from number to integer"),
        ({"type": "integer"}, {"type": "number"}, "$.type", "widened from integer to number"),
        ({}, TEXT, "$.type", "narrowed from any to string"),
        (TEXT, {}, "$.type", "widened from string to any"),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, "$.enum", '"b" removed'),
        ({"enum": ["a"]}, {"enum": ["a", "b"]}, "$.enum", '"b" added'),
        (TEXT | {"enum": ["a"]}, TEXT, "$.enum", "removed: any value"),
        (TEXT, TEXT | {"enum": ["a"]}, "$.enum", "added: other values are refused"),
        ({"minLength": 1}, {"minLength": 2}, "$.minLength", "tightened from 1 to 2"),
        ({}, {"maximum": 2}, "$.maximum", "tightened from null to 2"),
        ({"maxItems": 3}, {"maxItems": 2}, "$.maxItems", "tightened from 3 to 2"),
        ({}, {"pattern": "a"}, "$.pattern", "added or changed"),
        ({"multipleOf": 2}, {"multipleOf": 3}, "$.multipleOf", "added or changed"),
        ({}, {"uniqueItems": True}, "$.uniqueItems", "added or changed"),
        ({}, {"format": "date"}, "$.format", "added"),
        ({"format": "date"}, {}, "$.format", "removed"),
        ({"format": "date"}, {"format": "time"}, "$.format", "changed"),
        ({}, {"additionalProperties": False}, "$.additionalProperties", "no longer allowed"),
        ({"items": TEXT}, {}, "$.items.type", "widened from string to any"),
        ({"items": TEXT}, {"items": False}, "$.items", "no longer allowed"),
        ({"prefixItems": [TEXT]}, {"prefixItems": [{"type": "null"}]}, "$.prefixItems[0].type",
         "changed from string to null"),
        ({"anyOf": [TEXT]}, {"anyOf": [TEXT, {"type": "null"}]}, "$.anyOf[1]", "added"),
        ({"oneOf": [TEXT, {"type": "null"}]}, {"oneOf": [TEXT]}, "$.oneOf[1]", "removed"),
        ({}, {"allOf": [TEXT]}, "$.allOf[0]", "added"),
        ({"not": TEXT}, {"not": {"type": "null"}}, "$.not", "changed"),
        ({}, {"if": TEXT}, "$.if", "added"),
        ({"additionalProperties": TEXT}, {}, "$.additionalProperties.type", "widened from string to any"),
    ],
)  # fmt: skip
def test_a_change_that_breaks_somebody(old: dict[str, Any], new: dict[str, Any], path: str, change: str) -> None:
    assert compared(old, new) == [(path, change, True)]


@pytest.mark.parametrize(
    ("old", "new", "path", "change"),
    [
        ({}, {"properties": {"a": TEXT}}, "$.properties.a", "added, optional"),
        ({"minLength": 2}, {"minLength": 1}, "$.minLength", "loosened from 2 to 1"),
        ({"maximum": 2}, {}, "$.maximum", "loosened from 2 to null"),
        ({"pattern": "a"}, {}, "$.pattern", "removed"),
        ({"uniqueItems": True}, {"uniqueItems": False}, "$.uniqueItems", "removed"),
        ({"additionalProperties": False}, {}, "$.additionalProperties", "others are allowed"),
        ({}, {"title": "a"}, "$.title", "changed"),
        ({"description": "a"}, {"description": "b"}, "$.description", "changed"),
        ({"x-mine": 1}, {"x-mine": True}, '$.x-mine', "changed"),
    ],
)  # fmt: skip
def test_a_change_that_breaks_nobody(old: dict[str, Any], new: dict[str, Any], path: str, change: str) -> None:
    assert compared(old, new) == [(path, change, False)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SAID, {"required": ["text"], "properties": {"text": {"$ref": "#/$defs/t"}}, "$defs": {"t": TEXT}}),
        ({"items": True}, {}),
        ({"enum": ["a", "b"]}, {"enum": ["b", "a"]}),
        ({"const": 1}, {"enum": [1]}),
        ({"type": "string"}, {"type": ["string"]}),
        ({"anyOf": [TEXT, {"type": "null"}]}, {"anyOf": [{"type": "null"}, TEXT]}),
        ({"$defs": {"unused": TEXT}}, {}),
    ],
)
def test_what_means_the_same_is_no_break(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert not [each for each in compare_schemas(old, new, "$") if each.breaking]


def test_branches_are_told_apart_by_their_constants() -> None:
    def branch(kind: str, **more: Any) -> dict[str, Any]:
        return {"properties": {"kind": {"const": kind}, **more}}

    old = {"oneOf": [branch("a"), branch("b", x=TEXT)]}
    new = {"oneOf": [branch("b", x={"type": "null"}), branch("a")]}
    assert compared(old, new) == [("$.oneOf[0].properties.x.type", "changed from string to null", True)]


def test_recursive_schemas_are_compared_once() -> None:
    old = {"properties": {"kids": {"items": {"$ref": "#"}}, "name": TEXT}}
    new = {"properties": {"kids": {"items": {"$ref": "#"}}, "name": {"type": "null"}}}
    assert ("$.properties.name.type", "changed from string to null", True) in compared(old, new)


def test_a_flood_of_changes_is_cut() -> None:
    many = {"properties": {f"p{n}": TEXT for n in range(1_000)}}
    assert len(compare_schemas(many, {}, "$")) >= MAX_CHANGES
    assert len(compare_contracts({"a": RoomType(messages={"m": many})}, {"a": RoomType(messages={"m": {}})})) < 2_000


def test_one_and_true_are_not_the_same() -> None:
    assert not is_same({"const": 1}, {"const": True})
    assert is_same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert [each[2] for each in compared({"const": 1}, {"const": True})] == [True, True, True]


def types(**fields: Any) -> dict[str, RoomType]:
    return {"chat": RoomType(pattern="chat:*", **fields)}


@pytest.mark.parametrize(
    ("old", "new", "path", "breaking"),
    [
        ({}, types(messages={"said": SAID}), "$.room_types.chat", False),
        (types(messages={"said": SAID}), {}, "$.room_types.chat", True),
        (types(), {}, "$.room_types.chat", False),
        (types(), types(messages={"said": SAID}), "$.room_types.chat.messages.said", False),
        (types(messages={"said": SAID}), types(), "$.room_types.chat.messages.said", True),
        (types(signals={"a b": {}}), types(), '$.room_types.chat.signals["a b"]', True),
        (types(), types(state=SAID), "$.room_types.chat.state", False),
        (types(state=SAID), types(), "$.room_types.chat.state", True),
        (types(), types(additional="refuse"), "$.room_types.chat.additional", True),
        (types(additional="refuse"), types(), "$.room_types.chat.additional", False),
        (types(), types(history_messages=0), "$.room_types.chat.history_messages", False),
        ({"chat": RoomType(pattern="a")}, {"chat": RoomType(pattern="b")}, "$.room_types.chat.pattern", False),
        ({"chat": RoomType(pattern="a", state={})}, {"chat": RoomType(pattern="b", state={})},
         "$.room_types.chat.pattern", True),
    ],
)  # fmt: skip
def test_names_types_and_rules(old: dict[str, RoomType], new: dict[str, RoomType], path: str, breaking: bool) -> None:
    assert [(each.path, each.breaking) for each in compare_contracts(old, new)] == [(path, breaking)]


def test_the_same_contract_has_no_changes() -> None:
    both = types(messages={"said": SAID}, state={"const": 1})
    assert compare_contracts(both, dict(both)) == []
