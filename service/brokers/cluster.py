"""What the cluster knows of its tenants' signing keys, and how all of a tenant is removed from it."""

from collections.abc import Mapping
from typing import Any, Final

from service.brokers import scripts
from service.brokers.keys import Keyspace, TenantKeys, is_key_of
from service.brokers.link import Link
from service.brokers.registry import within_deadline
from service.brokers.resp import pack
from service.protocol.errors import RoomcastError

SCANNED_KEYS: Final = 1_000  # a slice: 0.36 ms of Valkey among 300,000 keys of others, measured 24 November 2026


class KeyUse:
    """How many connections of this node are under each signing key, by tenant; noted at once, told once a second."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._counts: dict[str, dict[str, int]] = {}
        self._untold: dict[str, set[str]] = {}

    def note(self, tenant_id: str, connections: Mapping[str, int]) -> None:
        """See `Broker.note_key_use`."""
        self._counts.setdefault(tenant_id, {}).update(connections)
        self._untold.setdefault(tenant_id, set()).update(connections)

    def tell_again(self) -> None:
        """A new lease was taken: under it nothing is known."""
        for tenant_id, counts in self._counts.items():
            self._untold.setdefault(tenant_id, set()).update(counts)

    async def tell(self) -> None:
        """Tell Redis what changed. Raises RoomcastError: it is told with the next."""
        if not (self._untold and self._link.holds_lease):
            return
        untold, self._untold = self._untold, {}
        try:
            await self._link.ask_all([self._pack(tenant_id, kids) for tenant_id, kids in untold.items()])
        except RoomcastError:
            for tenant_id, kids in untold.items():
                self._untold.setdefault(tenant_id, set()).update(kids)
            raise
        for tenant_id in untold:
            self._forget_unused(tenant_id)

    def _pack(self, tenant_id: str, kids: set[str]) -> bytes:
        self._link.note_tenant(tenant_id)
        told = [text for kid in kids for text in (kid, self._counts[tenant_id][kid])]
        return scripts.NOTE_KEY_USE.pack([TenantKeys(tenant_id).key(b"y")], self._link.lease, *told)

    def _forget_unused(self, tenant_id: str) -> None:
        untold = self._untold.get(tenant_id, set())
        counts = {kid: count for kid, count in self._counts[tenant_id].items() if count or kid in untold}
        if counts:
            self._counts[tenant_id] = counts
        else:
            del self._counts[tenant_id]


class Cluster:
    """Its part of `Broker`."""

    _link: Link
    _key_use: KeyUse

    def note_key_use(self, tenant_id: str, connections: Mapping[str, int]) -> None:
        """See `Broker.note_key_use`."""
        self._key_use.note(tenant_id, connections)

    @within_deadline
    async def key_connections(self, tenant_id: str) -> dict[str, int]:
        """See `Broker.key_connections`."""
        noted, leases = await self._link.ask_all(
            [pack("HGETALL", TenantKeys(tenant_id).key(b"y")), pack("ZRANGE", Keyspace.LEASES, 0, -1)]
        )
        connections: dict[str, int] = {}
        for field, count in zip(noted[::2], noted[1::2], strict=True):
            lease, _, kid = field.partition(b"/")
            if lease in leases:  # else it came late, after its lease was swept
                connections[kid.decode()] = connections.get(kid.decode(), 0) + int(count)
        return connections

    @within_deadline
    async def purge_tenant(self, tenant_id: str, cursor: int = 0) -> tuple[int, int]:
        """See `Broker.purge_tenant`."""
        following, found = await self._link.scan(cursor, Keyspace.pattern(tenant_id), SCANNED_KEYS)
        keys = [key for key in found if is_key_of(tenant_id, key)]
        removed: list[Any] = await self._link.ask_all([pack("UNLINK", key) for key in keys])
        if not following:
            (leases,) = await self._link.ask_all([pack("ZRANGE", Keyspace.LEASES, 0, -1)])
            tenants = map(self._link.keyspace.tenants_of, leases)
            await self._link.ask_all([pack("SREM", each, tenant_id) for each in tenants])
        return following, sum(removed)
