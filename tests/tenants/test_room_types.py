import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocol.errors import Conflict, Invalid
from service.tenants.limits import Limits
from service.tenants.room_types import DEFAULT, RoomType, RoomTypes

NO_LIMITS = Limits(max_history_messages=None, max_history_seconds=None)


def types(**patterns: str) -> RoomTypes:
    return RoomTypes({name: RoomType(pattern=pattern) for name, pattern in patterns.items()})


def test_without_types_every_room_is_of_the_default() -> None:
    assert RoomTypes().find("chat:1") == ("default", DEFAULT)
    assert not RoomTypes().types


def test_the_exact_name_wins_then_the_longest_prefix_then_the_default() -> None:
    of_tenant = types(lobby="chat:lobby", chat="chat:*", staff="chat:staff:*", short="c*")
    found = {room: of_tenant.find(room)[0] for room in ("chat:lobby", "chat:staff:1", "chat:7", "chat", "news")}
    assert found == {
        "chat:lobby": "lobby",
        "chat:staff:1": "staff",
        "chat:7": "chat",
        "chat": "short",
        "news": "default",
    }


def test_a_prefix_matches_the_name_that_it_is_but_no_shorter_one() -> None:
    assert types(chat="chat:*").find("chat:")[0] == "chat"
    assert types(chat="chat:*").find("chat")[0] == "default"


def test_a_type_named_default_replaces_the_default() -> None:
    mine = RoomTypes({"default": RoomType(history_messages=0), "news": RoomType()})
    assert mine.find("chat") == ("default", RoomType(pattern="*", history_messages=0))
    assert mine.find("news") == ("news", RoomType(pattern="news"))


def test_a_type_for_all_rooms_may_have_another_name() -> None:
    assert types(everything="*").find("chat")[0] == "everything"


@given(
    patterns=st.lists(st.text("ab:", min_size=0, max_size=4).map(lambda text: text + "*"), unique=True, max_size=6),
    exact=st.lists(st.text("ab:", min_size=1, max_size=4), unique=True, max_size=4),
    room=st.text("ab:", min_size=1, max_size=5),
)
def test_the_type_of_a_room_is_what_trying_every_pattern_would_find(
    patterns: list[str], exact: list[str], room: str
) -> None:
    every = {f"t{index}": RoomType(pattern=pattern) for index, pattern in enumerate([*patterns, *exact])}
    fitting = [
        (not kind.pattern.endswith("*"), len(kind.pattern), name)
        for name, kind in every.items()
        if kind.pattern == room or (kind.pattern.endswith("*") and room.startswith(kind.pattern[:-1]))
    ]
    assert RoomTypes(every).find(room)[0] == (max(fitting)[2] if fitting else "default")


def test_the_types_cannot_be_changed() -> None:
    source = {"news": RoomType()}
    of_tenant = RoomTypes(source)
    source["chat"] = RoomType()
    assert set(of_tenant.types) == {"news"}
    with pytest.raises(TypeError):
        of_tenant.types["chat"] = RoomType()  # type: ignore[index]


def test_a_type_without_a_pattern_is_for_its_own_name() -> None:
    assert RoomTypes().admit("chat:*", RoomType(), Limits()).pattern == "chat:*"
    assert RoomTypes().admit("default", RoomType(), Limits()).pattern == "*"


@pytest.mark.parametrize("name", ["", "a/b", "chat\n", "ä", "n" * 65, "a b", "a,b"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        RoomTypes().admit(name, RoomType(pattern="chat"), Limits())
    assert refused.value.path == "$.name"


@pytest.mark.parametrize("name", ["a*b", ".", "..", "**"])
def test_a_name_that_is_no_pattern_needs_one(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        RoomTypes().admit(name, RoomType(), Limits())
    assert refused.value.path == "$.pattern"
    assert RoomTypes().admit(name, RoomType(pattern="chat"), Limits()).pattern == "chat"


def test_the_default_has_the_pattern_of_all_rooms() -> None:
    with pytest.raises(Invalid):
        RoomTypes().admit("default", RoomType(pattern="chat:*"), Limits())


def test_two_types_with_one_pattern_are_a_conflict_but_a_type_may_be_put_again() -> None:
    of_tenant = types(chat="chat:*")
    with pytest.raises(Conflict, match=r"chat has the pattern chat:\*"):
        of_tenant.admit("talk", RoomType(pattern="chat:*"), Limits())
    assert of_tenant.admit("chat", RoomType(pattern="chat:*", presence=False), Limits()).presence is False


@pytest.mark.parametrize("field", ["history_messages", "history_seconds"])
def test_a_history_above_the_tenants_maximum_is_refused_when_set(field: str) -> None:
    limits = Limits(max_history_messages=10, max_history_seconds=10)
    wanted = {at: msgspec.convert({field: at}, RoomType) for at in (0, 10, 11)}
    assert RoomTypes().admit("chat", wanted[0], limits).pattern == "chat"
    assert RoomTypes().admit("chat", wanted[10], limits).pattern == "chat"
    assert RoomTypes().admit("chat", wanted[11], NO_LIMITS).pattern == "chat"
    with pytest.raises(Invalid, match=f"max_{field}: 10") as refused:
        RoomTypes().admit("chat", wanted[11], limits)
    assert refused.value.path == f"$.{field}"


@pytest.mark.parametrize(
    "body",
    [
        b'{"pattern":""}',
        b'{"pattern":"a*b"}',
        b'{"pattern":"chat\\n"}',
        b'{"pattern":null}',
        b'{"history_messages":-1}',
        b'{"history_messages":1.5}',
        b'{"history_seconds":9007199254740992}',
        b'{"presence":1}',
        b'{"presence_grace_seconds":300.1}',
        b'{"presence_grace_seconds":-0.1}',
        b'{"slow_consumer":"wait"}',
        b'{"acknowledge":"maybe"}',
        b'{"messages_per_second":0}',
        b'{"max_message_bytes":0}',
        b'{"max_members":"7"}',
        b'{"schemas":{}}',
    ],
)
def test_a_body_that_is_no_type_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=RoomType)


def test_a_type_survives_storage_and_its_defaults_are_not_stored() -> None:
    mine = RoomType(pattern="chat:*", history_messages=0, presence_grace_seconds=0.5, slow_consumer="drop_oldest")
    assert msgspec.json.decode(msgspec.json.encode(mine), type=RoomType) == mine
    assert msgspec.json.encode(RoomType(pattern="chat")) == b'{"pattern":"chat"}'
