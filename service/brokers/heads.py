"""Where rooms stand, by Redis: what was announced and lost shows by the next message, and the last one only so.

publish.lua notes each room that it changes. A node looks once a second at the partitions in which it has rooms open:
one command a second with one room open, 251 with 1,000 and 256 with 100,000, each 3 µs of Redis and 1 µs for each room
that changed.
"""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from service.brokers import scripts
from service.brokers.keys import Keyspace
from service.brokers.link import Link
from service.brokers.listener import Channels
from service.protocol.identifiers import Position

LOOK_SECONDS: Final = 1.0
TURNS: Final = 4  # in which all partitions are looked at, so that the answers don't come all at once
MAX_CHANGED: Final = 1_000  # rooms of a partition and look, 1 ms of Redis; the others are looked at next
TOLD_ROOMS: Final = 1_000  # before the loop has its turn; 0.5 ms

Head = tuple[bytes, bytes, int]  # channel, epoch, offset


class Heads:
    """Tells receivers of `channels` where their rooms stand, when what was announced up to there has come or is lost.

    `look` is to be called `TURNS` times in `LOOK_SECONDS`.
    """

    def __init__(self, link: Link, channels: Channels) -> None:
        self._link = link
        self._channels = channels
        self._since: dict[int, int] = {}  # by partition: until when it was looked at
        self._turn = 0

    async def look(self) -> None:
        """Look at the partitions whose turn it is. Raises RoomcastError: next time all is seen that changed since."""
        self._turn = (self._turn + 1) % TURNS
        partitions = [each for each in self._channels.open_rooms if each % TURNS == self._turn]
        asked = [
            scripts.CHANGED_ROOMS.pack([Keyspace.changed(each)], self._since.get(each, ""), MAX_CHANGED)
            for each in partitions
        ]
        heads: list[Head] = []
        for partition, reply in zip(partitions, await self._link.ask_all(asked), strict=True):
            self._since[partition] = reply[0]
            heads += self._of_open_rooms(self._link.keyspace.channels_of(partition), reply)
        if heads:
            self._channels.probe.follow(partial(self._tell, heads))

    def _of_open_rooms(self, prefix: bytes, reply: list[Any]) -> Iterator[Head]:
        for name, epoch, offset in zip(reply[1::3], reply[2::3], reply[3::3], strict=True):
            channel = prefix + name
            if self._channels.is_heard(channel):
                yield channel, epoch, offset

    def _tell(self, heads: Sequence[Head]) -> None:
        for channel, epoch, offset in heads[:TOLD_ROOMS]:
            self._channels.tell_head(channel, Position(epoch.decode(), offset))
        if others := heads[TOLD_ROOMS:]:
            asyncio.get_running_loop().call_soon(self._tell, others)
