"""Two tenants that use the same names for everything, on both nodes: what one does must show nothing of the other."""

import itertools
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from service.protocol.events import Message
from tests.support.canaries import keep_secret
from tests.support.fixtures import Connect, NewTenant
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant
from tests.support.wire_client import Client

_words = itertools.count()


class Side(NamedTuple):
    """One tenant: alice is in the room `chat` on both nodes; `word` stands in all that was said."""

    tenant: Tenant
    near: Client
    far: Client
    rest: Rest
    user: Rest
    word: str
    positions: list[str]

    async def hears_nothing(self) -> None:
        """Neither socket has got anything."""
        await self.near.hears_nothing()
        await self.far.hears_nothing()

    async def is_unharmed(self) -> None:
        """Its sockets, room, history and counts are as they were, and what it says reaches it."""
        await self.hears_nothing()
        page = await self.rest.get("/v1/rooms/chat/messages")
        assert [message["data"] for message in page["messages"]] == [f"{self.word} {n}" for n in range(3)]
        assert page["position"] == self.positions[-1]
        assert await self.rest.get("/v1/counts") == {"connections": 2, "users": 1, "rooms": 1}
        await self.near.publishes("chat", "still here")
        await self.far.expects(Message, data="still here")


class Sides(NamedTuple):
    """`one` acts, `other` must not notice, nor show."""

    one: Side
    other: Side


@pytest.fixture
async def sides(new_tenant: NewTenant, connect: Connect, node: LiveNode, other_node: LiveNode) -> AsyncIterator[Sides]:
    made = []
    for _ in range(2):
        tenant = await new_tenant()
        near, far = await connect(tenant=tenant), await connect(tenant=tenant, at=other_node)
        for client in (near, far):
            await client.joins("chat")
        word = keep_secret(f"said-by-{next(_words)}-alone")
        positions = []
        for number in range(3):
            published = await near.publishes("chat", f"{word} {number}", key=f"k{number}")
            positions.append(str(published.position))
            await far.expects(Message, offset=number + 1)
        rest = Rest(node.address, tenant.api_key)
        user = Rest(node.address, tenant.token())
        made.append(Side(tenant, near, far, rest, user, word, positions))
    assert made[0].positions[0] != made[1].positions[0]
    yield Sides(*made)
    for side in made:
        await side.rest.close()
        await side.user.close()
