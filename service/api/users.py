"""Users: where one is, what all of its connections get, and their end."""

from litestar import Controller, MediaType, delete, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_202_ACCEPTED
from msgspec import UNSET

from service.api.guards import needs
from service.api.operations import named, read
from service.api.parameters import Reconnect, UserInPath
from service.api.strict import StrictBody
from service.protocol.resources import DirectBody, UserDetail
from service.rooms.connection_manager import ConnectionManager
from service.rooms.outgoing import OutgoingMessage


class UsersController(Controller):
    """`/v1/users/{user}`."""

    path = "/users/{user:str}"
    tags = ("users",)

    @read(operation_id="getUser", summary="Look at one user", **needs("read"))
    async def read_user(self, manager: NamedDependency[ConnectionManager], user: UserInPath) -> UserDetail:
        """The user's connections and the rooms that they are in, on all nodes; empty lists when nobody is there."""
        entries = await manager.broker.find_user(manager.tenant.id, user)
        return UserDetail(
            user=user,
            connections=[entry.connection for entry in entries],
            rooms=sorted({room for entry in entries for room in entry.rooms}),
        )

    @post(
        "/messages",
        operation_id=named("sendToUser"),
        summary="Send to a user",
        **needs("publish"),
        status_code=HTTP_202_ACCEPTED,
        media_type=MediaType.TEXT,  # no body, where JSON would say null
        dto=StrictBody,
    )
    async def send_to_user(
        self, manager: NamedDependency[ConnectionManager], user: UserInPath, data: JSONBody[DirectBody]
    ) -> None:
        """To all of the user's connections, at most once; nobody there is no error."""
        message = OutgoingMessage(bytes(data.data), None if data.name is UNSET else data.name)
        await manager.broadcast_to_user(message, user)

    @delete(
        "/connections",
        operation_id=named("disconnectUser"),
        summary="Disconnect a user",
        **needs("disconnect"),
        status_code=HTTP_202_ACCEPTED,
        media_type=MediaType.TEXT,  # no body, where JSON would say null
    )
    async def disconnect_user(
        self, manager: NamedDependency[ConnectionManager], user: UserInPath, reconnect: Reconnect = False
    ) -> None:
        """Closes all of the user's sockets with 4409; its token stays valid."""
        await manager.broker.disconnect(manager.tenant.id, user=user, reconnect=reconnect)
