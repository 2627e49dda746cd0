"""What a tenant's own requests count as in its usage; the operator's paths are not metered."""

from typing import Any

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from service.api.guards import manager_in
from service.api.problems import refusal_in


def metered(app: ASGIApp) -> ASGIApp:
    """A middleware: counts a request, its body's bytes and its answer's, and its refusal, once the tenant is known."""

    async def count(scope: Scope, receive: Receive, send: Send) -> None:
        bytes_in = bytes_out = 0

        async def received() -> Any:
            nonlocal bytes_in
            event = await receive()
            if event["type"] == "http.request":
                bytes_in += len(event["body"])
            return event

        async def sent(message: Message) -> None:
            nonlocal bytes_out
            if message["type"] == "http.response.body":
                bytes_out += len(message["body"])
            await send(message)

        try:
            await app(scope, received, sent)
        finally:
            manager = manager_in(scope)
            if manager is not None:
                usage = manager.usage
                usage.api_requests += 1
                usage.bytes_in += bytes_in
                usage.bytes_out += 0 if scope.get("method") == "HEAD" else bytes_out  # the server leaves that body out
                code = refusal_in(scope)
                if code is not None:
                    usage.refuse(code)

    return count
