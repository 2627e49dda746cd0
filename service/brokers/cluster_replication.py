"""Replicated publishes on a Cluster: over a second connection to each primary, as WAIT counts what that one wrote."""

from collections.abc import Callable
from operator import methodcaller

from service.brokers.broker import RoomAddress
from service.brokers.cluster_link import ClusterLink
from service.brokers.cluster_topology import Address
from service.brokers.greeting import Policy, Server
from service.brokers.replication import Replicated, Replication
from service.brokers.resp import Done


class _ShardLink:
    """The part of a link that leads to one primary."""

    def __init__(self, link: ClusterLink, address: Address) -> None:
        self.send: Callable[[bytes, Done], None] = link.send
        self._link = link
        self._address = address

    @property
    def server(self) -> Server | None:
        shard = self._link.shards.get(self._address)
        return None if shard is None else shard.server


class ClusterReplication:
    """See `Replication`. A room whose slot has moved goes to its new place when the old one has answered everything."""

    def __init__(self, policy: Policy, link: ClusterLink) -> None:
        self._policy = policy
        self._link = link
        self._shards: dict[Address, Replication] = {}

    @property
    def rooms(self) -> dict[tuple[str, str], int]:
        """Of the first primary that has any: whether there are any is all that is asked."""
        return next((shard.rooms for shard in self._shards.values() if shard.rooms), {})

    def send(self, address: RoomAddress, packed: bytes, done: Replicated) -> None:
        """See `Replication.send`."""
        self._shard_of(address).send(address, packed, done)

    def overtakes(self, address: RoomAddress) -> bool:
        """See `Replication.overtakes`."""
        return any(list(map(methodcaller("overtakes", address), self._shards.values())))  # each forgets what is over

    def follow_link(self) -> None:
        """See `Replication.follow_link`."""
        for shard in self._shards.values():
            shard.follow_link()

    def _shard_of(self, address: RoomAddress) -> Replication:
        room = (address.tenant_id, address.room)
        for shard in self._shards.values():
            if shard.rooms.get(room):
                return shard
        owner = self._link.owner_of(address.partition)
        if owner not in self._shards:
            endpoint = self._link.endpoint_of(owner)
            self._shards[owner] = Replication(endpoint, self._policy, _ShardLink(self._link, owner))
        return self._shards[owner]
