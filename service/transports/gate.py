"""Handshakes in turns, so that a crowd at the door does not hold those who are in."""

import asyncio
from collections import deque
from typing import Final

# A handshake costs 500 µs, most of it between the token and `welcome`: 2 ms of a loop turn.
ENTRIES_PER_TURN: Final = 4


class Gate:
    """Lets so many pass in each turn of the loop, first come first served."""

    __slots__ = ("_left", "_waiting")

    def __init__(self) -> None:
        self._left = ENTRIES_PER_TURN
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Pass when there is room in a turn: at once, as long as few come."""
        loop = asyncio.get_running_loop()
        if self._left == ENTRIES_PER_TURN:
            loop.call_soon(self._end_turn)
        if self._left:
            self._left -= 1
        else:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn

    def _end_turn(self) -> None:
        self._left = ENTRIES_PER_TURN
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():  # its client has gone
                turn.set_result(None)
                self._left -= 1
        if self._left < ENTRIES_PER_TURN:
            asyncio.get_running_loop().call_soon(self._end_turn)
