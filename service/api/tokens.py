"""Tokens for tenants that don't sign them by themselves."""

from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET

from service.api.guards import needs, now_ms
from service.api.operations import named
from service.api.strict import StrictBody
from service.protocol.resources import TokenAnswer, TokenBody
from service.rooms.connection_manager import ConnectionManager
from service.tenants.tokens import sign_token, verify_token

_DEFAULT_TTL_SECONDS = 3_600


class TokensController(Controller):
    """`/v1/tokens`."""

    path = "/tokens"
    tags = ("tokens",)

    @post(operation_id=named("createToken"), summary="Sign a token for a user", dto=StrictBody, **needs("manage"))
    async def create_token(self, manager: NamedDependency[ConnectionManager], data: JSONBody[TokenBody]) -> TokenAnswer:
        """Signed with the tenant's HS256 key, by default for an hour; `conflict` when it has none."""
        now = now_ms()
        token = sign_token(
            manager.tenant,
            user=data.user,
            rooms=None if data.rooms is UNSET else data.rooms,
            join=() if data.join is UNSET else data.join,
            send=data.send is True,
            info=None if data.info is UNSET else data.info,
            ttl_seconds=_DEFAULT_TTL_SECONDS if data.ttl_seconds is UNSET else data.ttl_seconds,
            now_ms=now,
        )
        # Read back: a signing key that ends before the token ends the token.
        return TokenAnswer(token=token, expires_at_ms=verify_token(manager.tenant, token, now).expires_at_ms)
