"""The node's end of a broker: it keeps what it hears."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from service.brokers.broker import ConnectionEntry


async def until(holds: Callable[[], object], changed: asyncio.Event, seconds: float = 10) -> None:
    """Wait until something holds, looking whenever something changed."""
    async with asyncio.timeout(seconds):
        while not holds():
            changed.clear()
            await changed.wait()


class NodeListener:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.turns = 0
        self.held: list[tuple[str, ConnectionEntry]] = []
        self.changed = asyncio.Event()

    def _note(self, *what: object) -> None:
        self.heard.append(what)
        self.changed.set()

    def receive_direct(self, tenant_id: str, user: str, body: bytes) -> None:
        self._note("direct", tenant_id, user, body)

    def receive_disconnect(self, tenant_id: str, user: str | None, connection: str | None, reconnect: bool) -> None:
        self._note("disconnect", tenant_id, user, connection, reconnect)

    def receive_expulsion(self, tenant_id: str, room: str, user: str) -> None:
        self._note("expulsion", tenant_id, room, user)

    def receive_tenant_change(self, tenant_id: str) -> None:
        self._note("change", tenant_id)

    def receive_drain(self) -> None:
        self._note("drain")

    def receive_question(self, node: str, number: int, question: bytes) -> None:
        self._note("question", node, number, question)

    def receive_reply(self, number: int, reply: bytes) -> None:
        self._note("reply", number, reply)

    def turn_ended(self) -> None:
        self.turns += 1

    def redis_lost(self) -> None:
        self._note("lost")

    def redis_back(self) -> None:
        self._note("back")

    def local_connections(self) -> Iterable[tuple[str, ConnectionEntry]]:
        return (held for held in list(self.held) if held in self.held)

    async def until_back(self, times: int) -> None:
        await until(lambda: self.heard.count(("back",)) >= times, self.changed)

    async def until_heard(self, *what: object, seconds: float = 10) -> None:
        await until(lambda: what in self.heard, self.changed, seconds)
