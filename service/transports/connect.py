"""GET /v1/connect: from a handshake to a session, or a refusal that says why.

The order is the order of costs: address, token, tenant, origin, rate, and last the reservation in Redis. What a refusal
looks like depends on who asks: browsers can't see an HTTP answer to a handshake, so a client whose token came as a
subprotocol gets a socket with `closing` and a close code, every other one problem+json.
"""

import time
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from litestar import Controller, Request, Response, WebSocket, get, websocket
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from service.brokers.broker import ConnectionEntry
from service.commands.dispatch import FEATURES, LiveSession
from service.commands.session import COMMAND_BURST_SECONDS
from service.protocol.codec import event_frame, problem_body
from service.protocol.errors import (
    CloseCode,
    Forbidden,
    Invalid,
    RoomcastError,
    Unauthenticated,
    Unavailable,
    problem,
)
from service.protocol.events import Closing, Welcome, WelcomeLimits
from service.rooms.connection import new_entry
from service.rooms.connection_manager import ConnectionManager
from service.rooms.node import Node
from service.telemetry import count_refusal, counters
from service.tenants.cache import TenantCache
from service.tenants.claims import Grant
from service.tenants.limits import Limits
from service.tenants.tokens import verify
from service.transports.door import Door
from service.transports.handover import SURPLUS, take_over
from service.transports.live_socket import LiveSocket
from service.transports.subprotocols import Offer, read_offer, values_of

PROTOCOL_VERSION: Final = 1
# Which close code a browser sees instead of an HTTP status (PROTOCOL.md, "Connecting").
CLOSE_CODES: Final = {
    401: CloseCode.UNAUTHENTICATED,
    403: CloseCode.FORBIDDEN,
    429: CloseCode.TOO_MANY,
    503: CloseCode.OVERLOADED,
}

Socket = WebSocket[Any, Any, Any]


class ConnectParts(Protocol):
    """What a connect needs of the application: `app.state.parts`."""

    @property
    def node(self) -> Node:
        """This node."""

    @property
    def tenants(self) -> TenantCache:
        """The tenants by name."""

    @property
    def door(self) -> Door:
        """Who may knock, and how often."""


@dataclass(slots=True)
class Admission:
    """A client that may come in, or the reason why not."""

    door: Door
    offer: Offer
    address: str
    grant: Grant | None = None
    manager: ConnectionManager | None = None
    refusal: RoomcastError | None = None


