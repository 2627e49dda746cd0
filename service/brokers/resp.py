"""One multiplexed RESP connection over hiredis: many commands, one write per loop turn, replies in order.

Replies come in the order of the commands, so nothing is matched, and the oldest unanswered one tells whether Redis is
late: one tick looks at it, no command has a timer of its own.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import hiredis
import structlog

from service import telemetry
from service.protocol.errors import Internal, RoomcastError, Unavailable

DEADLINE_SECONDS: Final = 1.5  # no operation takes longer, whatever happened to Redis
EXCUSED_SECONDS: Final = 2.0  # so much later may replies come behind other things, and Redis not have been deaf
TICK_SECONDS: Final = 0.1
MAX_COMMANDS_IN_FLIGHT: Final = 20_000  # at 20-40 µs of Redis each they end within the deadline
MAX_BYTES_IN_FLIGHT: Final = 64 * 1024 * 1024
RETRY_AFTER_MS: Final = 200

Done = Callable[[Any], None]
Argument = bytes | str | int
Wanted = TypeVar("Wanted")
log = structlog.get_logger()


def pack(*arguments: Argument) -> bytes:
    """A command as it goes over the wire; 2-3 µs."""
    packed: bytes = hiredis.pack_command(cast(tuple[bytes], arguments))  # its stub allows one argument only
    return packed


def bulk(argument: bytes) -> bytes:
    """One argument as it goes over the wire, to put commands together from parts made before."""
    return b"$%d\r\n%b\r\n" % (len(argument), argument)


def out_of_reach() -> Unavailable:
    """The command was not sent."""
    return Unavailable("Redis is out of reach: nothing was stored", retry_after_ms=RETRY_AFTER_MS)


def behind() -> Unavailable:
    """Too much is in flight."""
    return Unavailable("Redis is behind: nothing was stored", retry_after_ms=RETRY_AFTER_MS)


def outcome_unknown() -> Unavailable:
    """The command was sent and the answer never came."""
    return Unavailable("Redis did not answer: the outcome is unknown", retry_after_ms=RETRY_AFTER_MS)


def refusal(reply: Exception) -> RoomcastError:
    """What an error reply of Redis means to the asker; all of them are given before anything was written."""
    code = str(reply).partition(" ")[0]
    if code == "OOM":
        return Unavailable("Redis is full: nothing was stored", retry_after_ms=1_000)
    if code in _NOT_LET_IN:
        return NotLetIn(f"Redis refuses this node ({code}): nothing was stored")
    if code in _TEMPORARY:
        log.warning("Redis refused a command", reason=code)
        return Unavailable(f"Redis is not ready ({code}): nothing was stored", retry_after_ms=RETRY_AFTER_MS)
    telemetry.counters.faults += 1
    incident = telemetry.new_incident()
    log.error("Redis answered with an error", error=without_arguments(reply), incident=incident)
    return Internal(incident)


def without_arguments(reply: Exception) -> str:
    """An error reply for the log: a server that does not know a command echoes what it was given, passwords too."""
    return str(reply).partition(", with args")[0]


_NOT_LET_IN: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})
_TEMPORARY: Final = frozenset(
    {
        "LOADING",
        "BUSY",
        "READONLY",
        "MASTERDOWN",
        "MISCONF",
        "NOREPLICAS",
        "CLUSTERDOWN",
        "MOVED",
        "ASK",
        "TRYAGAIN",
        "NOSCRIPT",
        "UNBLOCKED",
    }
)


class NotLetIn(Unavailable):
    """The user, password or rights in Redis do not do."""


class Connection(asyncio.Protocol):
    """A connection's writing side and its deadline; what replies mean is the subclasses'.

    `lost` is called once, when the connection ended for whatever reason.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        self.is_open = False
        self._lost = lost
        self._reader = hiredis.Reader()
        self.before_flush: Callable[[], None] | None = None  # called at a turn's end, before the write
        self._is_flush_planned = False
        self._unsent: list[bytes] = []
        self._unsent_bytes = self._bytes_in_flight = 0
        self._expected = 0  # replies that everything handed in so far will bring
        self._answered = 0
        self._marks: deque[tuple[int, float, int]] = deque()  # one per write: replies expected by then, time, bytes
        self._heard_at = 0.0  # where other things come in besides replies, they also show that Redis is there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to watch the deadline."""
        self._loop = asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True
        self._tick_planned = self._loop.time() + TICK_SECONDS
        self._tick = self._loop.call_at(self._tick_planned, self._look_at_oldest)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching, and tell."""
        self.is_open = False
        self._tick.cancel()
        self._lost()

    def abort(self) -> None:
        """End it now; what waits fails."""
        self._transport.abort()

    def plan_flush(self) -> None:
        """Have `before_flush` called, and a write made, at this turn's end."""
        if not self._is_flush_planned:
            self._is_flush_planned = True
            self._loop.call_soon(self._flush)

    def _append(self, packed: bytes, replies: int) -> None:
        self.plan_flush()
        self._unsent.append(packed)
        self._unsent_bytes += len(packed)
        self._expected += replies

    def _flush(self) -> None:
        if self.before_flush is not None:
            try:
                self.before_flush()
            except Exception:  # what others gathered is to be sent, now and later
                report_mistake("what was gathered could not be sent")
        self._is_flush_planned = False
        unsent, self._unsent = self._unsent, []
        if not unsent:
            return
        self._marks.append((self._expected, self._loop.time(), self._unsent_bytes))
        self._bytes_in_flight += self._unsent_bytes
        self._unsent_bytes = 0
        self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def _note_answers(self) -> None:
        """After a read: whole writes that are answered now leave the account."""
        marks = self._marks
        if marks and marks[0][0] <= self._answered:
            now = self._loop.time()
            while marks and marks[0][0] <= self._answered:
                _, sent_at, size = marks.popleft()
                self._bytes_in_flight -= size
                telemetry.redis_latency.observe(now - sent_at)

    def _look_at_oldest(self) -> None:
        now = self._loop.time()
        # A loop that was itself held up may have the answers unread in the socket: they get one more tick.
        stalled = now - self._tick_planned > TICK_SECONDS
        sent_at = self._marks[0][1] if self._marks else now
        late_seconds = now - min(max(sent_at, self._heard_at), sent_at + EXCUSED_SECONDS)
        # Two ticks off, so that the worst case still ends within the deadline.
        if late_seconds > DEADLINE_SECONDS - 2 * TICK_SECONDS and not stalled:
            log.warning("Redis is late: its connection is dropped", duration_seconds=round(late_seconds, 3))
            self.abort()
            return
        self._tick_planned = now + TICK_SECONDS
        self._tick = self._loop.call_at(self._tick_planned, self._look_at_oldest)


