"""Questions to Redis: what is sent, and what becomes of its answer."""

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final, TypeVar

from service.brokers.resp import Done, out_of_reach, pack, settle

Wanted = TypeVar("Wanted")

SLICE_COMMANDS: Final = 100  # at once: making and answering them takes 1-2 ms of the loop


class Asking:
    """Sends packed commands by whatever `send` is at the moment."""

    def __init__(self) -> None:
        #: Send a packed command; the callable gets the reply or a RoomcastError, later and in order.
        self.send: Callable[[bytes, Done], None] = refuse
        #: The same, however much is in flight: removals, and what keeps the lease.
        self.insist: Callable[[bytes, Done], None] = refuse
        #: What was gathered during a turn is sent by this, at the turn's end.
        self.before_flush: Callable[[], None] = _nothing_gathered

    def ask(self, packed: bytes, convert: Callable[[Any], Wanted]) -> asyncio.Future[Wanted]:
        """Send a packed command, behind all that was gathered; the future brings the converted reply, or what
        `convert` raises.
        """
        self.before_flush()
        future: asyncio.Future[Wanted] = asyncio.get_running_loop().create_future()
        self.send(packed, settle(future, convert))
        return future

    def insist_on(self, packed: bytes, convert: Callable[[Any], Wanted]) -> asyncio.Future[Wanted]:
        """As `ask`, by `insist`."""
        future: asyncio.Future[Wanted] = asyncio.get_running_loop().create_future()
        self.insist(packed, settle(future, convert))
        return future

    async def ask_all(self, commands: Iterable[bytes]) -> list[Any]:
        """Send many packed commands in slices that don't hold up the loop; their replies in order."""
        replies: list[Any] = []
        each = iter(commands)
        while asked := [self.ask(packed, _as_it_is) for packed in islice(each, SLICE_COMMANDS)]:
            replies += await asyncio.gather(*asked)
        return replies

    async def scan(self, cursor: int, pattern: bytes, count: int) -> tuple[int, list[bytes]]:
        """SCAN: the next cursor, 0 at the end, and the keys that were found."""
        following, found = await self.ask(pack("SCAN", cursor, "MATCH", pattern, "COUNT", count), _as_it_is)
        return int(following), found


def refuse(_packed: bytes, done: Done) -> None:
    """What `send` is while there is no connection."""
    asyncio.get_running_loop().call_soon(done, out_of_reach())


def _nothing_gathered() -> None:
    """What `before_flush` is until somebody gathers."""


def _as_it_is(reply: Any) -> Any:
    return reply
