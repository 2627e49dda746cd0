import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tenants.rights import VERBS, BadClaim, RoomRights, compile_rooms, parse_join


def rights(rooms: dict[str, list[str]]) -> RoomRights:
    return compile_rooms(json.dumps(rooms).encode())


def test_the_exact_name_alone_counts_before_any_prefix() -> None:
    chat = rights({"*": ["*"], "chat:*": ["join", "publish"], "chat:staff": ["join"], "chat:closed": []})
    assert chat.allows("chat:1", "publish")
    assert chat.allows("chat:staff", "join")
    assert not chat.allows("chat:staff", "publish")
    assert not chat.allows("chat:closed", "join")
    assert chat.allows("news", "history")


def test_the_longest_prefix_alone_counts() -> None:
    chat = rights({"a*": ["publish"], "a:b*": ["join"], "a:b:c*": []})
    assert chat.allows("a:x", "publish")
    assert not chat.allows("a:b", "publish")
    assert chat.allows("a:b", "join")
    assert not chat.allows("a:b:c", "join")
    assert not chat.allows("b", "publish")


def test_a_prefix_matches_itself_and_no_shorter_name() -> None:
    chat = rights({"chat:*": ["join"]})
    assert chat.allows("chat:", "join")
    assert not chat.allows("chat", "join")
    assert not chat.allows("CHAT:1", "join")


def test_star_gives_every_verb() -> None:
    assert all(rights({"a": ["*"]}).allows("a", verb) for verb in VERBS)
    assert [verb for verb in VERBS if rights({"a": ["join", "history"]}).allows("a", verb)] == ["join", "history"]


@pytest.mark.parametrize("claim", [b"", b"[]", b"null", b'{"a":null}', b'{"a":[1]}', b'{"a":["x"]}', b"\xff"])
def test_what_is_no_claim_rooms_is_refused(claim: bytes) -> None:
    with pytest.raises(BadClaim):
        compile_rooms(claim)


def test_join_keeps_the_order_and_each_room_once() -> None:
    assert parse_join(b'["b","a","b"]') == ("b", "a")
    for claim in (b"{}", b'["a*"]', b'["a",1]', b'[".."]', b'["a\\n"]'):
        with pytest.raises(BadClaim):
            parse_join(claim)


NAMES = st.text("ab:", min_size=1, max_size=4)


@given(
    st.dictionaries(NAMES.flatmap(lambda name: st.sampled_from([name, name + "*"])), st.just(["join"]) | st.just([]))
)
def test_rights_are_those_of_the_rule_in_the_contract(rooms: dict[str, list[str]]) -> None:
    compiled = rights(rooms)
    for room in ("a", "ab", "a:b", "b", "aa:b", ":", "abab"):
        matching = [pattern for pattern in rooms if pattern.endswith("*") and room.startswith(pattern[:-1])]
        rule = room if room in rooms else max(matching, key=len, default=None)
        assert compiled.allows(room, "join") == (rule is not None and "join" in rooms[rule])
