"""A node's lease, and what becomes of those that ended: one renewal for everything that a node holds."""

import asyncio
from typing import Any, Final

import structlog

from service.brokers import scripts
from service.brokers.entries import claim_keys
from service.brokers.greeting import Mark
from service.brokers.keys import Keyspace, TenantKeys
from service.brokers.link import Link
from service.brokers.resp import pack

SWEPT_CONNECTIONS: Final = 200  # a call; 1 ms of Redis
SWEPT_ROOMS: Final = 100
SCANNED_MEMBERS: Final = 500
SWEEPER_SECONDS: Final = 10  # a sweeper that took longer without a sign is replaced

log = structlog.get_logger()


class Lease:
    """Takes, renews and ends this node's lease; sweeps ended ones.

    The local end is counted from before the renewal was sent, so that it never comes later than Redis'.
    """

    def __init__(self, link: Link, lease_seconds: float) -> None:
        self._link = link
        self._lease_seconds = lease_seconds
        self.node_count = 1  # nodes with a lease in force, this one included, as of the last renewal

    async def take(self) -> bytes | None:
        """Take a new one; returns the old one, if there was one, which is to be swept."""
        link, old = self._link, self._link.lease
        asked_at = asyncio.get_running_loop().time()
        packed = scripts.TAKE_LEASE.pack([Keyspace.LEASES], link.node, self._lease_ms)
        lease, self.node_count = await link.ask(packed, _as_it_is)
        link.begin_lease(lease)
        link.lease_ends_at = asked_at + self._lease_seconds
        return old or None

    async def renew(self) -> bool:
        """Renew it; False if it is gone, or another node found that data is lost. A lease that was taken meanwhile is
        not touched.
        """
        link, lease, asked_at = self._link, self._link.lease, asyncio.get_running_loop().time()
        packed = scripts.RENEW_LEASE.pack([Keyspace.LEASES, Keyspace.SYSTEM], lease, self._lease_ms)
        nodes, *mark = await link.insist_on(packed, _as_it_is)
        if lease != link.lease:
            return True
        if not nodes:
            return False
        self.node_count = nodes
        link.lease_ends_at = asked_at + self._lease_seconds
        return link.receive_mark(Mark(*mark))

    async def sweep_ended(self) -> None:
        """Sweep leases of nodes that died, those that no other node sweeps."""
        while lease := await self._claim_sweep(""):
            log.warning("a node's lease ended: its connections are swept", node=lease.rpartition(b".")[0].decode())
            await self._sweep(lease)

    async def end(self, lease: bytes) -> None:
        """End a lease of this node's own and remove at once what is under it."""
        await self._claim_sweep(lease)
        await self._sweep(lease)

    @property
    def _lease_ms(self) -> int:
        return int(self._lease_seconds * 1_000)

    async def _claim_sweep(self, lease: bytes | str) -> bytes | None:
        keys = [Keyspace.LEASES, Keyspace.SWEEPS]
        claimed: bytes | None = await self._link.ask(
            scripts.CLAIM_SWEEP.pack(keys, SWEEPER_SECONDS * 1_000, lease), _as_it_is
        )
        return claimed

    async def _sweep(self, lease: bytes) -> None:
        tenants = self._link.keyspace.tenants_of(lease)
        for tenant in await self._link.ask(pack("SMEMBERS", tenants), _as_it_is):
            await self._claim_sweep(lease)  # a sign that this sweeper lives
            await self._sweep_rooms(tenant.decode(), lease)
            await self._sweep_connections(tenant.decode(), lease)
            key_use = TenantKeys(tenant.decode()).key(b"y")
            await self._link.ask(scripts.SWEEP_KEY_USE.pack([key_use], lease), _as_it_is)
            await self._link.ask(pack("SREM", tenants, tenant), _as_it_is)
        await self._link.ask(pack("HDEL", Keyspace.NODES, lease), _as_it_is)
        await self._link.ask(pack("ZREM", Keyspace.SWEEPS, lease), _as_it_is)

    async def _sweep_connections(self, tenant_id: str, lease: bytes) -> None:
        keys = TenantKeys(tenant_id)
        swept = [*map(keys.key, (b"x", b"i", b"u", b"v", b"j")), keys.of_lease(b"lc", lease)]
        while await self._link.ask(scripts.SWEEP_CONNECTIONS.pack(swept, lease, SWEPT_CONNECTIONS), _as_it_is):
            pass

    async def _sweep_rooms(self, tenant_id: str, lease: bytes) -> None:
        claims = TenantKeys(tenant_id).of_lease(b"lr", lease)
        while rooms := await self._link.ask(pack("SRANDMEMBER", claims, SWEPT_ROOMS), _as_it_is):
            await asyncio.gather(*[self._sweep_room(tenant_id, room.decode(), lease) for room in rooms])

    async def _sweep_room(self, tenant_id: str, room: str, lease: bytes) -> None:
        keys = self._link.keyspace.address(tenant_id, room).keys
        swept = [keys.channel, *map(keys.key, (b"n", b"u", b"l", b"w"))]
        cursor = b"0"
        while True:
            packed = scripts.SWEEP_MEMBERS.pack(swept, lease, cursor, SCANNED_MEMBERS)
            cursor = await self._link.ask(packed, _as_it_is)
            if cursor == b"0":
                break
        claim = claim_keys(TenantKeys(tenant_id), lease)
        await self._link.ask(scripts.RELEASE_ROOM.pack(claim, room), _as_it_is)


def _as_it_is(reply: Any) -> Any:
    return reply
