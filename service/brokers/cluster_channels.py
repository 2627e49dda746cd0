"""Pub/sub on a Redis Cluster: one connection to each primary, and the rooms' channels where their slots are.

Rooms' channels are sharded: only the server that serves the slot announces on them, and drops whoever hears them when
the slot goes. They are then subscribed at its new place, and history repairs what came between. The control channels go
to every server; they are heard beside the leases, so that a publish there counts who hears.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from redis.crc import key_slot

from service.brokers.broker import Listener, RoomReceiver
from service.brokers.cluster_link import ClusterLink
from service.brokers.cluster_routes import Redirected
from service.brokers.cluster_topology import SYSTEM_TAG, Address, ShardEndpoint
from service.brokers.heads import Heads
from service.brokers.keys import SHARDED
from service.brokers.listener import Channels
from service.brokers.probe import Probe
from service.brokers.resp import out_of_reach, pack, settle
from service.brokers.subscriber import ChannelConnection
from service.protocol.errors import Unavailable


class _Sent:
    """A sharded command under way: how many of its channels are not confirmed yet. All are of one slot."""

    def __init__(self, command: str, channels: Sequence[bytes]) -> None:
        self.command = command
        self.channels = channels
        self.left = len(channels)


class ShardChannels(Channels):
    """What is heard from one primary. `lost` is called, too, when a channel is not heard here any more."""

    def __init__(self, endpoint: ShardEndpoint, node: str, lost: Callable[[], None], link: ClusterLink) -> None:
        super().__init__(endpoint, [b""], lost, link)
        self.heads = Heads(link, self)
        self.dropped: set[bytes] = set()  # by the server; to be heard again wherever they belong
        self._node = node
        self._link = link
        self._probed = b""
        self._under_way: dict[int, deque[_Sent]] = {}  # by slot

    @property
    def heard(self) -> list[bytes]:
        """The rooms' channels."""
        return list(self._receivers)

    def hand_over(self, channel: bytes) -> RoomReceiver:
        """Stop hearing a channel whose slot has gone."""
        receiver = self._receivers[channel]
        self.dropped.discard(channel)
        self._forget(channel)
        return receiver

    def take(self, channel: bytes, receiver: RoomReceiver) -> None:
        """Hear a channel whose slot has come, at the next `open` or `hear_dropped`."""
        self.open_rooms[self._link.keyspace.partition_in(channel)] += 1
        self._receivers[channel] = receiver
        self.dropped.add(channel)

    async def prepare(self, tags: Sequence[bytes], control: Sequence[bytes]) -> None:
        """The shard serves these tags now. Raises as `open`."""
        before = self._control
        if _tag(self._probed) not in tags:
            self._probed = self._link.keyspace.probed(tags[0], self._node)
            before_it, self.probe = self.probe, Probe(self._link, self._probed, self.abort, "SPUBLISH")
            self.probe.take_over(before_it)
        self._control = frozenset((*control, self._probed))
        if self._connection is not None and self._control != before:
            if gone := [channel for channel in before - self._control if not channel.startswith(SHARDED)]:
                self._write(self._connection, "UNSUBSCRIBE", gone)
            await self._confirm(list(self._control - before))

    async def open(self) -> None:
        """See `Channels.open`."""
        self._under_way.clear()
        self.dropped.clear()
        await super().open()

    async def tell_began(self, partition: int) -> None:
        """A generation has begun in a partition: its rooms are to be read, to tell of their new epochs."""
        heard = [channel for channel in self._receivers if self._link.keyspace.partition_in(channel) == partition]
        await self._tell_interruption(iter(heard))

    async def hear_dropped(self) -> None:
        """Hear again what the server dropped, and what was taken. Raises as `open`."""
        dropped, self.dropped = list(self.dropped), set()
        try:
            await self._hear_again(dropped)
        except BaseException:
            self.dropped.update(dropped)
            raise

    def _write(self, connection: ChannelConnection, command: str, channels: Sequence[bytes]) -> None:
        for slot, group in groupby(sorted(channels, key=_slot), _slot):
            batch = list(group)
            if slot < 0:
                super()._write(connection, command, batch)
                continue
            self._under_way.setdefault(slot, deque()).append(_Sent(command, batch))
            connection.write(pack(f"S{command}", *batch), len(batch))

    def receive_answer(self, reply: Any) -> None:
        """See `Channels.receive_answer`. A slot that has gone ends what was heard of it, not the connection."""
        if isinstance(reply, Exception) and str(reply).startswith("MOVED "):
            self._receive_moved(int(str(reply).split(" ")[1]))
            return
        if type(reply) is list and reply[0] in (b"ssubscribe", b"sunsubscribe"):
            sent = self._under_way.get(_slot(reply[1]))
            if sent and reply[0] == b"s" + sent[0].command.lower().encode() and reply[1] in sent[0].channels:
                sent[0].left -= 1
                if not sent[0].left:
                    sent.popleft()
            elif reply[0] == b"sunsubscribe":
                self._receive_drop(reply[1])
        super().receive_answer(reply)

    def _receive_drop(self, channel: bytes) -> None:
        if self._connection is not None:
            self._connection.count_answers(-1)  # nobody asked for this one
        if channel in self._receivers:
            self.dropped.add(channel)
        self._told_lost()

    def _receive_moved(self, slot: int) -> None:
        under_way = self._under_way.get(slot)
        if not under_way or under_way[0].left != len(under_way[0].channels):
            self.abort()  # it can't be told any more which answers are still to come
            return
        sent = under_way.popleft()
        if self._connection is not None:
            self._connection.count_answers(len(sent.channels) - 1)  # one error for all
        for channel in sent.channels if sent.command == "SUBSCRIBE" else ():
            if futures := self._unconfirmed.get(channel):
                settle(futures.pop(0))(Redirected())
                if not futures:
                    del self._unconfirmed[channel]
        self._told_lost()


