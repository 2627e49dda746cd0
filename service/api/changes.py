"""What follows every change of a tenant: all nodes look at it again."""

from contextlib import suppress

from service.protocol.errors import Unavailable
from service.rooms.node import Node


async def announce(node: Node, tenant_id: str) -> None:
    """Have every node look at a tenant whose change is committed; this one has, when the change is answered.

    Without Redis the others find it within a second or so by themselves.
    """
    await node.look_again(tenant_id)
    with suppress(Unavailable):
        await node.broker.announce_tenant_change(tenant_id)
