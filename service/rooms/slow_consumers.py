"""A room's events as its type has them: where a slow socket may do without, each can be left out of a full outbox."""

import re
from collections.abc import Sequence

from service.brokers.broker import Envelope
from service.rooms.fanout import Item, Ready, message_payload
from service.rooms.spare_frames import Span, spare_frame
from service.tenants.room_types import SlowConsumer

# A message's name stands first in its body (`fanout.OutgoingMessage.body`); JSON text as it was encoded, once for all.
_NAME = re.compile(rb'"name":("(?:[^"\\]|\\.)*")')


class SpareReady(Ready):
    """An event that a slow socket may do without; `span` and `name` as of `SpareFrame`."""

    __slots__ = ("_name", "_span")

    def __init__(self, payload: bytes, span: Span | None, name: bytes | None) -> None:
        super().__init__(payload)
        self._span = span
        self._name = name
        self.text = spare_frame(self.text, False, span, name)

    def for_subscriber(self, binary: bool) -> bytes:
        """The frame in the subscriber's subprotocol."""
        frame = super().for_subscriber(binary)
        if type(frame) is bytes:
            self.binary = frame = spare_frame(frame, True, self._span, self._name)
        return frame


def message_items(room: str, prefix: bytes, messages: Sequence[Envelope], policy: SlowConsumer) -> list[Item]:
    """Messages as a room's sockets get them; `prefix` as of `message_payload`."""
    if policy == "disconnect":
        return [Item(Ready(message_payload(prefix, message)), message) for message in messages]
    return [Item(_spare_message(room, prefix, message, policy), message) for message in messages]


def signal_ready(payload: bytes, policy: SlowConsumer) -> Ready:
    """A signal for a room's sockets: under load signals may be dropped (PROTOCOL.md, "Words")."""
    return Ready(payload) if policy == "disconnect" else SpareReady(payload, None, None)


def _spare_message(room: str, prefix: bytes, message: Envelope, policy: SlowConsumer) -> Ready:
    span = Span(room, message.epoch, message.offset - 1, message.offset, message.stored)
    name: bytes | None = None
    if policy == "latest_by_name":
        found = _NAME.match(message.body)
        name = b"" if found is None else found[1]
    return SpareReady(message_payload(prefix, message), span, name)
