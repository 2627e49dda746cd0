"""What travels through Redis' channels and lies in its streams, to bytes and back.

A payload's first line is text with single spaces, the rest any bytes: `<format> <kind> …\\n<body>`. Kinds on a room's
channel: m message, s signal, e epoch. On the nodes' channels: u for a user's connections, d disconnect (u user,
c connection), t tenant changed.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from service.brokers.broker import Envelope, Origin, RoomReceiver
from service.protocol.identifiers import Position

FORMAT_DIGIT: Final = b"1"
_new = tuple.__new__  # NamedTuple's own constructor takes 0.25 µs more, each time


class Unknown(Exception):
    """A newer node's format or kind: not for us."""


def origin_header(origin: Origin) -> bytes:
    """`connection reference echo exclude,exclude`; none of them has a space or a comma."""
    connection, reference, echo, exclude = origin
    return f"{connection} {reference} {'1' if echo else '0'} {','.join(exclude)}".encode()


def parse_origin(connection: bytes, reference: bytes, echo: bytes, exclude: bytes) -> Origin:
    """The reverse of `origin_header`, split at its spaces."""
    excluded = tuple(exclude.decode().split(",")) if exclude else ()
    return _new(Origin, (connection.decode(), int(reference), echo == b"1", excluded))


@lru_cache(maxsize=1024)
def epoch_text(epoch: bytes) -> str:
    """An epoch as text; few are in use at a time."""
    return epoch.decode()


def receive_room_payload(receiver: RoomReceiver, payload: bytes) -> None:
    """Hand a payload of a room's channel to its receiver; raises Unknown, or ValueError if it is garbled."""
    head, _, body = payload.partition(b"\n")
    if head[:4] == b"1 m ":
        _, _, epoch, offset, stored, time_ms, *origin = head.split(b" ")
        values = (epoch_text(epoch), int(offset), stored == b"1", int(time_ms), parse_origin(*origin), body)
        receiver.receive_message(_new(Envelope, values))
    elif head[:4] == b"1 s ":
        _, _, *origin = head.split(b" ")
        receiver.receive_signal(parse_origin(*origin), body)
    elif head[:4] == b"1 e ":
        _, _, epoch, offset = head.split(b" ")
        receiver.receive_epoch(Position(epoch_text(epoch), int(offset)))
    else:
        raise Unknown(head[:4].decode(errors="replace"))


def kept_envelope(epoch: str, entry_id: bytes, fields: Sequence[bytes]) -> Envelope:
    """A stream's entry `N-0` with the fields h, t, d."""
    _, header, _, time_ms, _, body = fields
    return Envelope(epoch, int(entry_id[:-2]), True, int(time_ms), parse_origin(*header.split(b" ")), body)


def position(reply: Sequence[Any]) -> Position:
    """The position that a script's reply begins with."""
    return Position(epoch_text(reply[0]), reply[1])
