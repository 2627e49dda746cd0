"""How far the data of each partition of a Cluster has come, and its generation: each may lose its end alone.

The pulse (pulse.py) is counted with the leases, and brought to every partition's own system key. So the one mark that
SQL keeps tells of them all.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import structlog

from service.brokers import scripts
from service.brokers.cluster_topology import SLOTS
from service.brokers.greeting import NOTHING_SEEN, Mark, Policy, Server, greet
from service.brokers.keys import PARTITIONS, Keyspace
from service.brokers.pulse import LastPublishes
from service.brokers.resp import CommandConnection, Done, bulk

SLACK_PULSES: Final = 2  # a partition may not have got those that were counted just before the last node ended
_KEYS: Final = [Keyspace.system(tag) for tag in list(SLOTS)[:PARTITIONS]]

log = structlog.get_logger()


class PartitionMarks:
    """The marks, by partition. generations, bulks: as of `Link`. kept_pulse: that somebody knew of before this node
    began. tell_began: called for a partition in which another node has begun a generation.
    """

    def __init__(self, policy: Policy, publishes: LastPublishes) -> None:
        self.generations = [b"0"] * PARTITIONS
        self.bulks = [b""] * PARTITIONS
        self.kept_pulse = 0
        self.tell_began: Callable[[int], None] = _nobody_is_told
        self._policy = policy
        self._publishes = publishes
        self._marks = [NOTHING_SEEN] * PARTITIONS

    def note(self, partition: int, mark: Mark) -> bool:
        """So far it has come. Whether with another generation: then its rooms begin new epochs."""
        begins_anew = mark.generation != self._marks[partition].generation
        if begins_anew:
            self._publishes.forget(partition)
            self.generations[partition] = b"%d" % mark.generation
            self.bulks[partition] = bulk(self.generations[partition])
        self._marks[partition] = mark
        return begins_anew

    def beat(self, pulse: int, send: Callable[[bytes, Done], None]) -> None:
        """Bring the pulse to all of them; 256 commands of 2 us each, with every renewal of the lease. A generation that
        another node began is learnt so, too.
        """
        for partition, key in enumerate(_KEYS):
            send(scripts.BEAT.pack([key], pulse), partial(self._beaten, partition))

    def _beaten(self, partition: int, reply: Any) -> None:
        if not isinstance(reply, Exception) and self.note(partition, max(self._marks[partition], Mark(*reply))):
            self.tell_began(partition)

    async def greet(
        self, connection: CommandConnection, server: Server, partition: int, moved_from: Sequence[str]
    ) -> Mark:
        """See `greeting.greet`: also of a partition whose last writes or pulses are missing."""
        key, known = _KEYS[partition], self._marks[partition]
        mark = await greet(connection, server, self._policy, key, known, moved_from=moved_from)
        if known == NOTHING_SEEN:
            is_kept = mark.pulse >= self.kept_pulse - SLACK_PULSES
        else:
            is_kept = mark.generation != known.generation or await self._publishes.are_there(connection, [partition])
        if not is_kept:
            log.warning("Redis has lost what it acknowledged: rooms begin new epochs", partition=partition)
            mark = await greet(connection, server, self._policy, key, mark.beyond)
            await connection.command(scripts.BEAT.pack([key], self.kept_pulse))  # it is dealt with
        return mark


def _nobody_is_told(_partition: int) -> None:
    """What `tell_began` is until somebody hears rooms."""
