"""Who asks: a tenant's server by its API key, a user by a token, the operator. None is taken for another.

Guards run before a byte of the body is read, so that a stranger costs nothing but a look-up.
"""

import time
from typing import Any, Final

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard, Scope

from service.api.operators import OperatorAccess
from service.api.parameters import TenantInPath
from service.api.strict import limit_body
from service.protocol.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from service.protocol.identifiers import is_tenant
from service.rooms.connection_manager import ConnectionManager
from service.rooms.node import Node
from service.tenants.audit import OPERATOR, Actor
from service.tenants.cache import TenantCache
from service.tenants.snapshot import TenantSnapshot
from service.tenants.storage import Storage
from service.tenants.tokens import Grant, authenticate_api_key, verify

BATCH_BODY_BYTES: Final = 8 * 1024 * 1024
OPERATOR_BODY_BYTES: Final = 64 * 1024
_ACTOR: Final = "roomcast_actor"
_MANAGER: Final = "roomcast_manager"
_GRANT: Final = "roomcast_grant"

Connection = ASGIConnection[Any, Any, Any, Any]


def needs(scope: str) -> dict[str, Any]:
    """What to declare a handler with that takes an API key with `scope`: its guard, and its line in the document."""
    return {"guards": [requires(scope)], "security": [{"apiKey": [scope]}]}


def requires(scope: str) -> Guard:
    """A guard that lets pass requests with an API key of a tenant in force that has `scope`; counted in its rate.

    At the operator's path of the same, its token alone opens, also for a tenant that is suspended.
    """

    async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
        if "tenant" in connection.path_params:
            await check_operator(connection, handler)
            bind_tenant(connection, handler, await _named_tenant(connection, handler), await _node(handler))
            return
        tenant, key = await authenticate_api_key(await _tenants(handler), bearer(connection), now_ms())
        connection.state[_ACTOR] = Actor("api_key", key.key_id)
        manager = await enter_tenant(connection, handler, tenant)
        manager.key_use.note_api_key(key.key_id, now_ms())
        manager.budgets.take_request()
        if scope not in key.scopes:
            raise Forbidden(f"the API key does not have the scope {scope}")

    return guard


async def check_operator(connection: Connection, handler: BaseRouteHandler) -> None:
    """A guard that lets the operator pass. Raises Forbidden for an API key, Unauthenticated, RateLimited."""
    access: OperatorAccess = await handler.resolve_dependencies()["operators"]()
    access.check(connection, bearer(connection))
    connection.state[_ACTOR] = OPERATOR
    limit_body(connection, OPERATOR_BODY_BYTES)


async def identify_user(connection: Connection, handler: BaseRouteHandler) -> None:
    """A guard that lets pass requests with a token of a user of a tenant in force."""
    tenant, grant = await verify(await _tenants(handler), bearer(connection), now_ms())
    connection.state[_GRANT] = grant
    manager = await enter_tenant(connection, handler, tenant)
    manager.key_use.note_signing_key(grant.kid, now_ms())


async def enter_tenant(connection: Connection, handler: BaseRouteHandler, tenant: TenantSnapshot) -> ConnectionManager:
    """Bind the request to its tenant: manager and body limit. Raises Forbidden when the tenant is suspended."""
    if not tenant.active:
        raise Forbidden("the tenant is suspended")
    return bind_tenant(connection, handler, tenant, await _node(handler))


def bind_tenant(
    connection: Connection, handler: BaseRouteHandler, tenant: TenantSnapshot, node: Node
) -> ConnectionManager:
    """Bind the request to a tenant in whatever state: manager and body limit."""
    manager = node.manager(tenant)
    connection.state[_MANAGER] = manager
    limit_body(connection, BATCH_BODY_BYTES if handler.opt.get("is_batch") else tenant.limits.frame_bytes)
    return manager


def bearer(connection: Connection) -> str:
    """The credentials of `Authorization: Bearer …` (RFC 6750). Raises Unauthenticated when there are none."""
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credentials.strip():
        raise Unauthenticated("send Authorization: Bearer with a key or a token")
    return credentials.strip()


def provide_manager(request: Request[Any, Any, Any]) -> ConnectionManager:
    """The ConnectionManager of the tenant whose credentials the request carries; its guard found it."""
    return manager_of(request)


def provide_named_manager(request: Request[Any, Any, Any], tenant: TenantInPath) -> ConnectionManager:
    """The ConnectionManager of the tenant that the operator's path names; the guard found it. `tenant` is checked."""
    return manager_of(request)


def provide_actor(request: Request[Any, Any, Any]) -> Actor:
    """Who the audit says that it was."""
    actor: Actor = request.state[_ACTOR]
    return actor


def manager_of(connection: Connection) -> ConnectionManager:
    """What `enter_tenant` bound to the request."""
    manager: ConnectionManager = connection.state[_MANAGER]
    return manager


def manager_in(scope: Scope) -> ConnectionManager | None:
    """The same of a request's scope; None as long as nobody is known."""
    manager: ConnectionManager | None = scope["state"].get(_MANAGER)
    return manager


def tenant_name_of(connection: Connection) -> str | None:
    """The tenant of the request, for the log; None as long as nobody is known."""
    manager: ConnectionManager | None = connection.state.get(_MANAGER)
    return None if manager is None else manager.tenant.name


def grant_of(connection: Connection) -> Grant:
    """What the user's token gives; `identify_user` verified it."""
    grant: Grant = connection.state[_GRANT]
    return grant


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


async def _named_tenant(connection: Connection, handler: BaseRouteHandler) -> TenantSnapshot:
    """The tenant that the path names. Raises Invalid, NotFound, Unavailable."""
    name: str = connection.path_params["tenant"]
    if not is_tenant(name):  # SQL takes no NUL
        raise NotFound("tenant")
    tenants = await _tenants(handler)
    storage: Storage = await handler.resolve_dependencies()["storage"]()
    try:
        # A name that was made, or made again, a moment ago at another node is known here at once.
        tenant = await tenants.find_by_id((await storage.tenants.read(name)).id)
    except Unavailable:
        tenant = await tenants.find(name)
    if tenant is None:
        raise NotFound("tenant")
    return tenant


async def _tenants(handler: BaseRouteHandler) -> TenantCache:
    tenants: TenantCache = await handler.resolve_dependencies()["tenants"]()
    return tenants


async def _node(handler: BaseRouteHandler) -> Node:
    node: Node = await handler.resolve_dependencies()["node"]()
    return node
