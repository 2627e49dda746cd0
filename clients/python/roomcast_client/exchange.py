"""Between what asks and the connection of the moment: the calls, and whether there is a connection."""

import asyncio
from typing import TypeVar

from roomcast_client.calls import Call, Calls
from roomcast_client.commands import WebSocketCommand
from roomcast_client.errors import ClientClosed, NotConnected, RoomcastError
from roomcast_client.events import Reply

ReplyT = TypeVar("ReplyT", bound=Reply)


class Exchange:
    """Where commands are handed in, and their answers come out."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.is_online = False
        self.closed: ClientClosed | None = None
        self.woken = asyncio.Event()  # the writer looks again

    def post(self, call: Call, *, is_bounded: bool = False) -> None:
        """Hand a call in. Raises QueueFull, ClientClosed."""
        if self.closed is not None:
            raise self.closed
        self.calls.add(call, is_bounded=is_bounded)
        self.woken.set()

    async def ask(
        self, command: WebSocketCommand, kind: type[ReplyT], *, repeats: bool, waits: bool = True, rank: int = 2
    ) -> ReplyT:
        """The answer to a command, sooner or later. Raises RoomcastError.

        repeats: it may be sent twice. waits: without a connection it waits for one, else NotConnected.
        """
        if not waits and not self.is_online and self.closed is None:
            raise NotConnected("there is no connection, and this is not kept for later")
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def succeed(reply: Reply) -> None:
            if not answer.done():
                answer.set_result(reply)

        def fail(error: RoomcastError) -> None:
            if not answer.done():
                answer.set_exception(error)

        call = Call(command, succeed, fail, repeats=repeats, rank=rank)
        self.post(call, is_bounded=not self.is_online)
        try:
            reply = await answer
        finally:
            self.calls.withdraw(call)  # who is cancelled does not wait for it any more
        if not isinstance(reply, kind):
            raise RoomcastError(f"answered with {type(reply).__name__}", code="internal")
        return reply

    def end(self, error: ClientClosed) -> None:
        """Nothing goes any more."""
        self.closed, self.is_online = error, False
        self.calls.fail_all(error)
