"""What travels through Redis' channels and lies in its streams, to bytes and back.

A payload's first line says what it is, the rest are any bytes: `<format> <kind> <line>\\n<body>`. Kinds on a room's
channel: m message, s signal, e epoch; their line is a JSON array (msgspec reads it in 0.4 µs, splitting text takes
four times that) and has no newline of its own. On the nodes' channels: u for a user's connections, d disconnect,
t tenant changed; their line is text with single spaces, a user's name last.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from service.brokers.broker import Envelope, Origin, RoomReceiver
from service.protocol.identifiers import Position

_encode: Final = msgspec.json.Encoder().encode
_decode_message: Final = msgspec.json.Decoder(tuple[str, int, bool, int, Origin]).decode
_decode_origin: Final = msgspec.json.Decoder(Origin).decode
_decode_head: Final = msgspec.json.Decoder(tuple[str, int]).decode
_new: Final = tuple.__new__  # NamedTuple's own constructor takes 0.25 µs more, each time


class Unknown(Exception):
    """A newer node's format or kind: not for us."""


def origin_header(origin: Origin) -> bytes:
    """An origin as it travels and is kept: `["connection",reference,echo,["exclude"]]`."""
    return _encode(origin)


def receive_room_payload(receiver: RoomReceiver, payload: bytes) -> None:
    """Hand a payload of a room's channel to its receiver; raises Unknown, or ValidationError if it is garbled."""
    line, _, body = payload.partition(b"\n")
    kind = line[:4]
    if kind == b"1 m ":
        receiver.receive_message(_new(Envelope, (*_decode_message(line[4:]), body)))
    elif kind == b"1 s ":
        receiver.receive_signal(_decode_origin(line[4:]), body)
    elif kind == b"1 e ":
        receiver.receive_epoch(Position(*_decode_head(line[4:])))
    else:
        raise Unknown(kind.decode(errors="replace"))


def kept_envelope(epoch: str, entry_id: bytes, fields: Sequence[bytes]) -> Envelope:
    """A stream's entry `N-0` with the fields h, t, d."""
    _, header, _, time_ms, _, body = fields
    return Envelope(epoch, int(entry_id[:-2]), True, int(time_ms), _decode_origin(header), body)


def position(reply: Sequence[Any]) -> Position:
    """The position that a script's reply begins with."""
    return Position(reply[0].decode(), reply[1])
