"""All of REST: what `app.py` puts into the one application."""

from typing import Final

from litestar import Router
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from service.api.commands import CommandsController
from service.api.connections import ConnectionsController
from service.api.counts import CountsController
from service.api.guards import provide_manager
from service.api.health import HealthController
from service.api.messages import BatchController, RoomMessagesController
from service.api.rooms import RoomsController
from service.api.strict import StrictRequest, check_address
from service.api.tokens import TokensController
from service.api.users import UsersController

_VERSION_1: Final = Router(
    path="/",
    route_handlers=[
        BatchController,
        CommandsController,
        ConnectionsController,
        CountsController,
        RoomMessagesController,
        RoomsController,
        TokensController,
        UsersController,
    ],
    guards=[check_address],
    dependencies={"manager": Provide(provide_manager, sync_to_thread=False)},
    request_class=StrictRequest,
    request_max_body_size=None,  # StrictRequest holds the tenant's own limit
    return_dto=None,
)

ROUTE_HANDLERS: Final[list[ControllerRouterHandler]] = [_VERSION_1, HealthController]
