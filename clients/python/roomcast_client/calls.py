"""Commands on their way, each until its answer: what waits, what is sent, what is sent again. Pure: no await, no clock.

The law: what may have reached the server is sent again only if that is safe (a publish has its key, and that counts for
300 s), and else ends as OutcomeUnknown; what was refused for the moment is sent again when the server says so.
"""

import bisect
from collections.abc import Callable
from typing import Final

import msgspec

from roomcast_client.commands import WebSocketCommand
from roomcast_client.errors import OutcomeUnknown, QueueFull, RateLimited, RoomcastError
from roomcast_client.events import Reply
from roomcast_client.returning import Backoff

# PROTOCOL.md: a key counts within 300 s of the first publish, by the server's clock; what is under way needs time, too.
KEY_SECONDS: Final = 270.0
# Of another room's commands behind one that waits, so many are looked at.
LOOK_AHEAD: Final = 64


class Call:
    """One command. `repeats`: to do it twice is to do it once.

    on_reply, on_error: exactly one of them is called, once.
    rank: what goes first among those that wait; tokens 0, joins and leaves 1, all else 2.
    """

    def __init__(
        self,
        command: WebSocketCommand,
        on_reply: Callable[[Reply], None],
        on_error: Callable[[RoomcastError], None],
        *,
        repeats: bool,
        rank: int = 2,
    ) -> None:
        self.command = command
        self.on_reply = on_reply
        self.on_error = on_error
        self.repeats = repeats
        self.rank = rank
        self.number = 0
        self.frame = b""
        self.due_at = 0.0
        self.first_sent_at: float | None = None
        self.sent_at: float | None = None  # on this connection
        self.tries = 0

    @property
    def room(self) -> str | None:
        """The room that it is about."""
        return getattr(self.command, "room", None)


class Calls:
    """All commands without an answer yet. Times are monotonic, in seconds."""

    def __init__(self, backoff: Backoff, max_waiting: int, max_waiting_bytes: int) -> None:
        self._backoff = backoff
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._open: dict[int, Call] = {}
        self._waiting: list[Call] = []  # by rank, then in the order in which they were asked for
        self._waiting_bytes = 0
        self._numbers = 0

    def add(self, call: Call, *, is_bounded: bool) -> None:
        """Take a call. Raises QueueFull if it is bounded and too much waits."""
        self._numbers += 1
        call.number = self._numbers
        call.command.id = call.number
        call.frame = msgspec.json.encode(call.command)
        is_full = len(self._waiting) >= self._max_waiting
        if is_bounded and (is_full or self._waiting_bytes + len(call.frame) > self._max_waiting_bytes):
            raise QueueFull(f"{len(self._waiting)} commands wait for the connection already")
        self._open[call.number] = call
        self._wait(call)

    def take(self, now: float) -> Call | None:
        """The next to send, if one is due; in one room none overtakes one that waits."""
        held: set[str | None] = set()
        for at, call in enumerate(self._waiting[:LOOK_AHEAD]):
            if call.due_at <= now and call.room not in held:
                del self._waiting[at]
                self._waiting_bytes -= len(call.frame)
                call.sent_at = now
                call.first_sent_at = now if call.first_sent_at is None else call.first_sent_at
                call.tries += 1
                return call
            held.add(call.room)
        return None

    def next_due_at(self) -> float | None:
        """When to `take` again, if nothing is added; None: when something is."""
        return min((call.due_at for call in self._waiting[:LOOK_AHEAD]), default=None)

    def reply(self, event: Reply) -> None:
        """An answer came; of a call that is over already, it is nobody's."""
        call = self._end(event.id)
        if call is not None:
            call.on_reply(event)

    def error(self, number: object, error: RoomcastError, now: float) -> bool:
        """A refusal came: the call waits, or ends with it. False if it belongs to none."""
        call = self._open.get(number) if isinstance(number, int) else None
        if call is None:
            return False
        is_safe = call.repeats or isinstance(error, RateLimited)
        if error.is_temporary and is_safe and not self._is_too_late(call, now):
            pause = error.retry_after_ms / 1000 if error.retry_after_ms is not None else self._backoff.delay(call.tries)
            self._again(call, now + pause)
        else:
            self.fail(call, error)
        return True

    def overdue(self, now: float, timeout_seconds: float) -> bool:
        """Send again, or give up, what has had no answer for so long; whether there was any."""
        late = [one for one in self._open.values() if one.sent_at is not None and now - one.sent_at >= timeout_seconds]
        for call in late:
            if call.repeats and not self._is_too_late(call, now):
                self._again(call, now)
            else:
                self.fail(call, OutcomeUnknown("no answer came in time", room=call.room))
        return bool(late)

    def connection_lost(self, now: float) -> None:
        """What was sent has no answer any more; what is not safe to send again ends."""
        for call in [one for one in self._open.values() if one.sent_at is not None]:
            if call.repeats and not self._is_too_late(call, now):
                self._again(call, now)
            else:
                self.fail(call, OutcomeUnknown("the connection ended before the answer", room=call.room))

    def withdraw(self, call: Call) -> None:
        """Nobody waits for it any more."""
        self._end(call.number)

    def fail(self, call: Call, error: RoomcastError) -> None:
        """It ends with this error."""
        self.withdraw(call)
        call.on_error(error)

    def fail_all(self, error: RoomcastError) -> None:
        """The end of all."""
        for call in list(self._open.values()):
            self.fail(call, error)

    def _is_too_late(self, call: Call, now: float) -> bool:
        return call.first_sent_at is not None and now - call.first_sent_at > KEY_SECONDS

    def _end(self, number: object) -> Call | None:
        call = self._open.pop(number, None) if isinstance(number, int) else None
        if call is not None and call.sent_at is None:
            self._waiting.remove(call)
            self._waiting_bytes -= len(call.frame)
        return call

    def _again(self, call: Call, due_at: float) -> None:
        call.due_at = due_at
        if call.sent_at is not None:
            call.sent_at = None
            self._wait(call)

    def _wait(self, call: Call) -> None:
        bisect.insort(self._waiting, call, key=lambda one: (one.rank, one.number))
        self._waiting_bytes += len(call.frame)
