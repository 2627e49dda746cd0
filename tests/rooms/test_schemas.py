"""What a room type lets through."""

from functools import partial
from timeit import timeit
from typing import Any, Literal

import pytest

from service.protocol.errors import SchemaMismatch, TooLarge
from service.rooms.rules import Rulebook
from service.rooms.schemas import Kind, make_schemas
from service.tenants.limits import Limits
from service.tenants.room_types import RoomType, RoomTypes
from service.tenants.snapshot import TenantSnapshot

TEXT = {"properties": {"text": {"type": "string"}}, "required": ["text"]}


def test_a_type_without_schemas_has_nothing_to_check() -> None:
    assert make_schemas("chat", RoomType(history_messages=5)) is None


@pytest.mark.parametrize("additional", ["allow", "refuse"])
def test_names_without_a_schema_pass_untouched_or_are_refused(additional: Literal["allow", "refuse"]) -> None:
    schemas = make_schemas("chat", RoomType(messages={"said": TEXT}, signals={"typing": TEXT}, additional=additional))
    assert schemas is not None
    assert schemas.check("message", "said", b'{ "text": "a" }', "r") == b'{"text":"a"}'
    unknown: list[tuple[Kind, str | None]] = [("message", "typing"), ("message", None), ("signal", "said")]
    for kind, name in unknown:
        if additional == "allow":
            assert schemas.check(kind, name, b"{  }", "r") == b"{  }"
            continue
        with pytest.raises(SchemaMismatch) as refused:
            schemas.check(kind, name, b"{}", "r")
        assert (refused.value.path, refused.value.room) == ("$.name", "r")
    assert schemas.check("state", None, b"{  }", "r") == b"{  }"


def test_each_kind_has_its_own_path_and_its_own_key() -> None:
    schemas = make_schemas("chat", RoomType(messages={"a b": TEXT}, signals={"s": TEXT}, state=TEXT))
    assert schemas is not None
    told: list[tuple[Kind, str | None, str, str]] = [
        ("message", "a b", "$.data.text", "chat message a b"),
        ("signal", "s", "$.data.text", "chat signal s"),
        ("state", None, "$.state.text", "chat state"),
    ]
    for kind, name, path, key in told:
        with pytest.raises(SchemaMismatch) as refused:
            schemas.check(kind, name, b"{}", "r")
        assert refused.value.path == path
        assert schemas.key(kind, name) == key
    assert schemas.key("message", "made up") == "chat message"


def test_a_value_whose_check_could_take_too_long_is_too_large() -> None:
    enum: list[dict[str, Any]] = [{"a": number} for number in range(500)]
    schemas = make_schemas("chat", RoomType(messages={"said": {"items": {"enum": enum}}}))
    assert schemas is not None
    with pytest.raises(TooLarge) as refused:
        schemas.check("message", "said", b'[{"a":499}' + b',{"a":499}' * 1_000 + b"]", "r")
    assert (refused.value.limit, refused.value.room) == ("max_checked_bytes", "r")


def test_a_schema_is_compiled_once_for_all_rooms_of_a_snapshot() -> None:
    types = RoomTypes({"chat": RoomType(pattern="chat:*", messages={"said": TEXT})})
    rulebook = Rulebook(TenantSnapshot("t1", "acme", True, Limits(), (), {}, {}, 1, types))
    one, other = rulebook.find("chat:1").schemas, rulebook.find("chat:2").schemas
    assert one is other is not None
    assert rulebook.find("else").schemas is None


@pytest.mark.alone
def test_a_message_of_200_bytes_is_checked_within_its_time() -> None:
    """2 µs on two shared cores that have nothing else to do (1.5 measured); the bound here is for busy ones."""
    schema = {
        "type": "object",
        "properties": {
            "text": {"type": "string", "maxLength": 4_000},
            "mentions": {"type": "array", "items": {"type": "string"}},
            "colour": {"enum": ["red", "blue"]},
            "size": {"type": "integer", "minimum": 0},
        },
        "required": ["text"],
        "additionalProperties": False,
    }
    schemas = make_schemas("chat", RoomType(messages={"said": schema}))
    assert schemas is not None
    data = b'{"text":"%b","mentions":["alice","bob"],"colour":"red","size":5}' % (b"a" * 138)
    assert len(data) == 200
    check = partial(schemas.check, "message", "said", data, "chat:1")
    seconds = min(timeit(check, number=200) for _ in range(1_000)) / 200
    print(f"{seconds * 1e6:.2f} µs")
    assert seconds < 6e-6
