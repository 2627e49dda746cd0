"""A connection in subscriber mode. What it brings is handed to `Channels`."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from service.brokers.resp import Connection, pack

if TYPE_CHECKING:
    from service.brokers.listener import Channels

MESSAGES: Final = (b"message", b"smessage")
PING_SECONDS: Final = 1.0  # a frozen Redis shows only so


class ChannelConnection(Connection):
    """A RESP2 connection in subscriber mode: messages, and confirmations in the order of the commands."""

    def __init__(self, lost: Callable[[], None], channels: "Channels") -> None:
        super().__init__(lost)
        self._channels = channels

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to ping, later: the greeting comes first."""
        super().connection_made(transport)
        self._pinging = self._loop.call_later(PING_SECONDS, self._ping)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop pinging."""
        self._pinging.cancel()
        super().connection_lost(exc)

    def write(self, packed: bytes, replies: int) -> None:
        """Have a command sent at this turn's end."""
        self._append(packed, replies)

    def count_answers(self, more: int) -> None:
        """So many answers came for one: as many as channels were named in a command that was refused whole; or, below
        0, something came that answers nothing.
        """
        self._answered += more

    def data_received(self, data: bytes) -> None:
        """Hand every message over; confirmations and pongs also show that Redis is there."""
        reader, hear = self._reader, self._channels.hear
        self._heard_at = self._loop.time()
        reader.feed(data)
        while (reply := reader.gets()) is not False:
            if type(reply) is list and reply[0] in MESSAGES:
                hear(reply[1], reply[2])
            else:
                self._answered += 1
                self._channels.receive_answer(reply)
        self._note_answers()
        self._channels.end_turn()

    def _ping(self) -> None:
        self.write(pack("PING"), 1)
        self._pinging = self._loop.call_later(PING_SECONDS, self._ping)
