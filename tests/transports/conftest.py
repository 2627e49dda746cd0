import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import uvicorn

from service.transports.frames import BINARY, TEXT, frame
from service.transports.handover import take_over
from service.transports.http_guard import GuardedHttpProtocol
from service.transports.live_socket import LiveSocket
from service.transports.outbox import Turn
from service.transports.socket_rules import SocketRules
from service.transports.wheel import Wheel


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both loops: they differ in when they write, pause and tell of an end."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


class Recorder:
    """A SocketHandler that keeps what it was told, and echoes until another `answer` is set."""

    def __init__(self, live: LiveSocket) -> None:
        self.live = live
        self.received: list[bytes] = []
        self.asked_closings: list[int] = []
        self.lost: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.answer: Callable[[bytes, bool], object] = lambda payload, is_text: live.send(
            frame(payload, TEXT if is_text else BINARY)
        )

    def receive_message(self, payload: bytes, is_text: bool) -> None:
        self.received.append(payload)
        self.answer(payload, is_text)

    def closing_frame(self, code: int, reason: str) -> bytes:
        self.asked_closings.append(code)
        return frame(b"closing %d" % code)

    def connection_lost(self, code: int | None) -> None:
        self.lost.set_result(code)  # raises when called twice


class QuickHttpProtocol(GuardedHttpProtocol):
    head_timeout_seconds = 0.3
    body_timeout_seconds = 0.3


class Host:
    """A real uvicorn whose application accepts every socket and hands it to a Recorder."""

    def __init__(self, rules: SocketRules, keep_alive_seconds: int) -> None:
        self.rules = rules
        loop = asyncio.get_running_loop()
        self.turn = Turn(loop, Wheel(loop, tick_seconds=0.01))
        self.accepted: asyncio.Queue[Recorder] = asyncio.Queue()
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.on_socket: Callable[[Recorder], None] = lambda recorder: None
        self.abandoned = asyncio.Event()
        self.server = uvicorn.Server(
            uvicorn.Config(
                self.application,
                interface="asgi3",
                port=0,
                ws="websockets-sansio",
                http=QuickHttpProtocol,
                lifespan="off",
                log_level="critical",
                ws_per_message_deflate=False,
                timeout_keep_alive=keep_alive_seconds,
                timeout_graceful_shutdown=5,
            )
        )

    async def application(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        if scope["type"] == "http":
            while (await receive()).get("more_body"):
                pass
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
            return
        await receive()
        take_over(scope, self.make_socket, self.abandoned.set)
        await send({"type": "websocket.accept"})
        await self.may_finish.wait()

    def make_socket(self, transport: asyncio.Transport) -> LiveSocket:
        live = LiveSocket(transport, self.turn, self.rules, binary=False)
        live.handler = recorder = Recorder(live)
        self.on_socket(recorder)
        self.accepted.put_nowait(recorder)
        return live

    @property
    def port(self) -> int:
        return int(self.server.servers[0].sockets[0].getsockname()[1])


Hosting = Callable[..., AbstractAsyncContextManager[Host]]


@pytest.fixture
def hosting() -> Hosting:
    """`async with hosting(ping_interval_seconds=0.1) as host`: the rules that a test shortens."""

    @asynccontextmanager
    async def host_with(*, keep_alive_seconds: int = 5, **rules: Any) -> AsyncIterator[Host]:
        host = Host(SocketRules(**rules), keep_alive_seconds)
        task = asyncio.create_task(host.server.serve())
        while not host.server.started:
            await asyncio.sleep(0.001)  # uvicorn tells it in no other way
        try:
            yield host
        finally:
            host.may_finish.set()
            host.server.should_exit = True
            await task

    return host_with
