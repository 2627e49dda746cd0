"""Lost sockets in turns, so that a crowd that is cut off at once does not hold those who stay."""

import asyncio
import logging
from collections import deque
from typing import Final, Protocol

log = logging.getLogger(__name__)

# To be out of rooms and counts takes 80 µs with one room (24 November): 2 ms of a loop turn.
DEPARTURES_PER_TURN: Final = 25


class Departing(Protocol):
    """Who is told that a socket is gone (`SocketHandler`)."""

    def connection_lost(self, code: int | None) -> None:
        """The socket is gone."""


class Departures:
    """Tells so many handlers in each turn of the loop, in the order in which their sockets were lost."""

    __slots__ = ("_left", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left = DEPARTURES_PER_TURN
        self._waiting: deque[tuple[Departing, int | None]] = deque()

    def tell(self, handler: Departing, code: int | None) -> None:
        """Tell the handler: at once, as long as few are lost."""
        if self._left == DEPARTURES_PER_TURN:
            self._loop.call_soon(self._end_turn)
        if self._left:
            self._left -= 1
            handler.connection_lost(code)
        else:
            self._waiting.append((handler, code))

    def _end_turn(self) -> None:
        self._left = DEPARTURES_PER_TURN
        while self._waiting and self._left:
            self._left -= 1
            handler, code = self._waiting.popleft()
            try:
                handler.connection_lost(code)
            except Exception as error:
                log.error("connection_lost failed: %s", type(error).__name__, exc_info=error)
        if self._left < DEPARTURES_PER_TURN:
            self._loop.call_soon(self._end_turn)