class CommandConnection(Connection):
    """Commands and their replies. `done` gets the reply, or a RoomcastError; it is called in the commands' order."""

    def __init__(self, lost: Callable[[], None], scripts_lost: Callable[[], None]) -> None:
        super().__init__(lost)
        self._scripts_lost = scripts_lost
        self._waiting: deque[Done] = deque()

    def send(self, packed: bytes, done: Done) -> None:
        """Have a packed command sent at this turn's end. `done` is never called from within."""
        if not self.is_open:
            self._loop.call_soon(done, out_of_reach())
        elif len(self._waiting) >= MAX_COMMANDS_IN_FLIGHT or self._bytes_in_flight > MAX_BYTES_IN_FLIGHT:
            self._loop.call_soon(done, behind())
        else:  # `_append`, without its call
            if not self._is_flush_planned:
                self._is_flush_planned = True
                self._loop.call_soon(self._flush)
            self._unsent.append(packed)
            self._unsent_bytes += len(packed)
            self._expected += 1
            self._waiting.append(done)

    def insist(self, packed: bytes, done: Done) -> None:
        """The same however much is in flight: what is not removed now, or renewed, stays wrong as long as a lease."""
        if self.is_open:
            self._append(packed, 1)
            self._waiting.append(done)
        else:
            self._loop.call_soon(done, out_of_reach())

    def command(self, packed: bytes) -> asyncio.Future[Any]:
        """The same, as a future."""
        future = self._loop.create_future()
        self.send(packed, settle(future))
        return future

    def data_received(self, data: bytes) -> None:
        """Hand every reply to whoever waits for it."""
        gets, waiting = self._reader.gets, self._waiting
        self._reader.feed(data)
        answered = 0
        while (reply := gets()) is not False:
            answered += 1
            if type(reply) is hiredis.ReplyError:
                reply = self._refusal(reply)
            try:
                waiting.popleft()(reply)
            except Exception:
                report_mistake()
        self._answered += answered
        self._note_answers()

    def _refusal(self, reply: Exception) -> RoomcastError:
        code = str(reply).partition(" ")[0]
        if code == "NOSCRIPT":
            self._scripts_lost()
        elif code == "READONLY":
            self._loop.call_soon(self.abort)  # it is no primary any more: find out where we are
        return refusal(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Everything that waits fails: what was sent has an unknown outcome."""
        self.is_open = False
        waiting, self._waiting = self._waiting, deque()
        sent = len(waiting) - len(self._unsent)
        for number, done in enumerate(waiting):
            try:
                done(outcome_unknown() if number < sent else out_of_reach())
            except Exception:
                report_mistake()
        super().connection_lost(exc)


def report_mistake(what: str = "an answer from Redis could not be handled") -> None:
    """What waited made a mistake: it must not shift the replies of those behind it."""
    telemetry.counters.faults += 1
    log.exception(what, incident=telemetry.new_incident())


def settle(future: asyncio.Future[Wanted], convert: Callable[[Any], Wanted] | None = None) -> Done:
    """A `done` that ends a future: with the reply (converted; what `convert` raises is the future's), or the error."""

    def done(reply: Any) -> None:
        if future.done():
            return
        try:
            if isinstance(reply, Exception):
                raise reply
            future.set_result(convert(reply) if convert else reply)
        except Exception as error:
            future.set_exception(error)
            future.exception()  # whoever does not wait for it is not told by asyncio's log

    return done
