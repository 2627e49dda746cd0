"""One node process: `python -m service.server WORKER CONTROL_FD LISTEN_FD [METRICS_FD]`, started by the supervisor.

It loads the application and takes its orders from the control socket: to ready the database, if it is the first
node, and to serve on the inherited listening socket. On SIGTERM and SIGINT it drains, refusing who comes, and ends
with exit code 0; on SIGHUP too, but leaves who comes to another process on the same socket. A second SIGTERM cuts the
drain short.
"""

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import structlog
import uvicorn
import uvloop
from litestar import Litestar
from prometheus_client import make_asgi_app

from service import telemetry
from service.app import create_app
from service.brokers.dialing import Unsuitable
from service.orders import Answer, Order
from service.preparation import DATABASE_ERRORS, prepare
from service.protocol.errors import CloseCode
from service.rooms.drain import Drain
from service.rooms.node import Node
from service.settings import Settings, read_settings
from service.transports.http_guard import GuardedHttpProtocol

log = structlog.get_logger()

DRAIN_STEP_SECONDS = 0.01
# For a node whose drain is cut short: so that what it wrote leaves, and what is answered in a moment is.
HURRY_SECONDS = 0.3


class NodeServer(uvicorn.Server):
    """uvicorn's server, which says when it serves, and drains before it ends. shares_port: with other workers."""

    def __init__(
        self,
        config: uvicorn.Config,
        control: socket.socket,
        application: Litestar,
        *,
        drain_seconds: float,
        shares_port: bool,
    ) -> None:
        super().__init__(config)
        self._control = control
        self._application = application
        self._drain_seconds = drain_seconds
        self._shares_port = shares_port
        self._parent = os.getppid()
        self._drain: Drain | None = None
        self._draining: asyncio.Task[None] | None = None
        self._is_terminated = False
        self._hurried = asyncio.Event()

    @property
    def _node(self) -> Node:
        node: Node = self._application.state.parts.node
        return node

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then the listener; then say so."""
        await super().startup(sockets)
        self._node.leave = self._leave_as_asked
        # What lives now lives on: never looked at again. A look at 50,000 young objects took 38 ms; with 10,000 a time
        # the p99 beside another tenant's 1,000 handshakes a second fell from 40 ms to 5 (24 November).
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 100, 100)
        with self._control:
            answer(self._control, Answer())

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals end the server in good order, and the process with exit code 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._receive_end)
        loop.add_signal_handler(signal.SIGHUP, self._receive_restart)
        yield

    # How it ends

    def _receive_end(self) -> None:
        if self.should_exit or not self.started:
            self._hurried.set()
        if not self.started:
            self.should_exit = True
        elif self._is_terminated:
            self._hurry()
        else:
            self._is_terminated = True
            # whose supervisor has died leaves the port to the next one
            self._leave(CloseCode.GOING_AWAY, accepts=os.getppid() == self._parent)

    def _receive_restart(self) -> None:
        if self.started:
            self._leave(CloseCode.RESTART, accepts=False)
        else:
            self.should_exit = True

    def _leave_as_asked(self) -> None:
        self._leave(CloseCode.GOING_AWAY, accepts=not self._shares_port)

    def _leave(self, code: CloseCode, *, accepts: bool) -> None:
        """Drain, then end. accepts: those who come are refused; else another process has the port."""
        if not accepts:
            for server in self.servers:
                server.close()
        if self._draining is None:
            node = self._node
            node.is_draining = True
            self._let_go_of_idle_requests()
            log.info("draining", node=node.name, connections=node.connection_count)
            self._drain = Drain(node.connections, self._drain_seconds, code, time.monotonic())
            self._draining = asyncio.create_task(self._run_drain(self._drain))

    def _let_go_of_idle_requests(self) -> None:
        """Who keeps a connection for the next request makes another one, to a node that stays; others end theirs."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, GuardedHttpProtocol) and connection.cycle is not None:
                connection.shutdown()

    async def _run_drain(self, drain: Drain) -> None:
        try:
            while True:
                if drain.step(time.monotonic()) or self._hurried.is_set():
                    return
                await asyncio.sleep(DRAIN_STEP_SECONDS)
        finally:
            self.should_exit = True

    def _hurry(self) -> None:
        self._hurried.set()
        if self._drain is not None:
            self._drain.hurry()

    async def _wait_tasks_to_complete(self) -> None:
        """As uvicorn's, cut short by a second SIGTERM; what the node has in Redis is handed back all the same."""
        waiting = asyncio.create_task(super()._wait_tasks_to_complete())
        hurried = asyncio.create_task(self._hurried.wait())
        try:
            await asyncio.wait((waiting, hurried), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((waiting,), timeout=HURRY_SECONDS)
        finally:
            waiting.cancel()
            hurried.cancel()
            await asyncio.gather(waiting, hurried, return_exceptions=True)


def answer(control: socket.socket, answer: Answer) -> None:
    """Tell the supervisor what came of its order."""
    control.sendall(msgspec.json.encode(answer) + b"\n")


def told_failures(application: Litestar, control: socket.socket) -> Callable[..., Awaitable[None]]:
    """The application, but what keeps it from starting goes to the supervisor as a sentence, not to the log."""

    async def start(scope: Any, receive: Any, send: Any) -> None:
        async def send_quietly(message: Any) -> None:
            if message["type"] == "lifespan.startup.failed":
                message = {"type": message["type"]}  # without Litestar's text, the whole traceback
            await send(message)

        try:
            await application(scope, receive, send_quietly)
        except BaseException as error:
            if control.fileno() != -1:  # closed once it serves
                answer(control, Answer(error=why_not_started(error)))
            raise

    def run(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        # no frame of ours on the way of a request
        return (start if scope["type"] == "lifespan" else application)(scope, receive, send)

    return run


def why_not_started(error: BaseException) -> str:
    """The sentence for what the application's start raised; for what is a bug, with the traceback in the log."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, OSError):
        return f"Redis is out of reach ({error}): start it, or name another with --redis-url"
    if isinstance(error, (*DATABASE_ERRORS, Unsuitable)):
        return str(error)
    log.critical("the node can't start", exc_info=error)
    return "A node did not start: the log above says why"


def node_config(settings: Settings, control: socket.socket, application: Litestar) -> uvicorn.Config:
    """uvicorn's configuration of a node: our protocol classes, and nothing of its own logs and proxies."""

    class HttpProtocol(GuardedHttpProtocol):
        head_timeout_seconds = settings.handshake_timeout_seconds
        descriptor_limit = raise_descriptor_limit()

    return uvicorn.Config(
        told_failures(application, control),
        interface="asgi3",  # uvicorn guesses by whether it is a coroutine function
        http=HttpProtocol,
        ws="websockets-sansio",  # only so that uvicorn lets upgrades pass; GuardedHttpProtocol takes them
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # trusted_proxies is ours
        server_header=False,
        backlog=2048,
        timeout_graceful_shutdown=max(1, round(settings.stop_timeout_seconds)),
    )


def raise_descriptor_limit() -> int:
    """Take as many file descriptors as the process may have; how many that are. Each socket takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS takes no limit that is infinite
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def metrics_server() -> uvicorn.Server:
    """A second, tiny server for the operator's own port: `/metrics` in Prometheus' format."""
    application = make_asgi_app(telemetry.registry)
    return uvicorn.Server(uvicorn.Config(application, lifespan="off", log_config=None, access_log=False))


async def serve(
    settings: Settings, control: socket.socket, listener: socket.socket, metrics: socket.socket | None
) -> None:
    """Serve on `listener` until a signal comes, and the metrics on their own socket if there is one."""
    lag = asyncio.create_task(telemetry.watch_loop_lag())
    aside = metrics_server()
    scrapes = asyncio.create_task(aside._serve([metrics])) if metrics else None  # serve() would take the signals
    application = create_app(settings)
    await NodeServer(
        node_config(settings, control, application),
        control,
        application,
        drain_seconds=settings.drain_seconds,
        shares_port=settings.workers > 1,
    ).serve([listener])
    lag.cancel()
    if scrapes:
        aside.should_exit = True
        await scrapes


def main(arguments: list[str]) -> None:
    """Run the node; exits with 0 after a signal, and not with 0 when it could not start."""
    worker, *descriptors = map(int, arguments)
    control, listener, *rest = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    with control.makefile("rb") as lines:
        for line in lines:  # none: the supervisor ended before it gave an order
            order = msgspec.json.decode(line, type=Order)
            settings = read_settings(order.variables)
            telemetry.configure_logging(settings.log_format, worker=worker)
            if order.task == "serve":
                break
            answer(control, prepare(settings, demo=order.task == "prepare demo"))
        else:
            return
    uvloop.run(serve(settings, control, listener, rest[0] if rest else None))


if __name__ == "__main__":
    main(sys.argv[1:])
