"""The one table: command type -> right and handler. Checks, runs, replies, counts."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType

from service.brokers.broker import Publication
from service.commands import membership, messages, presence
from service.commands.authenticate import authenticate
from service.commands.session import Session
from service.protocol.codec import decode_command, salvage
from service.protocol.commands import (
    Authenticate,
    Command,
    History,
    Join,
    Leave,
    Members,
    Ping,
    Publish,
    Send,
    SetState,
    Signal,
    WebSocketCommand,
)
from service.protocol.errors import CloseCode, Forbidden, Invalid, RateLimited, RoomcastError, Unavailable
from service.protocol.events import Pong, Published, Reply, Sent
from service.protocol.identifiers import CommandId
from service.rooms.answers import Answer
from service.rooms.connection_manager import ConnectionManager
from service.rooms.outgoing import OutgoingMessage, author
from service.telemetry import counters
from service.tenants.claims import Grant

# To a command that came when those before it were all that was waited for.
LEAVING = "this node is draining: nothing was stored, go on at another one"

Handler = Callable[[Session, Any, Answer], Coroutine[Any, Any, Reply | None] | None]


class Handling(NamedTuple):
    """How a command is run.

    right: the verb that the token must have for the room. is_pipelined: it may be under way together with others of
    its room before it; all else waits for them. handler: plain, and gives its answer by itself later; or a coroutine.
    """

    handler: Handler
    right: str | None = None
    is_pipelined: bool = False


def ping(session: Session, command: Ping, answer: Answer) -> None:
    """The server's time."""
    answer.give(session.reply_frame(command.id, Pong(time_ms=time.time_ns() // 1_000_000)))


COMMANDS: dict[type[Command], Handling] = {
    Authenticate: Handling(authenticate, is_pipelined=True),
    Join: Handling(membership.join, "join"),
    Leave: Handling(membership.leave),
    Publish: Handling(messages.publish, "publish", is_pipelined=True),
    Signal: Handling(messages.signal, "signal", is_pipelined=True),
    Send: Handling(messages.send, is_pipelined=True),
    SetState: Handling(presence.set_state, "presence"),
    Members: Handling(presence.members, "presence"),
    History: Handling(messages.history, "history"),
    Ping: Handling(ping, is_pipelined=True),
}

# What `welcome` tells of this version: the commands that it serves, and what `join` may ask for.
FEATURES = sorted([*(str(command.__struct_config__.tag) for command in COMMANDS), "state", "watch"])


class LiveSession(Session):
    """A session that takes the payloads of a live socket (`transports.SocketHandler`)."""

    __slots__ = ()

    def receive_message(self, payload: bytes, is_text: bool) -> None:
        """One whole message from the client: a command, or what is answered with an error."""
        binary = self.subscriber.binary
        if is_text is binary:
            self.subscriber.close(CloseCode.UNSUPPORTED_DATA, "the subprotocol wants the other kind of frame")
            return
        counters.commands += 1
        counters.bytes_received += len(payload)
        self.manager.usage.bytes_in += len(payload)
        try:
            command = decode_command(payload, binary)
        except RoomcastError as error:
            command_id, room = salvage(payload, binary)
            self._refuse(error, command_id, room)
            self.count_bad_command(error)
            return
        if self.is_leaving:
            self._refuse(Unavailable(LEAVING, retry_after_ms=1_000), command.id, getattr(command, "room", None))
            return
        wait_ms = self.bucket.take(1, time.monotonic())
        if wait_ms:
            over = RateLimited("commands_per_second", "connection", wait_ms)
            self._refuse(over, command.id, getattr(command, "room", None))
            return
        if type(command) is Publish and command.id is UNSET and messages.needs_no_place(self, command.room):
            messages.publish_unanswered(self, command)
            return
        room = getattr(command, "room", "")
        handling = COMMANDS[type(command)]
        self.lane(room).add(partial(self._run, handling, command), is_pipelined=handling.is_pipelined)

    def join_claimed_rooms(self) -> None:
        """Join what the token names in its claim `join`; each is answered by `joined` or `error`."""
        for room in self.grant.join:

            def begin(answer: Answer, room: str = room) -> None:
                self._start(answer, UNSET, room, membership.join_claimed(self, room, answer))

            self.lane(room).add(begin)

    def _run(self, handling: Handling, command: WebSocketCommand, answer: Answer) -> None:
        room = getattr(command, "room", None)
        try:
            if handling.right is not None:
                self.grant.check(handling.right, str(room))
            work = handling.handler(self, command, answer)
        except RoomcastError as error:
            answer.give(self.error_frame(error, command.id, room))
        except Exception as error:
            answer.give(self.error_frame(self.internal_error(error), command.id, room))
        else:
            if work is not None:
                self._start(answer, command.id, room, work)

    def _start(
        self,
        answer: Answer,
        command_id: CommandId | UnsetType,
        room: str | None,
        work: Coroutine[Any, Any, Reply | None],
    ) -> None:
        task = asyncio.get_running_loop().create_task(self.finish(answer, command_id, room, work))
        _running.add(task)
        task.add_done_callback(_running.discard)

    def _refuse(self, error: RoomcastError, command_id: CommandId | UnsetType, room: str | None) -> None:
        frame = self.error_frame(error, command_id, room)
        lane = self.lane_of(room or "")
        if lane is None:
            self.subscriber.send(frame)
        else:
            lane.refuse(frame)


# asyncio holds tasks weakly: a command must not be collected half-way.
_running: set[asyncio.Task[None]] = set()


async def run_over_http(manager: ConnectionManager, grant: Grant, command: WebSocketCommand) -> Reply:
    """One command of a user over HTTP: only rights count, there is no connection. Raises RoomcastError."""
    match command:
        case Publish():
            grant.check("publish", command.room)
            message = _message(grant, command)
            key = None if command.key is UNSET else command.key
            stored: Publication = await manager.broadcast_to_room(message, command.room, key=key)
            position = str(stored.position) if stored.stored else None
            reply: Reply = Published(room=command.room, position=position, duplicate=stored.duplicate)
        case Send():
            if not grant.send:
                raise Forbidden("the token does not have the claim send")
            await manager.broadcast_to_user(_message(grant, command), command.user)
            reply = Sent(user=command.user)
        case History():
            grant.check("history", command.room)
            since = None if command.since is UNSET else command.since
            before = None if command.before is UNSET else command.before
            reply = await manager.history(command.room, since=since, before=before, limit=command.limit)
        case Ping():
            reply = Pong(time_ms=time.time_ns() // 1_000_000)
        case Members():
            grant.check("presence", command.room)
            cursor = None if command.cursor is UNSET else command.cursor
            reply = await manager.members(command.room, cursor, command.limit)
        case _:
            raise Invalid("only publish, send, members, history and ping are served over HTTP", "$.type")
    reply.id = command.id
    return reply


def _message(grant: Grant, command: Publish | Send) -> OutgoingMessage:
    name = None if command.name is UNSET else command.name
    return OutgoingMessage(bytes(command.data), name, author(grant.user))
