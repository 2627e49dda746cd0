"""The composition root: settings in, one Litestar application out. It starts the node and ends it.

The only place where configuration meets the layers; everything below gets plain values.
"""

import asyncio
import contextlib
import secrets
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import structlog
from litestar import Litestar
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import Scope

from service import telemetry
from service.api.operators import OperatorAccess
from service.api.problems import EXCEPTION_HANDLERS
from service.api.routes import ROUTE_HANDLERS
from service.brokers.redis import RedisConnectionManager
from service.console.pages import ConsoleController
from service.documents.of_contracts import Documents
from service.documents.openapi import OPENAPI_CONFIG
from service.preparation import load_operator_token, open_storage
from service.rooms.bookkeeper import Bookkeeper
from service.rooms.deletion import Deleter
from service.rooms.node import Node
from service.rooms.observation import keep_statistics
from service.rooms.redis_mark import keep_mark, save_mark
from service.rooms.roll_call import RollCall
from service.settings import Settings
from service.tenants.cache import TenantCache
from service.tenants.storage import Storage
from service.transports.connect import ConnectController
from service.transports.door import Door
from service.transports.outbox import Turn

log = structlog.get_logger()

# 48 random bits: unique among nodes and over restarts, as the broker's leases need it.
NODE_NAME_BYTES = 6
SAVE_TIMEOUT_SECONDS = 1.0


@dataclass(slots=True)
class Parts:
    """What the running node is made of; there from start-up to shutdown."""

    node: Node
    tenants: TenantCache
    door: Door
    storage: Storage
    operators: OperatorAccess
    roll_call: RollCall


def create_app(settings: Settings) -> Litestar:
    """One node's application. Its lifespan connects to Redis and SQL, and fails with a clear text if it can't."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with run_node(settings) as parts:
            app.state.parts = parts
            yield

    def provide(name: str) -> Provide:
        async def part() -> Any:
            return getattr(app.state.parts, name)

        return Provide(part)

    def provide_documents() -> Documents:
        return documents

    app = Litestar(
        [*ROUTE_HANDLERS, ConnectController, ConsoleController],
        lifespan=[lifespan],
        dependencies={
            **{name: provide(name) for name in ("node", "tenants", "storage", "operators", "roll_call")},
            "documents": Provide(provide_documents, sync_to_thread=False),
        },
        exception_handlers=EXCEPTION_HANDLERS,
        after_exception=[note_socket_bug],
        openapi_config=OPENAPI_CONFIG,
        logging_config=None,
    )
    documents = app.state.documents = Documents(app)
    return app


async def note_socket_bug(error: Exception, scope: Scope) -> None:
    """Litestar answers what a WebSocket handler raises without a word in the log."""
    if scope["type"] == ScopeType.WEBSOCKET and not isinstance(error, HTTPException):
        log.error("connect failed", incident=telemetry.new_incident(), exc_info=error)


@contextlib.asynccontextmanager
async def run_node(settings: Settings) -> AsyncIterator[Parts]:
    """Everything that a node needs while it serves, started in order and ended in the opposite one."""
    operator_token = load_operator_token(settings)
    storage = await open_storage(settings)
    name = secrets.token_urlsafe(NODE_NAME_BYTES)
    broker = RedisConnectionManager(
        settings.redis_url or "",
        name,
        database_id=storage.database_id(),
        redis_is_embedded=settings.redis_is_embedded,
        redis_restart=settings.redis_restart,
    )
    node = Node(name, broker, TenantCache(storage))
    broker.listener = node
    broker.expect(await storage.redis_mark.read())
    await broker.start()
    telemetry.register_gauge("connections", lambda: node.connection_count)
    telemetry.register_gauge("rooms", lambda: node.room_count)
    bookkeeper = make_bookkeeper(settings, node, storage)
    roll_call = RollCall(node, version("roomcast"))
    tasks = start_clockwork(broker, node, storage, bookkeeper, roll_call)
    try:
        door = make_door(settings)
        yield Parts(node, node.tenants, door, storage, OperatorAccess(operator_token, door.source_of), roll_call)
    finally:
        node.is_draining = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await node.stop()
        await broker.stop()
        with contextlib.suppress(TimeoutError):  # no reason to outstay the time that there is to stop
            async with asyncio.timeout(SAVE_TIMEOUT_SECONDS):
                await save_mark(broker, storage.redis_mark)
                await node.save_key_use(storage.keys)
        await bookkeeper.finish()
        await storage.close()


def start_clockwork(
    broker: RedisConnectionManager, node: Node, storage: Storage, bookkeeper: Bookkeeper, roll_call: RollCall
) -> list[asyncio.Task[None]]:
    """What runs beside requests and sockets, each until it is cancelled."""
    deleter = Deleter(node.name, broker, storage.deletions, storage.usage)
    tasks = [
        asyncio.create_task(work, name=name)
        for name, work in (
            ("pubsub listener", broker.start_pubsub_listener()),
            ("rooms", node.keep_rooms()),
            ("tenants", node.keep_tenants()),
            ("shares of rates", node.shares.keep()),
            ("roll call", roll_call.keep_told()),
            ("statistics", keep_statistics(node)),
            ("key use", node.keep_key_use(storage.keys)),
            ("mark of Redis", keep_mark(broker, storage.redis_mark)),
            ("deletions", deleter.keep_deleting()),
            ("samples of usage", bookkeeper.keep_samples()),
            ("usage", bookkeeper.keep_written()),
        )
    ]
    for task in tasks:
        task.add_done_callback(_fail_loudly)
    return tasks


def make_bookkeeper(settings: Settings, node: Node, storage: Storage) -> Bookkeeper:
    """Who writes the node's usage down."""
    return Bookkeeper(
        node,
        storage.usage,
        minutes_days=settings.usage_minutes_retention_days,
        hours_days=settings.usage_hours_retention_days,
    )


def make_door(settings: Settings) -> Door:
    """The node's door and the loop's turn."""
    return Door(
        Turn(asyncio.get_running_loop()),
        trusted_proxies=settings.trusted_proxies,
        connects_per_second_per_address=settings.connects_per_second_per_address,
        ping_interval_seconds=settings.ping_interval_seconds,
        pong_timeout_seconds=settings.pong_timeout_seconds,
        outbox_max_bytes=settings.outbox_max_bytes,
    )


def _fail_loudly(task: "asyncio.Task[None]") -> None:
    """A node without its clockwork must not go on as if it had one: the supervisor starts another."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("node stopped", task=task.get_name(), exc_info=error)
        sys.exit(1)
