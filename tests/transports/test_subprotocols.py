import pytest

from service.transports.subprotocols import read_offer


def offer(*protocols: str, bearers: tuple[str, ...] = ()) -> list[tuple[bytes, bytes]]:
    lines = [(b"sec-websocket-protocol", text.encode()) for text in protocols]
    return lines + [(b"authorization", f"Bearer {bearer}".encode()) for bearer in bearers]


@pytest.mark.parametrize(
    ("headers", "selected", "binary"),
    [
        (offer(), None, False),
        (offer("roomcast.v1.json"), "roomcast.v1.json", False),
        (offer("roomcast.v1.msgpack"), "roomcast.v1.msgpack", True),
        (offer("other, roomcast.v1.msgpack, roomcast.v1.json"), "roomcast.v1.msgpack", True),
        (offer("other", "roomcast.v1.json"), "roomcast.v1.json", False),
    ],
)
def test_the_first_known_subprotocol_is_selected(
    headers: list[tuple[bytes, bytes]], selected: str | None, binary: bool
) -> None:
    found = read_offer(headers)
    assert (found.selected, found.binary, found.refusal) == (selected, binary, None)


def test_a_token_among_the_subprotocols_is_taken_and_never_selected() -> None:
    found = read_offer(offer("roomcast.token.a.b.c, roomcast.v1.json"))
    assert (found.selected, found.token, found.token_is_subprotocol) == ("roomcast.v1.json", "a.b.c", True)


@pytest.mark.parametrize(
    "headers",
    [
        offer("graphql-ws"),
        offer("roomcast.token.a.b.c"),
        offer("roomcast.v1.json, roomcast.token.a.b.c, roomcast.token.a.b.c"),
        offer("roomcast.v1.json, roomcast.token.a.b.c", bearers=("a.b.c",)),
        offer(bearers=("a.b.c", "a.b.c")),
    ],
)
def test_unknown_subprotocols_alone_and_two_tokens_are_invalid(headers: list[tuple[bytes, bytes]]) -> None:
    refusal = read_offer(headers).refusal
    assert refusal is not None
    assert refusal.code == "invalid"


def test_other_schemes_of_authorization_are_no_token() -> None:
    assert read_offer([(b"authorization", b"Basic YTpi")]).token == ""
