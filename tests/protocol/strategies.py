"""Hypothesis strategies for the wire contract: any JSON value, and any valid instance of a Struct."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import Raw, inspect

from service.protocol import identifiers

type_info = inspect.type_info

# Not the surrogates (category Cs): they are no text.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
json_texts = st.builds(
    lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(),
    json_values,
    st.booleans(),
    st.sampled_from([None, 1]),
)

_ROOM_CHARACTERS = "ABCxyz019_-=@,.;:"
rooms = st.text(_ROOM_CHARACTERS, min_size=1, max_size=200).filter(lambda text: text not in (".", ".."))
_BY_PATTERN: dict[str, st.SearchStrategy[str]] = {
    identifiers.ROOM_PATTERN: rooms,
    identifiers.RIGHTS_PATTERN: rooms | st.builds(lambda text: text + "*", st.text(_ROOM_CHARACTERS, max_size=200)),
    identifiers.USER_PATTERN: st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=128
    ).filter(lambda text: text not in (".", "..")),
    identifiers.MESSAGE_NAME_PATTERN: st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200),
    identifiers.CONNECTION_PATTERN: st.from_regex(r"\A[A-Za-z0-9_-]{16,40}\Z"),
    identifiers.POSITION_PATTERN: st.builds(
        lambda epoch, offset: f"{epoch}:{offset}",
        st.from_regex(r"\A[A-Za-z0-9_-]{1,16}\Z"),
        st.integers(0, 10**18 - 1),
    ),
}


def _strings(kind: inspect.StrType, extra: dict[str, Any]) -> st.SearchStrategy[Any]:
    pattern = kind.pattern or extra.get("pattern")
    if pattern is not None:
        return _BY_PATTERN[pattern]
    characters = st.characters(exclude_categories=["Cs"])
    return st.text(characters, min_size=kind.min_length or 0, max_size=min(kind.max_length or 20, 64))


def _structs(kind: inspect.StructType) -> st.SearchStrategy[Any]:
    required = {field.name: values_of(field.type) for field in kind.fields if field.required}
    optional = {field.name: values_of(field.type) for field in kind.fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda given: kind.cls(**given))


_SIMPLE: dict[type[inspect.Type], Callable[[Any], st.SearchStrategy[Any]]] = {
    inspect.RawType: lambda kind: json_texts.map(Raw),
    inspect.NoneType: lambda kind: st.none(),
    inspect.BoolType: lambda kind: st.booleans(),
    inspect.FloatType: lambda kind: st.floats(allow_nan=False, allow_infinity=False),
    inspect.IntType: lambda kind: st.integers(
        -(2**53) if kind.ge is None else kind.ge, 2**53 if kind.le is None else kind.le
    ),
    inspect.LiteralType: lambda kind: st.sampled_from(kind.values),
    inspect.ListType: lambda kind: st.lists(values_of(kind.item_type), max_size=3),
    inspect.DictType: lambda kind: st.dictionaries(values_of(kind.key_type), values_of(kind.value_type), max_size=3),
    inspect.StructType: _structs,
}


def values_of(kind: inspect.Type, extra: dict[str, Any] | None = None) -> st.SearchStrategy[Any]:
    """Valid values of a type, as `msgspec.inspect` describes it."""
    match kind:
        case inspect.Metadata():
            return values_of(kind.type, kind.extra_json_schema)
        case inspect.StrType():
            return _strings(kind, extra or {})
        case inspect.UnionType():
            return st.one_of([values_of(member) for member in kind.types])
        case _:
            return _SIMPLE[type(kind)](kind)


def instances(struct: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Valid instances of a Struct: each optional field is there or not."""
    return values_of(type_info(struct))
