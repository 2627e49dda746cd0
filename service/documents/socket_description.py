"""What the AsyncAPI document says in words: how to connect, what is promised, and how a socket ends."""

from typing import Final

from service.protocol.errors import RECONNECTS, CloseCode

# Of `transports/subprotocols.py`, which this layer may not import; a test holds them together.
SUBPROTOCOLS: Final = ("roomcast.v1.json", "roomcast.v1.msgpack")
TOKEN_SUBPROTOCOL: Final = "roomcast.token."  # noqa: S105 - no secret

CLOSE_REASONS: Final[dict[CloseCode, str]] = {
    CloseCode.NORMAL: "the client closed",
    CloseCode.GOING_AWAY: "the node goes away; `closing` came first, with an `after_ms` for each client",
    CloseCode.PROTOCOL_ERROR: "a broken frame",
    CloseCode.UNSUPPORTED_DATA: "a text frame where binary is spoken, or the other way round",
    CloseCode.INVALID_DATA: "text that is not UTF-8",
    CloseCode.FLOOD: "a flood of bad commands",
    CloseCode.TOO_LARGE: "a frame or message over `max_frame_bytes`, or of more than 64 fragments",
    CloseCode.INTERNAL: "a bug of ours",
    CloseCode.RESTART: "the node restarts; `closing` came first, with an `after_ms` for each client",
    CloseCode.OVERLOADED: "overloaded, or out of reach of Redis",
    CloseCode.UNAUTHENTICATED: "the token is missing, bad, expired and not refreshed, or revoked",
    CloseCode.FORBIDDEN: "the tenant is suspended or deleted",
    CloseCode.NO_PONG: "no pong within 10 s",
    CloseCode.DISCONNECTED: "disconnected by the tenant's server",
    CloseCode.TOO_MANY: "a limit of connections is reached",
    CloseCode.SLOW_CONSUMER: "a slow consumer: its buffer passed the limit; `join` with `since` loses nothing",
}

DESCRIPTION: Final = f"""\
Rooms, messages and presence of one tenant, for its users' clients, over one WebSocket.

## Connecting

`GET /v1/connect` with the subprotocol `{SUBPROTOCOLS[0]}` (text frames of JSON; also when none is offered) or
`{SUBPROTOCOLS[1]}` (the same in binary frames of MessagePack). The tenant's token, a JWT, comes in
`Authorization: Bearer …` or, from browsers, as one more offered subprotocol `{TOKEN_SUBPROTOCOL}<jwt>`, never in the
URL. A refusal is an HTTP answer with a problem+json body; if the token came as a subprotocol, the socket opens,
`closing` is sent and the socket is closed with the code that belongs to the status.

The first event is `welcome`. A client ignores event types and fields that it does not know.

## Promises

In one room a connection gets `joined`, then the missed messages, then live ones, each once, offsets rising by one. A
client's position in a room is that of its last `joined`, `message` or `published`; sent as `since` of the next `join`
it loses nothing, or a `gap` says what was lost. A `publish` with a `key` is safe to repeat within 300 s.

## Close codes

| code | why | come back? |
|---|---|---|
"""


def describe_socket() -> str:
    """The description in Markdown, with the table of close codes."""
    rows = [f"| {code:d} | {reason} | {_next_move(code)} |" for code, reason in CLOSE_REASONS.items()]
    ends = "Without a close frame (1006) or with a code that is not listed: come back, backing off; not after 44xx."
    return DESCRIPTION + "\n".join(rows) + f"\n\n{ends}\n"


def _next_move(code: CloseCode) -> str:
    match code:
        case CloseCode.NORMAL:
            return ""
        case CloseCode.DISCONNECTED:
            return "as `closing.reconnect` says"
        case CloseCode.UNAUTHENTICATED:
            return "with a new token"
        case CloseCode.GOING_AWAY | CloseCode.RESTART:
            return "yes, after `closing.after_ms`"
        case _:
            return "yes, backing off" if code in RECONNECTS else "no"
