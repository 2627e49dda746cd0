"""What a node knows, outside Redis, of the data that is there: by it, data that was put back or cut is found out.

Every loss takes the end of what was written: of a file that is cut, a backup, a replica that was behind. So it is
enough to know of late writes. Each renewal of a lease counts a pulse up (renew_lease.lua); nodes remember how far it
had come (`Mark`), in memory, and in SQL for the time when all of them have ended. For the seconds since then, a node
remembers its last acknowledged publish in each partition.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from service.brokers.broker import RoomAddress
from service.brokers.keys import PARTITIONS, RoomKeys
from service.brokers.resp import CommandConnection, pack

#: Publishes since that many beats before the connection was lost count; for older ones the pulse speaks.
REMEMBERED_BEATS: Final = 4
COMPARED_BYTES: Final = 1_024

#: Room, epoch, offset, the beginning of the message, packed as by `Batch.add`, and the beat in which it was answered.
#: No class: this is made for each batch on the message path (0.2 us; a NamedTuple with the loop's time took 0.5).
Acknowledged = tuple[RoomAddress, str, int, bytes, int]


class LastPublishes:
    """The last publish of each partition that was acknowledged to this node.

    latest: by partition. replicated: the same of those that waited for replicas, whose answers come after those of
    later ones. beat: counts this node's renewals of its lease, as a clock that costs nothing to read.
    """

    def __init__(self) -> None:
        self.latest: list[Acknowledged | None] = [None] * PARTITIONS
        self.replicated = self.latest.copy()
        self.beat = 0

    def forget_old(self) -> None:
        """The connection was lost just now."""
        oldest = self.beat - REMEMBERED_BEATS
        self.latest, self.replicated = (
            [last if last is not None and last[-1] >= oldest else None for last in each]
            for each in (self.latest, self.replicated)
        )

    def forget(self, partition: int) -> None:
        """A new generation has begun there."""
        self.latest[partition] = self.replicated[partition] = None

    async def are_there(self, connection: CommandConnection, partitions: Sequence[int] = range(PARTITIONS)) -> bool:
        """Whether Redis still has those of the partitions. What came after them may have replaced them. Raises
        RoomcastError.
        """
        known = (each[partition] for each in (self.latest, self.replicated) for partition in partitions)
        kept = [last for last in known if last is not None]
        return all(await asyncio.gather(*[_is_there(connection, last) for last in kept]))


async def _is_there(connection: CommandConnection, last: Acknowledged) -> bool:
    address, known_epoch, offset, message, _ = last
    keys: RoomKeys = address.keys
    place = b"%d-0" % offset
    (epoch, head), found = await asyncio.gather(
        connection.command(pack("HMGET", keys.key(b"m"), "e", "o")),
        connection.command(pack("XRANGE", keys.key(b"s"), place, place)),
    )
    if epoch is None:
        return False
    if epoch.decode() != known_epoch:
        return _began_at(epoch.decode()) > _began_at(known_epoch)
    if int(head) < offset:
        return False
    if not found:
        return True  # trimmed, cut, expired or never kept
    (_, (_, header, _, _, _, body)) = found[0]
    packed = b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(header), header, len(body), body)
    return packed[:COMPARED_BYTES] == message


def _began_at(epoch: str) -> tuple[int, str]:
    """When it began, by Redis' clock: see head.lua."""
    return len(epoch), epoch