async def provide_admission(socket: Socket) -> Admission:
    """Look at address, token, tenant and origin. Never raises: Litestar answers a dependency's exception with 403.

    The node's parts come from the application's state: as dependencies of their own, Litestar would resolve them in a
    task group, 60 us a connect.
    """
    parts: ConnectParts = socket.app.state.parts
    door, node = parts.door, parts.node
    headers = socket.scope["headers"]
    client = socket.scope["client"]
    address = door.client_address(client[0] if client is not None else "", headers)
    admission = Admission(door, read_offer(headers), address)
    try:
        door.take_connect(admission.address)
        if SURPLUS in (socket.scope["extensions"] or ()):
            raise Unavailable("this node has as many sockets as it can", retry_after_ms=door.gate.turn_away())
        await door.gate.enter()
        if admission.offer.refusal is not None:
            raise admission.offer.refusal
        if not admission.offer.token:
            raise Unauthenticated("send a token, in Authorization or as a subprotocol roomcast.token.<jwt>")
        if not node.is_ready:
            raise Unavailable("this node takes no connections at the moment", retry_after_ms=1000)
        tenant, admission.grant = await verify(parts.tenants, admission.offer.token, time.time_ns() // 1_000_000)
        if not tenant.active:
            raise Forbidden("the tenant is suspended")
        if tenant.origins and any(origin not in tenant.origins for origin in values_of(headers, b"origin")):
            raise Forbidden("the tenant does not allow this origin")
        admission.manager = node.manager(tenant)
    except RoomcastError as error:
        admission.refusal = error
    return admission


def provide_manager(admission: NamedDependency[SkipValidation[Admission]]) -> ConnectionManager | None:
    """The ConnectionManager of the client's own tenant; None for a client that is refused."""
    return admission.manager


class ConnectController(Controller):
    """The one address for sockets."""

    path = "/v1/connect"
    dependencies = {  # noqa: RUF012 - Litestar's own form
        "admission": Provide(provide_admission),
        "manager": Provide(provide_manager, sync_to_thread=False),
    }

    @get(include_in_schema=False, exclude_from_auth=True)
    async def plain(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """Somebody came without an upgrade (RFC 9110, section 15.5.22)."""
        error = Invalid("this is a WebSocket: connect with an upgrade", "$")
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        return Response(
            problem_body(error, 426), status_code=426, media_type="application/problem+json", headers=headers
        )

    @websocket()
    async def connect(
        self,
        socket: Socket,
        admission: NamedDependency[SkipValidation[Admission]],
        manager: NamedDependency[SkipValidation[ConnectionManager | None]],
    ) -> None:
        """Reserve, accept, hand over; or refuse."""
        grant = admission.grant
        if admission.refusal is not None or manager is None or grant is None:
            await refuse(socket, admission)
            return
        entry = new_entry(grant.user, manager.node, admission.address)
        try:
            await manager.reserve(entry)
        except RoomcastError as error:
            admission.refusal = error
            await refuse(socket, admission)
            return
        arrival = Arrival(admission.door, manager, grant, entry, admission.offer.binary)
        take_over(cast(dict[str, Any], socket.scope), arrival.make_socket, arrival.abandon)
        await socket.accept(subprotocols=admission.offer.selected)


class DoorSession(LiveSession):
    """A live session that has the door hear of its tenant's new limits: the frame limit counts at once, too."""

    __slots__ = ("door",)

    door: Door

    def tenant_changed(self) -> None:
        """New limits are in force."""
        self.door.rules(self.manager.tenant)
        super().tenant_changed()


@dataclass(slots=True)
class Arrival:
    """A reserved connection on its way from the handshake to its socket."""

    door: Door
    manager: ConnectionManager
    grant: Grant
    entry: ConnectionEntry
    binary: bool

    def make_socket(self, transport: Any) -> LiveSocket:
        """The socket with its session: `welcome` is its first event."""
        door, manager = self.door, self.manager
        live = LiveSocket(transport, door.turn, door.rules(manager.tenant), self.binary)
        session = DoorSession(live, manager, self.grant, self.entry, door.turn.wheel, door.outbox_max_bytes)
        session.door = door
        live.handler = session
        manager.connect(session)
        counters.connections_opened += 1
        session.tenant_changed()  # it may have, since the token was verified
        session.send_event(welcome(session, manager, door))
        session.take_grant(self.grant)
        session.join_claimed_rooms()
        return live

    def abandon(self) -> None:
        """The client has gone before its socket was made."""
        self.manager.release(self.entry)


def welcome(session: LiveSession, manager: ConnectionManager, door: Door) -> Welcome:
    """The first event of every connection."""
    limits = manager.tenant.limits
    return Welcome(
        version=PROTOCOL_VERSION,
        connection=session.id,
        user=session.user,
        tenant=manager.tenant.name,
        node=manager.node,
        expires_at_ms=session.grant.expires_at_ms,
        ping_interval_seconds=door.ping_interval_seconds,
        features=FEATURES,
        limits=welcome_limits(limits),
    )


def welcome_limits(limits: Limits) -> WelcomeLimits:
    """The limits that a client can keep to by itself."""
    rate = limits.commands_per_second
    return WelcomeLimits(
        max_message_bytes=limits.max_message_bytes,
        max_frame_bytes=limits.frame_bytes,
        max_state_bytes=limits.max_state_bytes,
        max_rooms_per_connection=limits.max_rooms_per_connection,
        commands_per_second=rate,
        commands_burst=None if rate is None else rate * COMMAND_BURST_SECONDS,
    )


async def refuse(socket: Socket, admission: Admission) -> None:
    """Say no, in the way that this client can see."""
    error = admission.refusal or Unauthenticated()
    count_refusal(error.code)
    status = problem(error).status
    code = CLOSE_CODES.get(status)
    if admission.offer.token_is_subprotocol and code is not None:
        closing = Closing(
            code=code,
            reason=error.message,
            reconnect=code != CloseCode.FORBIDDEN,
            after_ms=error.retry_after_ms or 0,
        )
        take_over(
            cast(dict[str, Any], socket.scope),
            Refusal(admission.door, event_frame(closing, admission.offer.binary), code).make_socket,
        )
        await socket.accept(subprotocols=admission.offer.selected)
        return
    await answer_over_http(socket, error, status)


async def answer_over_http(socket: Socket, error: RoomcastError, status: int) -> None:
    """An HTTP answer to a handshake (ASGI's extension `websocket.http.response`)."""
    headers = [(b"content-type", b"application/problem+json")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.retry_after_ms is not None:
        headers.append((b"retry-after", str(-(-error.retry_after_ms // 1000)).encode()))
    body = problem_body(error)
    headers.append((b"content-length", str(len(body)).encode()))
    start: Any = {"type": "websocket.http.response.start", "status": status, "headers": headers}
    await socket.send(start)
    await socket.send({"type": "websocket.http.response.body", "body": body, "more_body": False})


@dataclass(slots=True)
class Refusal:
    """A refused browser: a socket that only says why, and closes. It is its own SocketHandler."""

    door: Door
    closing: bytes
    code: CloseCode

    def make_socket(self, transport: Any) -> LiveSocket:
        """The socket, closing at once."""
        live = LiveSocket(transport, self.door.turn, self.door.refusal_rules, False)
        live.handler = self
        live.close(self.code, "", closing=self.closing)
        return live

    def receive_message(self, payload: bytes, is_text: bool) -> None:
        """A closing socket hands nothing up."""

    def closing_frame(self, code: int, reason: str) -> bytes:
        """The socket is closing already."""
        return b""

    def connection_lost(self, code: int | None) -> None:
        """Nothing was reserved."""
