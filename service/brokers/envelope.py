"""What travels through Redis' channels and lies in its streams, to bytes and back.

A payload's first line says what it is, the rest are any bytes: `<format> <kind> <line>\\n<body>`. Kinds on a room's
channel: m messages (their bodies one after the other), s signal, e epoch; their line is a JSON array (msgspec reads it
in 0.5 µs, splitting text takes four times that) and has no newline of its own. On the nodes' channels: u for a user's
connections, d disconnect, t tenant changed; their line is text with single spaces, a user's name last.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from service.brokers.broker import Envelope, Origin, RoomReceiver
from service.protocol.identifiers import Position

_encode: Final = msgspec.json.Encoder().encode
_decode_messages: Final = msgspec.json.Decoder(tuple[str, int, bool, int, list[Origin], list[int]]).decode
_decode_origin: Final = msgspec.json.Decoder(Origin).decode
_decode_head: Final = msgspec.json.Decoder(tuple[str, int]).decode


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
        _receive_messages(receiver, line[4:], body)
    elif kind == b"1 s ":
        receiver.receive_signal(_decode_origin(line[4:]), body)
    elif kind == b"1 e ":
        receiver.receive_epoch(Position(*_decode_head(line[4:])))
    else:
        raise Unknown(kind.decode(errors="replace"))


def _receive_messages(receiver: RoomReceiver, line: bytes, bodies: bytes) -> None:
    epoch, offset, stored, time_ms, origins, lengths = _decode_messages(line)
    if len(origins) != len(lengths) or sum(lengths) != len(bodies):
        raise Unknown("lengths that do not fit")
    start = 0
    for origin, length in zip(origins, lengths, strict=True):
        end = start + length
        receiver.receive_message(Envelope(epoch, offset, stored, time_ms, origin, bodies[start:end]))
        offset, start = offset + 1, end


def kept_envelope(epoch: str, entry_id: bytes, fields: Sequence[bytes]) -> Envelope:
    """A stream's entry `N-0` with the fields h, t, d."""
    _, header, _, time_ms, _, body = fields
    return Envelope(epoch, int(entry_id[:-2]), True, int(time_ms), _decode_origin(header), body)


def position(reply: Sequence[Any]) -> Position:
    """The position that a script's reply begins with."""
    return Position(reply[0].decode(), reply[1])
