"""Revocations: tokens that end before their time."""

from litestar import Controller, MediaType, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_202_ACCEPTED
from msgspec import UNSET

from service.api.changes import announce
from service.api.guards import needs
from service.api.operations import named
from service.api.strict import StrictBody
from service.protocol.administration import RevocationBody
from service.rooms.connection_manager import ConnectionManager
from service.rooms.node import Node
from service.tenants.audit import Actor
from service.tenants.storage import Storage


class RevocationsController(Controller):
    """`/revocations`."""

    path = "/revocations"
    tags = ("users",)

    @post(
        operation_id=named("revokeTokens"),
        summary="Revoke a user's tokens, or one token",
        **needs("disconnect"),
        status_code=HTTP_202_ACCEPTED,
        media_type=MediaType.TEXT,  # no body, where JSON would say null
        dto=StrictBody,
    )
    async def revoke_tokens(
        self,
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        actor: NamedDependency[Actor],
        node: NamedDependency[Node],
        data: JSONBody[RevocationBody],
    ) -> None:
        """Until the instant they are refused, and their sockets closed with 4401 within 2 s on all nodes."""
        user, jti = (None if given is UNSET else given for given in (data.user, data.jti))
        await storage.revocations.add(actor, manager.tenant.id, user=user, jti=jti, until_at_ms=data.until_at_ms)
        await announce(node, manager.tenant.id)
