"""Publishing: what one loop turn publishes to one room goes to Redis as one call of `publish.lua`.

One call costs 15 µs of this process and as much of Redis whatever is in it (packing, writing, reply, announcement), a
message more costs a fifth of that. Order stays: batches are sent in the order in which they were begun, and one with an
idempotency key, which must be looked up by itself, ends its room's batch before it.
"""

import asyncio
from functools import lru_cache, partial
from typing import Any, Final

from service import telemetry
from service.brokers import envelope, scripts
from service.brokers.broker import Origin, Publication, PublicationDone, Retention, RoomAddress
from service.brokers.budget import HistoryBudget
from service.brokers.cluster_replication import ClusterReplication
from service.brokers.keys import Keyspace, RoomKeys
from service.brokers.link import Link
from service.brokers.pulse import COMPARED_BYTES
from service.brokers.replication import Replication, not_replicated
from service.brokers.resp import behind, bulk, report_mistake

# Redis serves nobody else meanwhile: 64 messages are 0.3 ms of it, as are 64 KiB.
MAX_BATCH_MESSAGES: Final = 64
MAX_BATCH_BYTES: Final = 64 * 1024
MAX_PUBLISHES_IN_FLIGHT: Final = 20_000  # at 20-40 µs of Redis each, alone, they end within the deadline
_LEADING_ARGUMENTS: Final = 3  # messages to keep, seconds to keep, generation


class Batch:
    """Messages of one room and turn; `space_bytes` and the free places tell whether one more fits.

    idempotency: the key under which Redis looks its only message up.
    """

    __slots__ = ("address", "dones", "idempotency", "messages", "retention", "space_bytes")

    def __init__(self, address: RoomAddress, retention: Retention) -> None:
        self.address = address
        self.retention = retention
        self.idempotency: bytes | None = None
        self.messages: list[bytes] = []
        self.dones: list[PublicationDone] = []
        self.space_bytes = MAX_BATCH_BYTES

    def takes_more(self, retention: Retention) -> bool:
        """Whether a message that is to be kept like this may join."""
        return self.space_bytes > 0 and len(self.dones) < MAX_BATCH_MESSAGES and retention == self.retention

    def add(self, body: bytes, origin: Origin, done: PublicationDone) -> None:
        """One message more. Its arguments are put together by hand: 0.5 µs, `pack` takes 3."""
        header = envelope.origin_header(origin)
        self.messages.append(b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(header), header, len(body), body))
        self.dones.append(done)
        self.space_bytes -= len(body)


class Publishing:
    """Its part of `Broker`: `broadcast_to_room`."""

    _link: Link
    _replication: Replication | ClusterReplication
    _budget: HistoryBudget

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        self._in_flight = 0  # messages, gathered or sent

    def broadcast_to_room(
        self,
        address: RoomAddress,
        body: bytes,
        origin: Origin,
        retention: Retention,
        done: PublicationDone,
        idempotency_key: tuple[str, str] | None = None,
    ) -> None:
        """See `Broker.broadcast_to_room`."""
        if self._in_flight >= MAX_PUBLISHES_IN_FLIGHT:
            asyncio.get_running_loop().call_soon(done, behind())
            return
        self._in_flight += 1
        keys: RoomKeys = address.keys
        batch: Batch | None = keys.batch
        if idempotency_key is not None:
            keys.batch = None  # what follows in this room comes behind it
            batch = self._begin(address, retention)
            batch.idempotency = keys.idempotency(*idempotency_key)
        elif batch is None or not batch.takes_more(retention):
            batch = keys.batch = self._begin(address, retention)
        batch.add(body, origin, done)

    def _begin(self, address: RoomAddress, retention: Retention) -> Batch:
        if not self._batches:
            self._link.plan_flush()
        batch = Batch(address, retention)
        self._batches.append(batch)
        return batch

    def send_batches(self) -> None:
        """The turn ends: what it gathered is sent, in its order. A room that nobody here has open comes with an address
        of its own each time, so the rooms' own order is not enough.
        """
        batches, self._batches = self._batches, []
        for batch in batches:
            keys = batch.address.keys
            keys.batch = None
            if batch.idempotency is not None:
                again = [batch.idempotency] if batch.retention.is_replicated else []
                self._send(batch, scripts.PUBLISH.opening([*_keys_of(batch.address), batch.idempotency, *again]))
                continue
            if keys.publish is None:
                keys.publish = scripts.PUBLISH.opening(_keys_of(batch.address))
            self._send(batch, keys.publish)

    def _send(self, batch: Batch, opening: tuple[int, bytes]) -> None:
        parts, packed = opening
        messages = batch.messages
        packed = b"*%d\r\n%b%b%b%b" % (
            parts + _LEADING_ARGUMENTS + 2 * len(messages),
            packed,
            _retention_bulks(batch.retention.messages, batch.retention.seconds),
            self._link.generation_bulks[batch.address.partition],
            messages[0] if len(messages) == 1 else b"".join(messages),
        )
        published = partial(self._published, batch)
        replication = self._replication
        if batch.retention.is_replicated or (replication.rooms and replication.overtakes(batch.address)):
            replication.send(batch.address, packed, published)
        else:
            self._link.send(packed, published)

    def _published(self, batch: Batch, reply: Any, is_safe: bool | None = None) -> None:
        """Redis has answered. is_safe: whether all its replicas have, where they were asked."""
        self._in_flight -= len(batch.dones)
        if type(reply) is list:
            epoch, offset, stored, duplicate, members = reply
            epoch = epoch.decode()
            if not duplicate:
                telemetry.counters.messages_published += len(batch.dones)
                if stored:
                    self._budget.note_published(
                        batch.address.tenant_id, batch.address.room, batch.retention.tenant_bytes
                    )
                if is_safe is not False:
                    publishes, message = self._link.publishes, batch.messages[-1][:COMPARED_BYTES]
                    last = (batch.address, epoch, offset + len(batch.dones) - 1, message, publishes.beat)
                    (publishes.replicated if is_safe else publishes.latest)[batch.address.partition] = last
            if is_safe is False:
                reply = not_replicated()
        for place, done in enumerate(batch.dones):
            result = reply
            if type(reply) is list:
                result = Publication(epoch, offset + place, stored == 1, duplicate == 1, members)
            try:
                done(result)
            except Exception:  # one publisher's mistake must not leave the others of its batch unanswered
                report_mistake()


def _keys_of(address: RoomAddress) -> list[bytes]:
    keys: RoomKeys = address.keys
    return [keys.key(b"m"), keys.key(b"s"), keys.key(b"n"), keys.channel, Keyspace.changed(address.partition)]


@lru_cache(maxsize=1024)
def _retention_bulks(messages: int, seconds: int) -> bytes:
    return bulk(b"%d" % messages) + bulk(b"%d" % seconds)
