"""Messages: published by the tenant's servers, read back, forgotten."""

import asyncio
from weakref import WeakKeyDictionary

from litestar import Controller, delete, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK
from msgspec import UNSET, UnsetType

from service.api.guards import manager_of, needs
from service.api.operations import named, read
from service.api.parameters import Before, Limit, RoomInPath, Since
from service.api.problems import note_bug
from service.api.strict import StrictBody
from service.brokers.broker import Publication
from service.protocol.errors import RoomcastError, problem
from service.protocol.events import HistoryEvent
from service.protocol.json_values import check_json
from service.protocol.resources import BatchAnswer, BatchBody, BatchMessage, BatchResult, PublishAnswer, PublishBody
from service.rooms.connection_manager import ConnectionManager
from service.rooms.outgoing import OutgoingMessage
from service.telemetry import count_refusal

_BATCH_PATH = "/v1/messages"
# What one loop turn may do of a tenant's batches, so that no other tenant waits longer than a few milliseconds for it.
_CHECKED_BYTES_PER_TURN = 16 * 1024
_STARTED_PER_TURN = 32
# A batch counts as one more request for so much of it: decoding 8 MiB takes up to 50 ms that nobody else has.
_BYTES_PER_REQUEST = 256 * 1024

# One batch of a tenant at a time is looked into and started: ten at once would make each turn ten times as long.
_under_way: WeakKeyDictionary[ConnectionManager, asyncio.Lock] = WeakKeyDictionary()


class RoomMessagesController(Controller):
    """`/v1/rooms/{room}/messages`."""

    path = "/rooms/{room:str}/messages"
    tags = ("messages",)

    @read(operation_id="listMessages", summary="Page through kept messages", **needs("read"))
    async def read_messages(
        self,
        manager: NamedDependency[ConnectionManager],
        room: RoomInPath,
        since: Since = None,
        before: Before = None,
        limit: Limit = 100,
    ) -> HistoryEvent:
        """Kept messages, ascending: the first `limit` after `since`, else the last ones before `before` or the head."""
        return await manager.history(room, since=since, before=before, limit=limit)

    @post(
        operation_id=named("publishMessage"), summary="Publish a message to a room", **needs("publish"), dto=StrictBody
    )
    async def publish(
        self, manager: NamedDependency[ConnectionManager], room: RoomInPath, data: JSONBody[PublishBody]
    ) -> PublishAnswer:
        """Answered once Redis has the message. The same `key` within 300 s is the same message: `duplicate` is true."""
        exclude = () if data.exclude is UNSET else tuple(data.exclude)
        message = OutgoingMessage(bytes(data.data), _or_none(data.name))
        publication = await manager.broadcast_to_room(message, room, exclude, key=_or_none(data.key))
        return PublishAnswer(position=position_text(publication), duplicate=publication.duplicate)

    @delete(operation_id=named("forgetMessages"), summary="Forget a room's messages", **needs("manage"))
    async def forget_messages(self, manager: NamedDependency[ConnectionManager], room: RoomInPath) -> None:
        """Drops what the room keeps and begins a new epoch, which its members are told as a `gap`."""
        await manager.broker.forget_history(manager.broker.address(manager.tenant.id, room))


class BatchOfBytes(StrictBody):
    """A batch whose messages are decoded, and not looked into."""

    checks_values = False

    def decode_bytes(self, value: bytes) -> BatchBody:
        """The batch, counted as several requests when it is large. Raises Malformed or Invalid."""
        manager_of(self.asgi_connection).budgets.charge_requests(len(value) // _BYTES_PER_REQUEST)
        batch: BatchBody = super().decode_bytes(value)
        return batch


class BatchController(Controller):
    """`/v1/messages`."""

    path = "/messages"
    tags = ("messages",)

    @post(
        operation_id=named("publishMessages"),
        summary="Publish up to 1,000 messages",
        **needs("publish"),
        status_code=HTTP_200_OK,
        dto=BatchOfBytes,
        is_batch=True,
    )
    async def publish_batch(
        self, manager: NamedDependency[ConnectionManager], data: JSONBody[BatchBody]
    ) -> BatchAnswer:
        """In order, each for itself: a result is a position or a problem. A body that does not fit is refused whole."""
        async with _under_way.setdefault(manager, asyncio.Lock()):
            await _check_values(data, manager.tenant.limits.max_message_bytes)
            started = await _start(manager, data)
        return BatchAnswer(results=await asyncio.gather(*started))


async def _check_values(batch: BatchBody, max_bytes: int | None) -> None:
    """Look into each `data` that is not too large anyway. Raises Malformed or Invalid for the whole batch."""
    checked_bytes = 0
    for index, message in enumerate(batch.messages):
        data = bytes(message.data)
        if max_bytes is None or len(data) <= max_bytes:
            check_json(data, f"$.messages[{index}].data")
        checked_bytes += len(data)
        if checked_bytes > _CHECKED_BYTES_PER_TURN:
            checked_bytes = 0
            await asyncio.sleep(0)


async def _start(manager: ConnectionManager, batch: BatchBody) -> list[asyncio.Task[BatchResult]]:
    """Publish all before the first is answered: few round trips to Redis, and the order of the calls is kept."""
    started = []
    for index, message in enumerate(batch.messages):
        started.append(asyncio.create_task(_publish_one(manager, message)))
        if index % _STARTED_PER_TURN == 0:
            await asyncio.sleep(0)
    return started


async def _publish_one(manager: ConnectionManager, message: BatchMessage) -> BatchResult:
    outgoing = OutgoingMessage(bytes(message.data), _or_none(message.name))
    try:
        publication = await manager.broadcast_to_room(outgoing, message.room, key=_or_none(message.key))
    except RoomcastError as error:
        count_refusal(error.code)
        manager.usage.refuse(error.code)
        return BatchResult(problem=problem(error))
    except Exception as error:
        count_refusal("internal")
        manager.usage.refuse("internal")
        return BatchResult(problem=problem(note_bug(error, _BATCH_PATH, manager.tenant.name)))
    return BatchResult(position=position_text(publication), duplicate=publication.duplicate)


def position_text(publication: Publication) -> str | None:
    """Where the message stands; None where the room keeps nothing."""
    return str(publication.position) if publication.stored else None


def _or_none(value: str | UnsetType) -> str | None:
    return None if value is UNSET else value
