"""Where rooms stand, by Redis: what was announced and lost shows by the next message, and the last one only so.

publish.lua notes each room that it changes. A node looks once a second at the partitions in which it has rooms open:
one command a second with one room open, 251 with 1,000 and 256 with 100,000. Measured on 24 November 2026: 256 of them
take 2 ms of the node and as much of Valkey, each room that changed 2 µs more of the node.
"""

import asyncio
from functools import cache, partial
from typing import Any, Final

import structlog

from service.brokers import scripts
from service.brokers.keys import Keyspace
from service.brokers.link import Link
from service.brokers.listener import Channels
from service.brokers.resp import bulk

LOOK_SECONDS: Final = 1.0
KEPT_SECONDS: Final = 9.0  # a second less than by changed.lua
TURNS: Final = 4  # in which all partitions are looked at, so that the answers don't come all at once
MAX_CHANGED: Final = bulk(b"1000")  # rooms of a partition and look, 1 ms of Redis; the others are looked at next

log = structlog.get_logger()

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
        self._looked_at = 0.0  # by the loop's clock

    def look(self) -> None:
        """Look at the partitions whose turn it is. What can't be looked at now is seen by the next look, unless that
        comes so late that Redis has forgotten it: then the connection is replaced, so that all rooms are read.
        """
        now = asyncio.get_running_loop().time()
        if not self._channels.open_rooms:
            self._looked_at = now
        elif now - max(self._looked_at, self._channels.opened_at) > KEPT_SECONDS:
            log.warning("the rooms' heads were not looked at in time: the rooms are read")
            self._channels.abort()
            return
        self._turn = (self._turn + 1) % TURNS
        for partition in self._channels.open_rooms:
            if partition % TURNS == self._turn:
                since = bulk(b"%d" % self._since.get(partition, 0))
                self._link.send(
                    b"%b%b%b" % (_beginning(partition), since, MAX_CHANGED), partial(self._looked, partition)
                )

    def _looked(self, partition: int, reply: Any) -> None:
        if isinstance(reply, Exception):
            return
        self._since[partition] = reply[0]
        self._looked_at = asyncio.get_running_loop().time()
        if len(reply) > 1 and (heads := self._of_open_rooms(partition, reply)):
            self._channels.probe.follow(partial(self._channels.tell_heads, heads))

    def _of_open_rooms(self, partition: int, reply: list[Any]) -> list[Head]:
        prefix, heard = self._link.keyspace.channels_of(partition), self._channels.heard_channels
        heads = zip([prefix + name for name in reply[1::3]], reply[2::3], reply[3::3], strict=True)
        return [head for head in heads if head[0] in heard]


@cache
def _beginning(partition: int) -> bytes:
    return scripts.CHANGED_ROOMS.beginning([Keyspace.changed(partition)], 2)
