"""A WebSocket server that does what a scene says, and sees what the client does."""

import asyncio
import http
from typing import Any

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

PATIENCE_SECONDS = 5.0


class Arrival:
    """A client at the door, until it is let in or refused."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.decision: asyncio.Future[int] = asyncio.get_running_loop().create_future()


class ScriptedServer:
    """`async with`; one connection at a time is `accept`ed, and is the one that `sends` and `receives`."""

    def __init__(self, welcome: Any) -> None:
        self._welcome = welcome
        self._arrivals: asyncio.Queue[Arrival] = asyncio.Queue()
        self._connections: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self._connection: ServerConnection | None = None
        self._server: Server

    async def __aenter__(self) -> "ScriptedServer":
        self._server = await serve(
            self._serve, "127.0.0.1", 0, process_request=self._at_the_door, subprotocols=[], select_subprotocol=_select
        )
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1/connect"
        return self

    async def __aexit__(self, *unused: object) -> None:
        while not self._arrivals.empty():
            self._arrivals.get_nowait().decision.set_result(503)
        self._server.close()
        await self._server.wait_closed()

    async def accept(self, token: str | None = None) -> None:
        """Let the next client in, which has this token, and welcome it."""
        await self._decide(token, 101)
        self._connection = await self._connections.get()
        await self.sends(self._welcome)

    async def refuse(self, status: int, token: str | None = None) -> None:
        """Answer the next client with this status instead."""
        await self._decide(token, status)

    async def sends(self, event: Any) -> None:
        assert self._connection is not None
        await self._connection.send(msgspec.json.encode(event).decode())

    async def receives(self, timeout_seconds: float = PATIENCE_SECONDS) -> Any:
        """The next command. Raises TimeoutError."""
        assert self._connection is not None
        async with asyncio.timeout(timeout_seconds):
            return msgspec.json.decode(await self._connection.recv())

    async def closes(self, code: int) -> None:
        assert self._connection is not None
        await self._connection.close(code)

    async def drops(self) -> None:
        assert self._connection is not None
        self._connection.transport.abort()
        await self._connection.wait_closed()

    async def is_left_alone(self, seconds: float) -> bool:
        """Whether nobody comes for so long."""
        try:
            async with asyncio.timeout(seconds):
                arrival = await self._arrivals.get()
        except TimeoutError:
            return True
        arrival.decision.set_result(503)
        return False

    async def _decide(self, token: str | None, status: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            arrival = await self._arrivals.get()
        assert token in (None, arrival.token)
        arrival.decision.set_result(status)

    async def _at_the_door(self, connection: ServerConnection, request: Request) -> Response | None:
        arrival = Arrival(request.headers["Authorization"].removeprefix("Bearer "))
        await self._arrivals.put(arrival)
        status = await arrival.decision
        if status == 101:
            return None
        codes = {401: "unauthenticated", 403: "forbidden", 429: "too_many", 503: "unavailable"}
        problem = {"type": f"urn:roomcast:error:{codes[status]}", "title": "x", "status": status, "detail": "refused"}
        body = msgspec.json.encode(problem)
        headers = Headers({"Content-Type": "application/problem+json", "Content-Length": str(len(body))})
        return Response(status, http.HTTPStatus(status).phrase, headers, body)

    async def _serve(self, connection: ServerConnection) -> None:
        await self._connections.put(connection)
        await connection.wait_closed()


def _select(connection: ServerConnection, offered: Any) -> Any:
    assert list(offered) == ["roomcast.v1.json"]
    return offered[0]
