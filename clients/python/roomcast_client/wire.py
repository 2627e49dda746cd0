"""Frames as they come: JSON texts to events, payloads left as they are until the room's contract reads them. Pure."""

from typing import Any, Final

import msgspec
from msgspec import Raw

from roomcast_client.events import (
    Authenticated,
    Closing,
    Direct,
    ErrorEvent,
    Event,
    Expiring,
    Gap,
    HistoryEvent,
    Joined,
    Left,
    MembersEvent,
    Message,
    OccupancyEvent,
    Pong,
    Presence,
    Published,
    Sent,
    SignalEvent,
    Signalled,
    StateSet,
    Welcome,
)

WebSocketEvent = (
    Welcome
    | Message[Raw]
    | SignalEvent[Raw]
    | Direct
    | Presence[Raw]
    | OccupancyEvent
    | Left
    | Gap
    | Expiring
    | ErrorEvent
    | Closing
    | Authenticated
    | Joined[Raw]
    | Published
    | Signalled
    | Sent
    | StateSet
    | MembersEvent[Raw]
    | HistoryEvent[Raw]
    | Pong
)


class _Tag(msgspec.Struct):
    type: Any = None


_decode: Final = msgspec.json.Decoder(WebSocketEvent).decode
_decode_tag: Final = msgspec.json.Decoder(_Tag).decode
_TAGS: Final = frozenset(
    kind.__struct_config__.tag
    for kind in (
        *(Welcome, Message, SignalEvent, Direct, Presence, OccupancyEvent, Left, Gap, Expiring, ErrorEvent, Closing),
        *(Authenticated, Joined, Published, Signalled, Sent, StateSet, MembersEvent, HistoryEvent, Pong),
    )
)


class BrokenFrame(Exception):
    """An event that this version knows, and that does not fit: nothing good can come of such a connection."""


def decode(payload: str | bytes) -> Event | None:
    """An event; None for one that a later server sends and this version does not know. Raises BrokenFrame."""
    try:
        event: Event = _decode(payload)
    except msgspec.MsgspecError as error:
        try:
            if _decode_tag(payload).type not in _TAGS:
                return None
        except msgspec.MsgspecError:
            pass
        raise BrokenFrame(str(error)) from None
    return event
