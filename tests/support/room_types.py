"""A tenant's room types on two nodes."""

import asyncio
import time
from typing import Any

from tests.support.fixtures import Cluster
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant


class Types:
    """A tenant's room types, put and waited for on both nodes."""

    def __init__(self, cluster: Cluster, tenant: Tenant) -> None:
        self._tenant = tenant
        self.servers = [Rest(node.address, tenant.api_key) for node in cluster.nodes[:2]]

    async def begin_with(self, name: str, **rules: Any) -> None:
        """Put a type before any node has heard of the tenant."""
        await self._tenant.room_type(name, **rules)

    async def put(self, name: str, room: str, **rules: Any) -> None:
        """Put a type, at the second node; back when both have it for the room, which exists."""
        answer = await self.servers[1].ask("PUT", f"/v1/room-types/{name}", rules)
        assert answer.status_code == 201, answer.text
        await self.are_known(room, name)

    async def delete(self, name: str, room: str) -> None:
        """Back when the room is of the default type on both nodes."""
        assert (await self.servers[1].ask("DELETE", f"/v1/room-types/{name}")).status_code == 204
        await self.are_known(room, "default")

    async def are_known(self, room: str, name: str) -> None:
        """Within 2 s both nodes say that the room is of this type."""
        deadline = time.monotonic() + 2
        for server in self.servers:
            while (await server.get(f"/v1/rooms/{room}"))["room_type"] != name:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
