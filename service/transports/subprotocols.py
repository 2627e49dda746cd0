"""What a client offers in its handshake: the subprotocol, and the token (PROTOCOL.md, "Connecting"). Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from service.protocol.errors import Invalid, RoomcastError

JSON: Final = "roomcast.v1.json"
MSGPACK: Final = "roomcast.v1.msgpack"
# Browsers can set no header on a socket: their token is one more offered subprotocol, never selected or echoed.
TOKEN_PREFIX: Final = "roomcast.token."  # noqa: S105 - no secret


# As ASGI has them: names in lower case. Litestar's own `Headers` decodes all of them first, 10 us a connect.
Headers = Iterable[tuple[bytes, bytes]]


class Offer(NamedTuple):
    """What was offered. `selected`: the subprotocol to answer with (None: none was offered, JSON is spoken)."""

    selected: str | None = None
    token: str = ""
    token_is_subprotocol: bool = False
    refusal: RoomcastError | None = None

    @property
    def binary(self) -> bool:
        """Whether MessagePack in binary frames was chosen."""
        return self.selected == MSGPACK


def values_of(headers: Headers, wanted: bytes) -> list[str]:
    """All values of one header."""
    return [value.decode("latin-1") for name, value in headers if name == wanted]


def read_offer(headers: Headers) -> Offer:
    """The offer of a handshake; `refusal` says what is wrong with it (400)."""
    lines = values_of(headers, b"sec-websocket-protocol")
    offered = [text.strip() for line in lines for text in line.split(",") if text.strip()]
    known = [text for text in offered if text in (JSON, MSGPACK)]
    tokens = [text.removeprefix(TOKEN_PREFIX) for text in offered if text.startswith(TOKEN_PREFIX)]
    bearers = [line[7:].strip() for line in values_of(headers, b"authorization") if line[:7].lower() == "bearer "]
    selected = known[0] if known else None
    refusal: RoomcastError | None = None
    if offered and selected is None:
        refusal = Invalid(f"offer {JSON} or {MSGPACK} as subprotocol", "$")
    elif len(tokens) + len(bearers) > 1:
        refusal = Invalid("send one token, in Authorization or as a subprotocol", "$")
    token = (tokens or bearers or [""])[0]
    return Offer(selected, token, bool(tokens), refusal)
