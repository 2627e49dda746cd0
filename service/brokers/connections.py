"""The port between the nodes, as far as it is about connections: entering and leaving the cluster's registry, and who
and what is in it. `registry.py` implements it.
"""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from service.brokers.broker import ConnectionEntry, RoomCount, TenantCounts


class Connections(Protocol):
    """Its part of `Broker`."""

    def connect(
        self,
        tenant_id: str,
        entry: "ConnectionEntry",
        max_connections: int | None,
        max_connections_per_user: int | None,
    ) -> Awaitable[None]:
        """Reserve a connection in the registry under this node's lease; raises TooMany, scope tenant or user."""

    def disconnected(self, tenant_id: str, connection: str, user: str) -> None:
        """Free what `connect` reserved; sent, not waited for."""

    def note_rooms(self, tenant_id: str, connection: str, rooms: Sequence[str]) -> None:
        """The connection is now in these rooms: told to the registry within a second, in batches."""

    # Looking

    def counts(self, tenant_id: str) -> Awaitable["TenantCounts"]:
        """Of the whole cluster."""

    def list_rooms(self, tenant_id: str, prefix: str, after: str, limit: int) -> Awaitable[Sequence["RoomCount"]]:
        """Occupied rooms whose name begins with `prefix`, by name, behind `after` ("" from the start)."""

    def list_connections(self, tenant_id: str, after: str, limit: int) -> Awaitable[Sequence["ConnectionEntry"]]:
        """Connections by id, behind `after` ("" from the start)."""

    def find_connection(self, tenant_id: str, connection: str) -> Awaitable["ConnectionEntry | None"]:
        """One connection."""

    def find_user(self, tenant_id: str, user: str) -> Awaitable[Sequence["ConnectionEntry"]]:
        """A user's connections; empty when nobody is there."""
