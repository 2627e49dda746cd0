"""A pub/sub connection's probe: numbers of our own, published by the command connection, that must come back by it.

Redis announces in the order in which it executes. So when a number has come back, all has come that was announced
before it, or never will; and a connection by which none comes back is dead, though it may answer pings.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import structlog

from service.brokers.resp import Done, pack

PROBE_SECONDS: Final = 0.25  # two commands of 20 µs each, so often that a lost one delays a repair by no more
SILENT_PROBES: Final = 15  # 3.75 s: a dead subscription is found within 5 s, and one number in two may be lost

PROBED: Final = b"1 o "  # how the payload of a number begins

log = structlog.get_logger()


class CommandSender(Protocol):
    """A `Link`, or its part for one server."""

    @property
    def send(self) -> Callable[[bytes, Done], None]:
        """As of `Link`."""


class Probe:
    """To be sent every `PROBE_SECONDS` while the connection is open.

    link: has the command connection. command, channel: how it is published, and where this connection hears it.
    replace: called when nothing came back for `SILENT_PROBES`, while the command connection answered.
    """

    def __init__(
        self, link: CommandSender, channel: bytes, replace: Callable[[], None], command: str = "PUBLISH"
    ) -> None:
        self._link = link
        self._channel = channel
        self._command = command
        self._replace = replace
        self._sent = self._answered = self._heard = 0
        self._heard_before = 0
        self._silent = 0
        self._following: deque[tuple[int, Callable[[], None]]] = deque()

    def begin(self) -> None:
        """A connection has just been opened, all that was heard by the one before it being read from history."""
        self._silent = 0
        self._following.clear()

    def follow(self, then: Callable[[], None]) -> None:
        """Call `then` when all that Redis announced so far has been handed over; never if the connection ends first."""
        self._following.append((self._sent + 1, then))

    def take_over(self, other: "Probe") -> None:
        """Go on for another probe of the same connection: who followed that one follows this."""
        for _, then in other._following:
            self.follow(then)

    def send(self) -> None:
        """Send the next number, unless none came back for too long."""
        is_silent = self._heard == self._heard_before and self._heard < self._answered
        self._silent = self._silent + 1 if is_silent else 0
        self._heard_before = self._heard
        if self._silent >= SILENT_PROBES:
            log.warning("nothing comes from Redis' pub/sub: its connection is replaced")
            self._replace()
            return
        self._sent += 1
        self._link.send(
            pack(self._command, self._channel, PROBED + b"%d" % self._sent), partial(self._answer, self._sent)
        )

    def receive(self, number: int) -> None:
        """A number came back."""
        self._heard = number
        while self._following and self._following[0][0] <= number:
            self._following.popleft()[1]()

    def _answer(self, number: int, reply: object) -> None:
        if not isinstance(reply, Exception):
            self._answered = number
