"""Where the commands of one hash tag go in a Cluster, and how their order stays while its slot moves."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from service.brokers.cluster_topology import ShardEndpoint
from service.brokers.greeting import Server
from service.brokers.resp import (
    DEADLINE_SECONDS,
    RETRY_AFTER_MS,
    CommandConnection,
    Done,
    behind,
    out_of_reach,
    outcome_unknown,
    report_mistake,
)
from service.protocol.errors import RoomcastError, Unavailable

HOLD_SECONDS: Final = 1.0  # a command whose slot moves, from when it was sent; then it is refused
PROBE_SECONDS: Final = 0.02  # how often it is tried again meanwhile; moving 1,000 keys takes about 0.1 s
MAX_HELD: Final = 2_000  # commands of one tag
_MOVING: Final = frozenset({"MOVED", "ASK", "TRYAGAIN"})


class Redirected(Unavailable):
    """This server does not serve the slot, or not yet, or not all of it any more: nothing was stored."""

    def __init__(self) -> None:
        super().__init__("this part of Redis is just moving: nothing was stored", retry_after_ms=RETRY_AFTER_MS)


class ShardConnection(CommandConnection):
    """A connection to one primary. `misled` is called for each reply that shows a changed Cluster."""

    def __init__(self, lost: Callable[[], None], scripts_lost: Callable[[], None], misled: Callable[[], None]) -> None:
        super().__init__(lost, scripts_lost)
        self._misled = misled

    def _refusal(self, reply: Exception) -> RoomcastError:
        code = str(reply).partition(" ")[0]
        if code in {"MOVED", "CLUSTERDOWN"}:
            self._misled()
        if code == "CLUSTERDOWN":
            return Unavailable("this part of Redis is not served: nothing was stored", retry_after_ms=RETRY_AFTER_MS)
        return Redirected() if code in _MOVING else super()._refusal(reply)


class Shard:
    """One primary, and the connection to it. is_in_use: commands have gone there."""

    def __init__(self, endpoint: ShardEndpoint, connection: ShardConnection, server: Server) -> None:
        self.endpoint = endpoint
        self.connection = connection
        self.server = server
        self.is_in_use = False


class _Command:
    __slots__ = ("done", "era", "is_insisted", "is_over", "packed", "sent_at")

    def __init__(self, packed: bytes, done: Done, is_insisted: bool, era: int) -> None:
        self.packed = packed
        self.era = era
        self.done = done
        self.is_insisted = is_insisted
        self.is_over = False
        self.sent_at = asyncio.get_running_loop().time()

    def answer(self, reply: Any) -> None:
        if not self.is_over:
            self.is_over = True
            try:
                self.done(reply)
            except Exception:  # one asker's mistake must not leave the others unanswered
                report_mistake()


class Route:
    """One tag's commands. A redirected one is held back, with all that come after it, and tried again by itself until
    it is let in: then the others follow. So no command overtakes another, and none is sent a second time that may have
    been stored. `doubt` is called when one was refused that was insisted on, or done after its asker was told that its
    outcome is unknown.

    era: counts the generations of the tag's data. What was sent in an earlier one tells Redis of that, and is held back
    no longer, but refused.
    """

    def __init__(self, doubt: Callable[[], None]) -> None:
        self.connection: ShardConnection | None = None
        self.era = 0
        self.is_refusing = False  # nothing is held back now: everything is entered anew
        self._doubt = doubt
        self._in_flight = 0
        self._is_held = False
        self._returned: deque[_Command] = deque()  # redirected, in their order
        self._waiting: deque[_Command] = deque()  # behind these
        self._probing: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether commands go out."""
        return self.connection is not None and self.connection.is_open

    def send(self, packed: bytes, done: Done) -> None:
        """See `Link.send`."""
        self._forward(_Command(packed, done, False, self.era))

    def insist(self, packed: bytes, done: Done) -> None:
        """See `Link.insist`."""
        self._forward(_Command(packed, done, True, self.era))

    def lead_to(self, connection: ShardConnection | None, *, begins_anew: bool = False) -> None:
        """Send everything there from now on, once the connection before has answered what it was sent. begins_anew: the
        data there is of another generation.
        """
        self.era += begins_anew
        is_another = self.connection is not connection
        self.connection = connection
        if self._in_flight:
            self._is_held = self._is_held or is_another
        elif self._is_held:
            self._probe()

    def refuse_held(self) -> None:
        """Refuse what is held back."""
        returned, self._returned = self._returned, deque()
        waiting, self._waiting = self._waiting, deque()
        for command in (*returned, *waiting):
            self._refuse(command, Redirected())

    def _forward(self, command: _Command) -> None:
        if not self._is_held:
            self._hand_over(command)
        elif len(self._waiting) < MAX_HELD or command.is_insisted:
            self._waiting.append(command)
        else:
            asyncio.get_running_loop().call_soon(command.answer, behind())

    def _hand_over(self, command: _Command) -> None:
        connection = self.connection
        if connection is None:
            asyncio.get_running_loop().call_soon(command.answer, out_of_reach())
            return
        self._in_flight += 1
        hand_over = connection.insist if command.is_insisted else connection.send
        hand_over(command.packed, partial(self._answered, command))

    def _answered(self, command: _Command, reply: Any) -> None:
        self._in_flight -= 1
        loop = asyncio.get_running_loop()
        is_redirected = type(reply) is Redirected
        if is_redirected and not self.is_refusing and not self._is_too_old(command):
            self._returned.append(command)
            self._is_held = True
        else:
            while self._returned:  # this one, sent after them, was let in
                self._refuse(self._returned.popleft(), Redirected())
            if isinstance(reply, RoomcastError):
                self._refuse(command, reply)
            elif command.is_over:
                self._doubt()
            else:
                command.answer(reply)
        if self._is_held and not self._in_flight:
            self._waiting.extendleft(reversed(self._returned))
            self._returned.clear()
            if not is_redirected:
                self._release()
            elif self._probing is None:
                self._probing = loop.call_later(PROBE_SECONDS, self._probe)

    def _probe(self) -> None:
        """Try the first of them again."""
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None
        if self._in_flight:
            return  # the last answer goes on
        while self._waiting and self._is_too_old(self._waiting[0]):
            self._refuse(self._waiting.popleft(), Redirected())
        if self._waiting and self.connection is not None:
            self._hand_over_late(self._waiting.popleft())
        else:
            self._release()

    def _release(self) -> None:
        self._is_held = False
        waiting, self._waiting = self._waiting, deque()
        for command in waiting:
            if command.is_over or command.era != self.era:
                self._refuse(command, Redirected())
            else:
                self._hand_over_late(command)

    def _is_too_old(self, command: _Command) -> bool:
        """To be held back any longer."""
        return command.era != self.era or asyncio.get_running_loop().time() >= command.sent_at + HOLD_SECONDS

    def _hand_over_late(self, command: _Command) -> None:
        """It has waited here, and the connection counts its time from now."""
        if not command.is_insisted:
            loop = asyncio.get_running_loop()
            loop.call_at(command.sent_at + DEADLINE_SECONDS, command.answer, outcome_unknown())
        self._hand_over(command)

    def _refuse(self, command: _Command, reason: RoomcastError) -> None:
        if command.is_insisted and self.is_open and not self.is_refusing:
            self._doubt()
        command.answer(reason)
