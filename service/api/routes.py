"""All of REST: what `app.py` puts into the one application.

What is there for a tenant stands twice, with the same handlers: for its own servers below `/v1`, and for the operator
below `/v1/tenants/{tenant}`. Guards and `manager` tell the two apart.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from litestar import Controller, Router
from litestar.di import Provide
from litestar.types import ControllerRouterHandler, Middleware

from service.api.audit import AuditController
from service.api.commands import CommandsController
from service.api.connections import ConnectionsController
from service.api.contract import ContractController
from service.api.contract_documents import ContractDocumentsController
from service.api.counts import CountsController
from service.api.guards import provide_actor, provide_manager, provide_named_manager
from service.api.health import HealthController
from service.api.keys import KeysController
from service.api.messages import BatchController, RoomMessagesController
from service.api.metering import metered
from service.api.nodes import NodesController
from service.api.operations import TENANT_PATH
from service.api.revocations import RevocationsController
from service.api.room_types import RoomTypesController
from service.api.rooms import RoomsController
from service.api.signing_keys import SigningKeysController
from service.api.stats import ObservationController, StatsController
from service.api.strict import StrictRequest, check_address
from service.api.tenants import TenantsController
from service.api.tokens import TokensController
from service.api.usage import UsageController
from service.api.users import UsersController

_OF_A_TENANT: Final[list[type[Controller]]] = [
    AuditController,
    BatchController,
    ConnectionsController,
    ContractController,
    ContractDocumentsController,
    CountsController,
    KeysController,
    RevocationsController,
    RoomMessagesController,
    RoomTypesController,
    RoomsController,
    SigningKeysController,
    StatsController,
    TokensController,
    UsageController,
    UsersController,
]


def _router(
    path: str,
    controllers: Sequence[type[Controller]],
    provide: Callable[..., Any],
    middleware: Sequence[Middleware] = (),
) -> Router:
    return Router(
        path=path,
        route_handlers=controllers,
        guards=[check_address],
        dependencies={
            "manager": Provide(provide, sync_to_thread=False),
            "actor": Provide(provide_actor, sync_to_thread=False),
        },
        middleware=middleware,
        request_class=StrictRequest,
        request_max_body_size=None,  # StrictRequest holds the tenant's own limit
        return_dto=None,
    )


ROUTE_HANDLERS: Final[list[ControllerRouterHandler]] = [
    _router("/v1", [*_OF_A_TENANT, CommandsController], provide_manager, [metered]),
    _router(TENANT_PATH, _OF_A_TENANT, provide_named_manager),
    _router("/", [TenantsController, NodesController, ObservationController], provide_manager),
    HealthController,
]
