"""The pub/sub connection: which channels are heard, and where each message goes."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, islice
from typing import Any, Final

import msgspec
import structlog

from service import telemetry
from service.brokers.broker import Listener, RoomReceiver
from service.brokers.endpoint import Endpoint
from service.brokers.envelope import Unknown, receive_control_payload, receive_room_payload
from service.brokers.keys import Keyspace
from service.brokers.probe import PROBED, CommandSender, Probe
from service.brokers.resp import (
    DEADLINE_SECONDS,
    MAX_COMMANDS_IN_FLIGHT,
    behind,
    out_of_reach,
    outcome_unknown,
    pack,
    settle,
    without_arguments,
)
from service.brokers.subscriber import ChannelConnection
from service.protocol.identifiers import Position

BATCH: Final = 1_000  # channels a command; 100,000 are subscribed in 0.17 s so
TOLD_BATCH: Final = 100  # rooms told of an interruption before the loop has its turn: each reads its history
MAX_SEEN_UNKNOWN: Final = 20
CONFIRMATIONS: Final = (b"subscribe", b"ssubscribe")
RUN_ID: Final = re.compile(rb"^run_id:(\w+)", re.MULTILINE)

log = structlog.get_logger()


class Channels:
    """Rooms' channels and the two control channels, kept over reconnects. `lost` is called for a lost connection.

    link: publishes the probe, which comes back by the last control channel: this node's own.
    open_rooms: how many rooms are heard, by partition.
    """

    def __init__(
        self, endpoint: Endpoint, control: Sequence[bytes], lost: Callable[[], None], link: CommandSender
    ) -> None:
        self.probe = Probe(link, control[-1], self.abort)
        self.open_rooms: Counter[int] = Counter()
        self.opened_at = 0.0  # by the loop's clock
        self.listener: Listener | None = None
        self.run_id = ""  # of the server, as `Link.run_id`
        self.problem: Exception | None = None  # as of `Link`
        self._endpoint = endpoint
        self._control = frozenset(control)
        self._told_lost = lost
        self._receivers: dict[bytes, RoomReceiver] = {}
        self._unconfirmed: dict[bytes, list[asyncio.Future[None]]] = {}  # one for each SUBSCRIBE on its way
        self._again: set[asyncio.Future[None]] = set()  # those of them that the caller of `subscribe` doesn't wait for
        self._unsent: list[tuple[str, bytes]] = []
        self._connection: ChannelConnection | None = None
        self._seen_unknown: set[str] = set()

    @property
    def is_open(self) -> bool:
        """Whether messages come in."""
        return self._connection is not None

    @property
    def needs_opening(self) -> bool:
        """Whether `open` has anything to do."""
        return not self.is_open

    def subscribe(self, channel: bytes, receiver: RoomReceiver) -> asyncio.Future[None]:
        """Hear a channel; done when Redis confirmed, or failed: then it isn't heard."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if self._connection is None:
            settle(future)(out_of_reach())
        elif len(self._unconfirmed) >= MAX_COMMANDS_IN_FLIGHT:
            settle(future)(behind())
        else:
            if channel not in self._receivers:
                self.open_rooms[Keyspace.partition_in(channel)] += 1
            self._receivers[channel] = receiver
            self._unconfirmed.setdefault(channel, []).append(future)
            self._append("SUBSCRIBE", channel)
            # The connection's own deadline begins anew with each message that it brings.
            deadline = loop.call_later(DEADLINE_SECONDS, settle(future), outcome_unknown())
            future.add_done_callback(partial(self._subscribed, channel, receiver, deadline))
        return future

    def _subscribed(
        self, channel: bytes, receiver: RoomReceiver, deadline: asyncio.TimerHandle, future: asyncio.Future[None]
    ) -> None:
        deadline.cancel()
        if (future.cancelled() or future.exception() is not None) and self._receivers.get(channel) is receiver:
            self.unsubscribe(channel)

    def unsubscribe(self, channel: bytes) -> None:
        """Stop hearing it."""
        if self._forget(channel) and self._connection is not None:
            self._append("UNSUBSCRIBE", channel)

    def _forget(self, channel: bytes) -> bool:
        if self._receivers.pop(channel, None) is None:
            return False
        partition = Keyspace.partition_in(channel)
        self.open_rooms[partition] -= 1
        if not self.open_rooms[partition]:
            del self.open_rooms[partition]
        return True

    @property
    def heard_channels(self) -> Container[bytes]:
        """The rooms' channels that somebody hears."""
        return self._receivers

    def tell_heads(self, heads: Iterable[tuple[bytes, bytes, int]]) -> None:
        """Tell who hears a channel at which epoch and offset its room stands."""
        for channel, epoch, offset in heads:
            if (receiver := self._receivers.get(channel)) is not None:
                try:
                    receiver.receive_head(Position(epoch.decode(), offset))
                except Exception:
                    _report()

    def _append(self, command: str, channel: bytes) -> None:
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send_subscriptions)
        self._unsent.append((command, channel))

    def _send_subscriptions(self) -> None:
        """What this turn wanted, in its order, neighbours of one kind in one command."""
        unsent, self._unsent = self._unsent, []
        if self._connection is None:
            return
        for command, group in groupby(unsent, key=lambda item: item[0]):
            channels = (channel for _, channel in group)
            while batch := list(islice(channels, BATCH)):
                self._write(self._connection, command, batch)

    def _write(self, connection: ChannelConnection, command: str, channels: Sequence[bytes]) -> None:
        connection.write(pack(command, *channels), len(channels))

    # Connection

    async def open(self) -> None:
        """Connect, hear everything again, and tell the rooms; raises OSError, TimeoutError or Unavailable."""
        connection = ChannelConnection(self._lose, self)
        await self._endpoint.open(connection)
        if not connection.is_open:
            raise out_of_reach()
        self._connection = connection
        self.opened_at = asyncio.get_running_loop().time()
        self.probe.begin()
        try:
            for packed in self._endpoint.greeting:
                connection.write(packed, 1)
            connection.write(pack("INFO", "server"), 1)
            await self._confirm(list(self._control))
            await self._hear_again(list(self._receivers))
        except BaseException:
            connection.abort()
            raise

    async def _hear_again(self, channels: Sequence[bytes]) -> None:
        every = iter(channels)
        while batch := list(islice(every, BATCH)):
            heard = [channel for channel in batch if channel in self._receivers]
            if heard:
                await self._confirm(heard)
                await self._tell_interruption(iter(heard))

    async def _confirm(self, channels: Sequence[bytes]) -> None:
        """SUBSCRIBE and wait for all confirmations."""
        if self._connection is None:
            raise out_of_reach()
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[None]] = [loop.create_future() for _ in channels]
        self._again.update(futures)
        for channel, future in zip(channels, futures, strict=True):
            self._unconfirmed.setdefault(channel, []).append(future)
        self._write(self._connection, "SUBSCRIBE", channels)
        try:
            await asyncio.gather(*futures)
        finally:
            self._again.difference_update(futures)

    async def _tell_interruption(self, channels: Iterator[bytes]) -> None:
        while batch := list(islice(channels, TOLD_BATCH)):
            for channel in batch:
                if (receiver := self._receivers.get(channel)) is not None:
                    _guard(receiver.receive_interruption)
            await asyncio.sleep(0)

    def abort(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.abort()

    def _lose(self) -> None:
        if self._connection is None:
            return
        self._connection = None
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        for channel, future in ((channel, future) for channel, futures in unconfirmed.items() for future in futures):
            if future not in self._again:
                self._forget(channel)
            if not future.done():
                future.set_exception(outcome_unknown())
                future.exception()
        self._told_lost()

    # Messages

    def hear(self, channel: bytes, payload: bytes) -> None:
        """Hand one message over; nothing that it holds or does ends the connection."""
        try:
            if (receiver := self._receivers.get(channel)) is not None:
                receive_room_payload(receiver, payload)
            elif channel in self._control:
                if payload.startswith(PROBED):
                    self.probe.receive(int(payload[len(PROBED) :]))
                elif self.listener is not None:
                    receive_control_payload(self.listener, payload)
        except (Unknown, msgspec.MsgspecError, UnicodeDecodeError) as unknown:
            reason = f"{type(unknown).__name__} {payload[:4]!r}"
            if reason not in self._seen_unknown and len(self._seen_unknown) < MAX_SEEN_UNKNOWN:
                self._seen_unknown.add(reason)
                log.warning("a node of another version sends what this one does not know", reason=reason)
        except Exception:
            _report()

    def receive_answer(self, reply: Any) -> None:
        """A confirmation, a pong, the greeting's OK, INFO, or an error: that ends the connection."""
        if isinstance(reply, Exception):
            log.error("Redis refused a subscription", error=without_arguments(reply))
            self.abort()
        elif type(reply) is list and reply[0] in CONFIRMATIONS:
            self._confirmed(reply[1])
        elif type(reply) is bytes and (found := RUN_ID.search(reply)):
            self.run_id = found[1].decode()

    def end_turn(self) -> None:
        """All that one read brought was handed over."""
        if self.listener is not None:
            _guard(self.listener.turn_ended)

    def _confirmed(self, channel: bytes) -> None:
        if futures := self._unconfirmed.get(channel):
            future = futures.pop(0)
            if not futures:
                del self._unconfirmed[channel]
            if not future.done():
                future.set_result(None)
        elif (receiver := self._receivers.get(channel)) is not None:
            _guard(receiver.receive_interruption)  # nobody asked for this one: something between connected anew


def _guard(tell: Callable[[], None]) -> None:
    """The room's or node's own mistake must not end the connection of all."""
    try:
        tell()
    except Exception:
        _report()


def _report() -> None:
    telemetry.counters.faults += 1
    log.exception("what Redis sent could not be handled", incident=telemetry.new_incident())
