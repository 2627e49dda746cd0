"""Publishes that count only when every replica has them: over a connection of their own, with WAIT behind them.

WAIT holds up its connection, and knows of nothing but what that connection wrote (so a fresh one is told at once that
all is well: `publish.lua` writes also where it finds its key known). One WAIT is under way at a time, behind what was
gathered during the one before.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

import structlog

from service import telemetry
from service.brokers import scripts
from service.brokers.broker import RoomAddress
from service.brokers.dialing import Unsuitable
from service.brokers.endpoint import Endpoint
from service.brokers.greeting import Policy, Server, enter, parse_info
from service.brokers.resp import CommandConnection, Done, behind, out_of_reach, pack, report_mistake
from service.protocol.errors import RoomcastError, Unavailable

WAIT_SECONDS: Final = 1.0  # from the call; Redis looks ten times a second, so the answer may take 0.1 s more
MAX_HELD_BYTES: Final = 16 * 1024 * 1024  # while one WAIT is under way: written in 20 ms
MAX_KNOWN_ROOMS: Final = 10_000
RETRY_AFTER_MS: Final = 500
LOOK_SECONDS: Final = 2.0  # at least so long apart Redis is asked whether more replicas are connected

#: Gets the reply or a RoomcastError, and whether all replicas have what it says. Called later.
Replicated = Callable[[Any, bool], None]
log = structlog.get_logger()


def not_replicated() -> Unavailable:
    """Redis has it, and not all of its replicas, as far as is known."""
    return Unavailable(
        "not all replicas of Redis have confirmed it: the outcome is unknown", retry_after_ms=RETRY_AFTER_MS
    )


def replicas_behind() -> Unavailable:
    """It was not sent, since the WAIT before it was not met."""
    return Unavailable("the replicas of Redis are behind: nothing was stored", retry_after_ms=RETRY_AFTER_MS)


class PrimaryLink(Protocol):
    """A `Link`, or the part of one that leads to one primary."""

    @property
    def server(self) -> Server | None:
        """That it leads to now."""

    @property
    def send(self) -> Callable[[bytes, Done], None]:
        """As of `Link`."""


class _Waiting(NamedTuple):
    room: tuple[str, str]
    packed: bytes
    done: Replicated
    until: float  # by the loop's clock


class Replication:
    """Sends commands that write, and answers them when the replicas have what they wrote.

    As many replicas as the deployment has must say so (`Endpoint.replicas`, else the most that were seen connected
    since this connection was made), at least one. The connection is made when it is first needed, leads to the link's
    server, and ends with the link's.

    rooms: those whose last command went this way, and how many are under way. While any is, whatever goes to the room
    must come this way, too, or it would overtake them.
    """

    def __init__(self, endpoint: Endpoint, policy: Policy, link: PrimaryLink) -> None:
        self.rooms: dict[tuple[str, str], int] = {}
        self._endpoint = endpoint
        self._policy = policy
        self._link = link
        self._connection: CommandConnection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._connected_replicas = 0
        self._looks_from = 0.0  # by the loop's clock
        self._is_busy = False  # `_begin` will be called
        self._gathered: list[_Waiting] = []
        self._until = 0.0  # of the oldest of them
        self._held_bytes = 0  # of all that is not sent yet
        # Rooms whose earlier commands may still be under way on the link: what waits for these.
        self._fenced: dict[tuple[str, str], list[_Waiting]] = {}

    def send(self, address: RoomAddress, packed: bytes, done: Replicated) -> None:
        """Have a packed command of the room sent, behind all of the room that went before, whichever way."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting((address.tenant_id, address.room), packed, done, loop.time() + WAIT_SECONDS)
        if self._link.server is None:
            loop.call_soon(done, out_of_reach(), False)
        elif self._held_bytes > MAX_HELD_BYTES:
            loop.call_soon(done, behind(), False)
        else:
            self._held_bytes += len(packed)
            is_first = waiting.room not in self.rooms
            self.rooms[waiting.room] = self.rooms.get(waiting.room, 0) + 1
            if is_first:
                self._fenced[waiting.room] = [waiting]
                self._link.send(pack("EXISTS", address.keys.key(b"m")), partial(self._release, waiting.room))
            elif waiting.room in self._fenced:
                self._fenced[waiting.room].append(waiting)
            else:
                self._gather(waiting)

    def overtakes(self, address: RoomAddress) -> bool:
        """Whether a command of the room would overtake others if it went by the link; if not, it does from now on."""
        room = (address.tenant_id, address.room)
        if self.rooms.get(room) == 0:
            del self.rooms[room]
        return room in self.rooms

    def follow_link(self) -> None:
        """A connection was lost: if it is the link's, `abort`."""
        if self._link.server is None:
            self.abort()

    def abort(self) -> None:
        """The link is lost: drop this connection, too. What waits fails, with an unknown outcome if it was sent."""
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.abort()
        self._refuse_gathered(out_of_reach)

    # Rounds

    def _release(self, room: tuple[str, str], reply: object) -> None:
        """All that the room had under way on the link is done."""
        fenced = self._fenced.pop(room)
        if isinstance(reply, RoomcastError):
            self._held_bytes -= sum(len(waiting.packed) for waiting in fenced)
            for waiting in fenced:
                self._answer(waiting, reply, False)
            if not self.rooms[room]:
                del self.rooms[room]  # what it may overtake is still not known
            return
        if len(self.rooms) > MAX_KNOWN_ROOMS:
            self.rooms = {room: count for room, count in self.rooms.items() if count}
        for waiting in fenced:
            self._gather(waiting)

    def _gather(self, waiting: _Waiting) -> None:
        self._until = min(self._until, waiting.until) if self._gathered else waiting.until
        self._gathered.append(waiting)
        if not self._is_busy:
            self._is_busy = True
            asyncio.get_running_loop().call_soon(self._begin)  # with all that this turn brings

    def _take_gathered(self) -> list[_Waiting]:
        gathered, self._gathered = self._gathered, []
        self._held_bytes -= sum(len(waiting.packed) for waiting in gathered)
        return gathered

    def _begin(self) -> None:
        """Send what was gathered, and a WAIT behind it."""
        loop = asyncio.get_running_loop()
        left_seconds = self._until - loop.time()
        if self._gathered and left_seconds < 0.001:
            self._refuse_gathered(replicas_behind)
        if not self._gathered:
            self._is_busy = False
        elif self._connection is None:
            self._opening = loop.create_task(self._open(left_seconds))
            self._opening.add_done_callback(self._opened)
        else:
            gathered = self._take_gathered()
            if self._endpoint.replicas is None and loop.time() >= self._looks_from:
                self._looks_from = loop.time() + LOOK_SECONDS
                self._connection.insist(pack("INFO", "replication"), self._note_replicas)
            replies: list[Any] = []
            for waiting in gathered:
                self._connection.insist(waiting.packed, replies.append)
            wait = pack("WAIT", self._wanted, max(1, int(1_000 * left_seconds)))  # 0 would be for ever
            self._connection.insist(wait, partial(self._end, gathered, replies))

    @property
    def _wanted(self) -> int:
        replicas = self._endpoint.replicas
        return max(1, self._connected_replicas if replicas is None else replicas)

    def _note_replicas(self, reply: Any) -> None:
        """One that is connected no more counts still: nobody says whether it comes back."""
        if not isinstance(reply, Exception):
            connected = int(parse_info(reply).get("connected_slaves", "0"))
            self._connected_replicas = max(self._connected_replicas, connected)

    def _end(self, sent: list[_Waiting], replies: list[Any], acknowledged: object) -> None:
        """WAIT is answered, perhaps for fewer replicas than were seen since. Those that were gathered meanwhile are
        sent only if it was met: else each of them would take another second.
        """
        is_met = isinstance(acknowledged, int) and acknowledged >= self._wanted
        if not is_met:
            log.warning("not all replicas have what was published", count=self._wanted, reason=str(acknowledged))
        for waiting, reply in zip(sent, replies, strict=True):
            self._answer(waiting, reply, is_met)
        if not is_met:
            self._refuse_gathered(replicas_behind)
        self._begin()

    def _refuse_gathered(self, reason: Callable[[], RoomcastError]) -> None:
        for waiting in self._take_gathered():
            self._answer(waiting, reason(), False)

    def _answer(self, waiting: _Waiting, reply: Any, is_met: bool) -> None:
        self.rooms[waiting.room] -= 1
        try:
            waiting.done(reply, is_met)
        except Exception:  # one publisher's mistake must not leave the others unanswered
            report_mistake()

    # Connection

    async def _open(self, seconds: float) -> None:
        """Take a connection, unless Redis is out of reach."""
        connection = CommandConnection(lambda: self._lose(connection), self._load_scripts)
        try:
            async with asyncio.timeout(seconds):
                await self._endpoint.open(connection)
                server = await enter(connection, self._endpoint, self._policy)
            link_server = self._link.server
            if link_server is None or link_server.run_id != server.run_id:
                raise Unavailable("another server than the link's")  # whose generation may be another, too
            self._connection, self._connected_replicas = connection, server.replicas
        except (OSError, RoomcastError, Unsuitable) as error:
            log.warning("no connection for replicated rooms", error=f"{type(error).__name__}: {error}")
        finally:
            if self._connection is not connection and connection.is_open:
                connection.abort()

    def _opened(self, opening: "asyncio.Task[None]") -> None:
        self._opening = None
        if not opening.cancelled() and (bug := opening.exception()) is not None:
            telemetry.counters.faults += 1
            log.error("opening a connection failed", incident=telemetry.new_incident(), exc_info=bug)
        if self._connection is None:
            self._refuse_gathered(out_of_reach)
        self._begin()

    def _lose(self, connection: CommandConnection) -> None:
        if self._connection is connection:
            self._connection = None

    def _load_scripts(self) -> None:
        """Somebody flushed them. What was sent meanwhile fails, as nothing is retried in secret."""
        for packed in scripts.load_commands():
            if self._connection is not None:
                self._connection.insist(packed, _ignore)


def _ignore(_reply: object) -> None:
    """Of a command whose failure shows elsewhere."""
