"""What travels through Redis' channels and lies in its streams, to bytes and back.

A payload's first line says what it is, the rest are any bytes: `<format> <kind> <line>\\n<body>`. Kinds on a room's
channel: m messages (their bodies one after the other), s signal, e epoch, p presence (members one after the other);
their line is a JSON array (msgspec reads it in 0.5 µs, splitting text takes four times that) and has no newline of its
own. On the nodes' channels: u for a user's
connections, d disconnect, x out of a room, t tenant changed, q question, r reply; their line is text with single
spaces, a user's name last.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from service.brokers.broker import Envelope, Listener, Origin, RoomReceiver
from service.brokers.members import MemberChange, PresenceChange, RoomMember
from service.protocol.identifiers import Position

_encode: Final = msgspec.json.Encoder().encode
_decode_messages: Final = msgspec.json.Decoder(tuple[str, int, bool, int, list[Origin], list[int]]).decode
_decode_origin: Final = msgspec.json.Decoder(Origin).decode
_decode_presence: Final = msgspec.json.Decoder(tuple[int, int, int, list[tuple[str, str, str, int]]]).decode
_decode_head: Final = msgspec.json.Decoder(tuple[str, int]).decode
_CHANGES: Final[dict[str, Literal["joined", "changed", "left"]]] = {"j": "joined", "c": "changed", "l": "left"}


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
    elif kind == b"1 p ":
        receiver.receive_presence(_presence(line[4:], body))
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


def receive_control_payload(listener: Listener, payload: bytes) -> None:
    """The same for a payload of a node's channel, or of that of all nodes; raises Unknown or UnicodeDecodeError."""
    head, _, body = payload.partition(b"\n")
    kind, rest = head[:4], head[4:].decode()
    if kind == b"1 u ":
        tenant_id, _, name = rest.partition(" ")
        listener.receive_direct(tenant_id, name, body)
    elif kind == b"1 d ":
        tenant_id, reconnect, whose, name = rest.split(" ", 3)
        user = name if whose == "u" else None
        connection = name if whose == "c" else None
        listener.receive_disconnect(tenant_id, user, connection, reconnect == "1")
    elif kind == b"1 x ":
        listener.receive_expulsion(*rest.split(" ", 2))
    elif kind == b"1 t ":
        listener.receive_tenant_change(rest)
    elif kind == b"1 n " and rest == "drain":
        listener.receive_drain()
    elif kind == b"1 q ":
        number, _, node = rest.partition(" ")
        listener.receive_question(node, int(number), body)
    elif kind == b"1 r ":
        listener.receive_reply(int(rest), body)
    else:
        raise Unknown(kind.decode(errors="replace"))


def _presence(line: bytes, members: bytes) -> PresenceChange:
    sequence, connections, users, told = _decode_presence(line)
    changes = []
    start = 0
    for kind, connection, was, size in told:
        if kind not in _CHANGES:
            raise Unknown(f"a change {kind}")
        member = parse_member(connection, members[start : start + size])
        changes.append(MemberChange(_CHANGES[kind], member, was))
        start += size
    return PresenceChange(sequence, connections, users, changes)


def parse_member(connection: str, member: bytes) -> RoomMember:
    """A member as members.lua makes it."""
    line, _, rest = member.partition(b"\n")
    _, joined_at_ms, info_bytes, user = line.split(b" ", 3)
    end = int(info_bytes)
    return RoomMember(connection, user.decode(), int(joined_at_ms), rest[:end], rest[end:])


def kept_envelope(epoch: str, entry_id: bytes, fields: Sequence[bytes]) -> Envelope:
    """A stream's entry `N-0` with the fields h, t, d."""
    _, header, _, time_ms, _, body = fields
    return Envelope(epoch, int(entry_id[:-2]), True, int(time_ms), _decode_origin(header), body)


def position(reply: Sequence[Any]) -> Position:
    """The position that a script's reply begins with."""
    return Position(reply[0].decode(), reply[1])
