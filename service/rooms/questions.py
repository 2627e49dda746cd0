"""What one node asks the others, by their own channels: nobody is asked while nobody looks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from typing import Final

import msgspec
import structlog

from service.brokers.broker import Broker
from service.protocol.errors import RoomcastError

log = structlog.get_logger()

#: A node that does not answer within this is left out.
ANSWER_SECONDS: Final = 1.0


class Questions:
    """This node's questions and answers. answer: what this node says to a question; raises MsgspecError."""

    def __init__(self, broker: Broker, answer: Callable[[bytes], bytes]) -> None:
        self._broker = broker
        self._answer = answer
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        # asyncio holds tasks weakly: an answer must not be collected half-way.
        self._answering: set[asyncio.Task[None]] = set()

    async def ask(self, nodes: Iterable[str], question: bytes) -> list[bytes]:
        """The answers of those nodes that gave one in time. Never raises."""
        answers = await asyncio.gather(*(self._ask(node, question) for node in nodes))
        return [answer for answer in answers if answer is not None]

    async def _ask(self, node: str, question: bytes) -> bytes | None:
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answer if await self._broker.ask_node(node, number, question) else None
        except (RoomcastError, TimeoutError):
            return None
        finally:
            del self._asked[number]

    def answer(self, node: str, number: int, question: bytes) -> None:
        """Another node asked."""
        try:
            answer = self._answer(question)
        except msgspec.MsgspecError:
            log.info("a node of another version asks what this one does not know", node=node)
            return
        task = asyncio.ensure_future(_send(self._broker.reply_to_node(node, number, answer)))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    def receive_reply(self, number: int, reply: bytes) -> None:
        """Another node answered; who asked may have given up."""
        answer = self._asked.get(number)
        if answer is not None and not answer.done():
            answer.set_result(reply)


async def _send(reply: Awaitable[bool]) -> None:
    try:
        await reply
    except RoomcastError as error:
        log.info("a node's question goes unanswered", reason=error.message)
