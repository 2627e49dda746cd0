"""Which texts name what."""

import msgspec
import pytest
from hypothesis import given

from service.protocol.identifiers import (
    ConnectionId,
    MessageName,
    Position,
    PositionText,
    RoomName,
    RoomPattern,
    TenantName,
    UserName,
    is_connection,
    is_position,
    is_room,
    is_tenant,
    is_user,
    parse_position,
)
from tests.protocol.strategies import rooms

GOOD: list[tuple[object, list[str]]] = [
    (TenantName, ["a", "0", "acme-1", "a" * 63]),
    (RoomName, ["chat", "...", ".a", "Az0_-=@,.;:", "r" * 200]),
    (UserName, ["bob", "Ünï cødé 😀", "a b", "u" * 128, "😀" * 128, "..."]),
    (MessageName, ["typing", "a/b", ".", "n" * 200]),
    (ConnectionId, ["c" * 16, "c" * 40, "A_-" * 6]),
    (PositionText, ["e:0", "E_-9:12", "e:999999999999999999"]),
    (RoomPattern, ["*", "chat", "chat:*", ".*", "..*", "r" * 200 + "*"]),
]
BAD: list[tuple[object, list[str]]] = [
    (TenantName, ["", "-a", "A", "a_b", "a" * 64, "acme\n", "\nacme", "*", "ä"]),
    (RoomName, ["", ".", "..", "a/b", "chat\n", "a\x00b", "a b", "*", "ä", "r" * 201, "a%"]),
    (UserName, ["", ".", "..", "a/b", "bob\n", "a\x00b", "a\x7fb", "a\x85b", "u" * 129]),
    (MessageName, ["", "a\n", "a\x00", "a\x9f", "n" * 201]),
    (ConnectionId, ["c" * 15, "c" * 41, "c" * 15 + "/", "c" * 16 + "\n"]),
    (PositionText, ["", "e", ":1", "e:", "e:01", "e:-1", "e:1\n", "e:+1", "e:1.0", "e:" + "9" * 19, "e" * 17 + ":1",
                    "e:\u0661"]),
    (RoomPattern, ["", ".", "..", "a*b", "**", "chat:*\n", "a/*", "r" * 201]),
]  # fmt: skip
CHECKS = {
    TenantName: is_tenant,
    RoomName: is_room,
    UserName: is_user,
    ConnectionId: is_connection,
    PositionText: is_position,
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in GOOD for text in texts])
def test_a_good_name_is_taken(kind: object, text: str) -> None:
    assert msgspec.convert(text, kind) == text
    assert kind not in CHECKS or CHECKS[kind](text)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in BAD for text in texts])
def test_a_bad_name_is_refused(kind: object, text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, kind)
    assert kind not in CHECKS or not CHECKS[kind](text)


@given(room=rooms)
def test_a_room_of_the_alphabet_is_a_room(room: str) -> None:
    assert is_room(room)


def test_a_position_reads_as_it_is_written() -> None:
    assert parse_position("ab:12") == Position("ab", 12)
    assert str(Position("ab", 12)) == "ab:12"