class ClusterChannels:
    """See `Channels`. `open` follows the link's topology, and is to be called after each of the link's."""

    needs_opening = True

    def __init__(self, control: Sequence[bytes], lost: Callable[[], None], link: ClusterLink) -> None:
        self.listener: Listener | None = None
        self.problem: Exception | None = None
        self.probe = self  # of all shards
        self._control = control
        self._told_lost = lost
        self._link = link
        self._shards: dict[Address, ShardChannels] = {}
        self._telling: set[asyncio.Task[None]] = set()
        link.marks.tell_began = self._tell_began

    def _tell_began(self, partition: int) -> None:
        for shard in self._shards.values():
            if partition in shard.open_rooms:
                telling = asyncio.get_running_loop().create_task(shard.tell_began(partition))
                self._telling.add(telling)
                telling.add_done_callback(self._telling.discard)

    @property
    def is_open(self) -> bool:
        """Whether the control channels are heard."""
        shard = self._shard_of(SYSTEM_TAG)
        return shard is not None and shard.is_open

    @property
    def run_id(self) -> str:
        """That of the link: `open` has compared them shard by shard."""
        return self._link.run_id

    def subscribe(self, channel: bytes, receiver: RoomReceiver) -> asyncio.Future[None]:
        """See `Channels.subscribe`."""
        if (shard := self._shard_of(_tag(channel))) is not None:
            return shard.subscribe(channel, receiver)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        settle(future)(out_of_reach())
        return future

    def unsubscribe(self, channel: bytes) -> None:
        """See `Channels.unsubscribe`."""
        for shard in self._shards.values():
            shard.unsubscribe(channel)

    def send(self) -> None:
        """Probe each connection."""
        for shard in self._shards.values():
            if shard.is_open:
                shard.probe.send()

    def look(self) -> None:
        """See `Heads.look`."""
        for shard in self._shards.values():
            if shard.is_open:
                shard.heads.look()

    def abort(self) -> None:
        """See `Channels.abort`."""
        for shard in self._shards.values():
            shard.abort()

    async def open(self) -> None:
        """Hear everything where it is now. Raises as `Channels.open`, when the control channels can't be heard;
        `problem` says what else can't.
        """
        owned: dict[Address, list[bytes]] = {}
        for tag, address in self._link.topology.owners.items():
            if address in self._link.shards:
                owned.setdefault(address, []).append(tag)
        for address in owned:
            if address not in self._shards:
                endpoint = self._link.endpoint_of(address)
                self._shards[address] = ShardChannels(endpoint, self._link.node, self._told_lost, self._link)
                self._shards[address].listener = self.listener
        self._follow_slots()
        opened = [self._open_shard(address, tags) for address, tags in owned.items()]
        problems = [each for each in await asyncio.gather(*opened, return_exceptions=True) if each is not None]
        for address in self._shards.keys() - owned.keys():
            if not self._shards[address].heard:
                self._shards.pop(address).abort()
        for problem in problems:
            if not isinstance(problem, Exception) or not self.is_open:
                raise problem
        self.problem = next((each for each in problems if isinstance(each, Exception)), None)

    def _follow_slots(self) -> None:
        for shard in list(self._shards.values()):
            for channel in shard.heard:
                another = self._shard_of(_tag(channel))
                if another is not None and another is not shard:
                    another.take(channel, shard.hand_over(channel))

    async def _open_shard(self, address: Address, tags: Sequence[bytes]) -> None:
        shard = self._shards[address]
        await shard.prepare(tags, self._control if SYSTEM_TAG in tags else ())
        if not shard.is_open:
            await shard.open()
            server = self._link.shards[address].server if address in self._link.shards else None
            if server is None or shard.run_id != server.run_id:  # a failover came between
                shard.abort()
                raise Unavailable("commands and messages lead to two servers")
        elif shard.dropped:
            await shard.hear_dropped()

    def _shard_of(self, tag: bytes) -> ShardChannels | None:
        address = self._link.topology.owners.get(tag)
        return None if address is None else self._shards.get(address)


def _tag(channel: bytes) -> bytes:
    return channel[channel.find(b"{") : channel.find(b"}") + 1]


def _slot(channel: bytes) -> int:
    """-1 for what is not sharded."""
    return key_slot(channel) if channel.startswith(SHARDED) else -1
