"""POST /v1/commands: one command of a user over HTTP, from browsers too.

CORS (Fetch Standard, section 3.2). A preflight carries no token, so the tenant, and with it the list of allowed
origins, is unknown: every well-formed origin is told that it may ask. That gives nothing away, as there are no cookies:
the credentials stand in the request that follows, sent by a page that has the token already. That request names the
tenant, and there the list decides: an origin that is not in it is refused before the command runs, and without
`Access-Control-Allow-Origin`. A refusal before the tenant is known (401) may be read by any page, so that it can tell
a bad token from a broken network.
"""

import re
from typing import Any, Final, cast

from litestar import Controller, HttpMethod, Request, Response, post, route
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from service.api.answers import answer_headers, set_answer_headers
from service.api.guards import Connection, grant_of, identify_user, manager_of
from service.api.pace import take_command
from service.api.strict import StrictBody, check_content_type
from service.commands.dispatch import run_over_http
from service.protocol.codec import decode_command
from service.protocol.commands import WebSocketCommand
from service.protocol.errors import Forbidden
from service.protocol.events import WebSocketEvent
from service.protocol.json_values import check_text
from service.rooms.connection_manager import ConnectionManager
from service.telemetry import counters

# RFC 6454, section 7: what browsers send; `null` is a file or a sandboxed page, and may ask where any origin may.
_ORIGIN: Final = re.compile(r"null|[a-z][a-z0-9+.-]{0,30}://[A-Za-z0-9._:\[\]-]{1,261}", re.ASCII)
_PREFLIGHT_SECONDS: Final = 600


class CommandBody(StrictBody):
    """A body that is one command, decoded as a frame is."""

    def decode_bytes(self, value: bytes) -> WebSocketCommand:
        """The command. Raises Malformed, Invalid or UnknownCommand."""
        check_content_type(self.asgi_connection)
        check_text(value)
        return decode_command(value, False)


async def greet_origin(connection: Connection, _: BaseRouteHandler) -> None:
    """A guard: let the asking page read refusals, as long as the tenant is unknown."""
    origin = _asking_origin(connection)
    set_answer_headers(connection, {"Vary": "Origin"} if origin is None else _allowing(origin))


async def check_origin(connection: Connection, _: BaseRouteHandler) -> None:
    """A guard: the tenant's list decides. Raises Forbidden for an origin that is not in it."""
    allowed = manager_of(connection).tenant.origins
    if "origin" in connection.headers and allowed and connection.headers["origin"] not in allowed:
        set_answer_headers(connection, {"Vary": "Origin"})
        raise Forbidden("this origin is not allowed")


class CommandsController(Controller):
    """`/v1/commands`."""

    path = "/commands"
    tags = ("commands",)

    @post(
        operation_id="runCommand",
        summary="Run one command of a user",
        guards=[greet_origin, identify_user, check_origin],
        security=[{"userToken": []}],
        status_code=HTTP_200_OK,
        dto=CommandBody,
    )
    async def run_command(
        self,
        request: Request[Any, Any, Any],
        manager: NamedDependency[ConnectionManager],
        data: JSONBody[WebSocketCommand],
    ) -> Response[WebSocketEvent]:
        """One of `publish`, `send`, `members`, `history` and `ping`; the answer is its reply event, also without `id`.

        Only rights count: nothing has to be joined.
        """
        grant = grant_of(request)
        counters.commands += 1
        take_command(manager, grant.user)
        reply = cast(WebSocketEvent, await run_over_http(manager, grant, data))
        return Response(reply, headers=dict(answer_headers(request)))

    @route(http_method=HttpMethod.OPTIONS, include_in_schema=False, status_code=HTTP_204_NO_CONTENT)
    async def answer_preflight(self, request: Request[Any, Any, Any]) -> Response[None]:
        """Say what a page may send."""
        headers = {"Allow": "OPTIONS, POST", "Vary": "Origin"}
        origin = _asking_origin(request)
        if origin is not None and "access-control-request-method" in request.headers:
            headers |= _allowing(origin) | {
                "Access-Control-Allow-Methods": "POST",
                "Access-Control-Allow-Headers": "authorization, content-type",
                "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
            }
        return Response(None, headers=headers)


def _asking_origin(connection: Connection) -> str | None:
    origin = connection.headers.get("origin", "")
    return origin if _ORIGIN.fullmatch(origin) else None


def _allowing(origin: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "Retry-After",
        "Vary": "Origin",
    }
