"""Reading in turns: however much a tenant sends, on however many sockets, the others' commands wait for one turn.

A read is handled at once while its tenant has something left of its turn. With nothing left, its sockets stand in a
queue, unread, so that TCP slows their clients; the loop's next turns serve the tenants that wait, one after the other
(deficit round robin, as in `rooms/fanout.py`).
"""

import asyncio
import logging
from collections import deque
from typing import Final, Protocol

log = logging.getLogger(__name__)

# What a tenant may cost in a loop turn, in frames: a command is 15-30 µs, so 1 ms.
COST_OF_A_TURN: Final = 32
# What all tenants that wait may cost together in a loop turn.
COST_OF_ALL: Final = 128
# What a read costs besides its frames: itself, and one more for so many bytes.
BYTES_OF_A_FRAME: Final = 4096
# Frames of one socket before the tenant's next one: one that floods is no more to it than any other.
FRAMES_PER_SLICE: Final = 16


class Reading(Protocol):
    """A socket that waits with something unread."""

    def read_slice(self) -> None:
        """Handle up to `FRAMES_PER_SLICE` frames, spend their cost, and wait again if more is unread."""

    def abort(self) -> None:
        """Drop the connection."""


class Turns:
    """The tenants of one loop that have spent their turn, served in the next ones."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[Intake] = deque()

    def add(self, intake: "Intake") -> None:
        """Serve it in a later turn; called once by an intake until it is served."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        self._waiting.append(intake)

    def _run(self) -> None:
        waiting = self._waiting
        left = COST_OF_ALL
        for _ in range(len(waiting)):
            intake = waiting[0]  # stays in until it is done: `add` must not schedule a second run
            left -= intake.serve()
            waiting.popleft()
            if left <= 0:
                break
        if waiting:
            asyncio.get_running_loop().call_soon(self._run)


class Intake:
    """One tenant's reading. left: what it may still cost; whoever spends the last of it calls `end_turn`."""

    __slots__ = ("_is_waiting", "_sockets", "_turns", "left")

    def __init__(self, turns: Turns | None = None) -> None:
        self.left = COST_OF_A_TURN
        self._sockets: deque[Reading] = deque()
        self._turns = turns or Turns()
        self._is_waiting = False

    def wait(self, socket: Reading) -> None:
        """Have the socket read on when its turn comes."""
        self._sockets.append(socket)
        self.end_turn()

    def end_turn(self) -> None:
        """Nothing is left, or a socket waits: go on in a later turn of the loop."""
        if not self._is_waiting:
            self._is_waiting = True
            self._turns.add(self)

    def serve(self) -> int:
        """The next turn: read from those who wait, as long as something is left. Returns what it cost."""
        self._is_waiting = False
        self.left = begun_with = min(COST_OF_A_TURN, self.left + COST_OF_A_TURN)
        sockets = self._sockets
        while sockets and self.left > 0:
            socket = sockets.popleft()
            try:
                socket.read_slice()
            except Exception as error:  # a mistake in one socket must not stop the others behind it
                log.error("read_slice failed: %s", type(error).__name__)
                socket.abort()
        if sockets or self.left <= 0:
            self.end_turn()
        return begun_with - self.left
