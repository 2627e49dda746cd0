"""Messages of rooms besides publishing: signals, history and its epochs."""

from collections.abc import Awaitable
from functools import partial
from typing import Any

from service.brokers import envelope, scripts
from service.brokers.broker import (
    Envelope,
    History,
    Origin,
    RoomAddress,
    RoomHead,
)
from service.brokers.keys import Keyspace, RoomKeys
from service.brokers.link import Link
from service.brokers.resp import pack
from service.protocol.identifiers import Position


class RoomMessages:
    """Its part of `Broker`."""

    _link: Link

    def signal_room(self, address: RoomAddress, body: bytes, origin: Origin) -> Awaitable[None]:
        """See `Broker.signal_room`."""
        payload = b"1 s %b\n%b" % (envelope.origin_header(origin), body)
        return self._link.ask(pack(self._link.keyspace.room_verb, address.keys.channel, payload), _nothing)

    def read_history(
        self, address: RoomAddress, *, after: int | None, before: int | None, limit: int, newest: bool, max_bytes: int
    ) -> Awaitable[History]:
        """See `Broker.read_history`."""
        packed = scripts.READ_HISTORY.pack(
            _head_keys(address.keys),
            self._link.generation_of(address.partition),
            "" if after is None else after,
            "" if before is None else before,
            limit,
            int(newest),
            max_bytes,
        )
        return self._link.ask(packed, partial(_history, newest))

    def forget_history(self, address: RoomAddress) -> Awaitable[Position]:
        """See `Broker.forget_history`."""
        return self.end_epoch(address, "")

    def end_epoch(self, address: RoomAddress, epoch: str) -> Awaitable[Position]:
        """See `Broker.end_epoch`."""
        keys = [*_head_keys(address.keys), Keyspace.changed(address.partition)]
        packed = scripts.END_EPOCH.pack(keys, self._link.generation_of(address.partition), epoch)
        return self._link.ask(packed, envelope.position)

    def describe_room(self, address: RoomAddress) -> Awaitable[RoomHead | None]:
        """See `Broker.describe_room`."""
        keys = [*_head_keys(address.keys), address.keys.key(b"n"), address.keys.key(b"u")]
        return self._link.ask(scripts.DESCRIBE_ROOM.pack(keys, self._link.generation_of(address.partition)), _described)


def _head_keys(keys: RoomKeys) -> list[bytes]:
    return [keys.key(b"m"), keys.key(b"s"), keys.channel]


def _history(newest: bool, reply: list[Any]) -> History:
    head, first, cut_offset, more = envelope.position(reply), reply[2], reply[3], reply[4]
    entries = zip(reply[5::2], reply[6::2], strict=True)
    messages: list[Envelope] = [envelope.kept_envelope(head.epoch, *entry) for entry in entries]
    if newest:
        messages.reverse()
    return History(head, first, cut_offset, messages, more == 1)


def _described(reply: list[Any] | None) -> RoomHead | None:
    return None if reply is None else RoomHead(envelope.position(reply), reply[2], reply[3])


def _nothing(_reply: object) -> None:
    """The reply says nothing that anybody wants."""
