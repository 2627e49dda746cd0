"""A new lease enters everything again that this node holds."""

from collections.abc import Iterator, Sequence

from service.brokers import scripts
from service.brokers.broker import ConnectionEntry
from service.brokers.entries import pack_claim, pack_connect, pack_join, pack_rooms
from service.brokers.link import Link

# (tenant, connection, None): a connection; (tenant, connection, room): a membership; (tenant, None, room): a claim.
Held = tuple[str, str | None, str | None]


class Restoration:
    """Enters connections, memberships and claims in slices, while the node goes on living.

    What ends before its turn comes is not entered; what ends after is removed by its own command, which comes later on
    the same connection.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._is_running = False
        self._forgotten: set[Held] = set()

    def forget(self, tenant_id: str, connection: str | None, room: str | None) -> None:
        """It ended: don't enter it."""
        if self._is_running:
            self._forgotten.add((tenant_id, connection, room))

    async def run(self, held: Sequence[tuple[str, ConnectionEntry]]) -> None:
        """Enter what is held; raises what refused it, as Unavailable when the connection is lost meanwhile."""
        self._is_running = True
        try:
            await self._link.ask_all(self._calls(held))
        finally:
            self._is_running = False
            self._forgotten.clear()

    def _calls(self, held: Sequence[tuple[str, ConnectionEntry]]) -> Iterator[bytes]:
        claimed: set[tuple[str, str]] = set()
        link = self._link
        for tenant_id, entry in held:
            if (tenant_id, entry.connection, None) in self._forgotten:
                continue
            link.note_tenant(tenant_id)
            yield pack_connect(scripts.CONNECT_AGAIN, link, tenant_id, entry, None, None)
            if entry.rooms:
                yield pack_rooms(link, tenant_id, [(entry.connection, entry.rooms)])
            for room in entry.rooms:
                if (tenant_id, room) not in claimed and (tenant_id, None, room) not in self._forgotten:
                    claimed.add((tenant_id, room))
                    yield pack_claim(scripts.CLAIM_AGAIN, link, tenant_id, room, None)
                if not self._forgotten & {(tenant_id, entry.connection, room), (tenant_id, entry.connection, None)}:
                    keys = link.keyspace.address(tenant_id, room).keys
                    yield pack_join(scripts.JOIN_AGAIN, link, keys, entry.connection, entry.user, None)
