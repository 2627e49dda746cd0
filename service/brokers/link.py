"""The node's one command connection, made anew when it was lost, and what was learnt on it: generation and lease."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from service.brokers import scripts
from service.brokers.asking import Asking, Wanted, refuse
from service.brokers.endpoint import Endpoint
from service.brokers.greeting import NOTHING_SEEN, Mark, Policy, Server, enter, greet
from service.brokers.keys import PARTITIONS, Keyspace
from service.brokers.pulse import LastPublishes
from service.brokers.resp import CommandConnection, bulk, settle
from service.protocol.errors import Unavailable

log = structlog.get_logger()


class Link(Asking):
    """Sends commands; `lost` is called once for each connection that was lost.

    Commands while there is no connection fail at once. Nothing is sent twice.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        node: str,
        lost: Callable[[], None],
        policy: Policy,
    ) -> None:
        self.node = node
        self.keyspace = Keyspace(endpoint.database)
        #: By partition; and the same packed, for the hot path.
        self.generations = [b"0"] * PARTITIONS
        self.generation_bulks = [b""] * PARTITIONS
        self.lease = b""
        self.lease_ends_at = 0.0  # by the loop's clock, at the latest
        self.is_between_leases = False  # one is in force, and is about to be given up
        self.redis_uptime_seconds = 0
        self.server: Server | None = None  # that the connection leads to
        self.mark = NOTHING_SEEN  # how far the data has come, as far as is known: see pulse.py
        self.publishes = LastPublishes()
        self.needs_entering = True  # what this node holds, under a new lease
        self.problem: Exception | None = None  # why a part of Redis is out of reach
        self._endpoint = endpoint
        self._told_lost = lost
        self._policy = policy
        super().__init__()
        self._connection: CommandConnection | None = None
        self._tenants: set[str] = set()
        self._last_run_id = ""

    # Commands

    @property
    def is_open(self) -> bool:
        """Whether commands go out."""
        return self._connection is not None

    @property
    def needs_opening(self) -> bool:
        """Whether `open` has anything to do."""
        return not self.is_open

    @property
    def run_id(self) -> str:
        """Which run of which server the connection leads to."""
        return "" if self.server is None else self.server.run_id

    @property
    def holds_lease(self) -> bool:
        """Whether Redis can't have ended this node's lease."""
        return asyncio.get_running_loop().time() < self.lease_ends_at

    def generation_of(self, partition: int) -> bytes:
        """What scripts of a partition's rooms are told: rooms of an older one begin a new epoch."""
        return self.generations[partition]

    def receive_mark(self, mark: Mark) -> bool:
        """The pulse went on. False: another node has begun a generation, since data is lost, or it is lost now; connect
        anew then.
        """
        self.publishes.beat += 1
        goes_on = mark.generation == self.mark.generation and mark.pulse > self.mark.pulse
        self.mark = max(self.mark, mark)
        return goes_on

    def plan_flush(self) -> None:
        """Have `before_flush` called at this turn's end."""
        if self._connection is not None:
            self._connection.plan_flush()
        else:
            asyncio.get_running_loop().call_soon(self.before_flush)

    def ask_under_lease(self, packed: bytes, convert: Callable[[Any], Wanted]) -> Awaitable[Wanted]:
        """The same for what is entered under the lease: refused when it may have ended, for then nobody removes it."""
        if self.holds_lease and not self.is_between_leases:
            return self.ask(packed, convert)
        future: asyncio.Future[Wanted] = asyncio.get_running_loop().create_future()
        settle(future)(Unavailable("this node's lease ended: nothing was stored", retry_after_ms=1_000))
        return future

    def note_tenant(self, tenant_id: str) -> None:
        """Have a sweep of this lease look at the tenant; before anything of the tenant is entered under it."""
        if tenant_id in self._tenants:
            return
        lease = self.lease

        def noted(reply: object) -> None:
            if not isinstance(reply, Exception) and lease == self.lease:
                self._tenants.add(tenant_id)

        self.send(scripts.NOTE_TENANT.pack([self.keyspace.tenants_of(lease)], tenant_id), noted)

    def begin_lease(self, lease: bytes) -> None:
        """From now on everything is entered under this lease."""
        self.lease = lease
        self._tenants.clear()

    def reaches(self, _packed: bytes) -> bool:
        """Whether the server that serves a command can be asked."""
        return self.is_open

    async def end_entering(self) -> bool:
        """Refuse what is to be entered under the lease, until there is a new one; back when none is under way. Whether
        anything may have been entered since the outage began.
        """
        self.lease_ends_at = 0.0
        return False

    def enter_anew(self) -> None:
        """What is entered is incomplete or wrong: begin again, under a new lease."""
        self.abort()

    # Connection

    async def open(self) -> None:
        """Connect, load the scripts and learn the generation; raises OSError, Unavailable or Unsuitable."""
        connection = CommandConnection(self._lose, self._load_scripts)
        await self._endpoint.open(connection)
        try:
            server = await enter(connection, self._endpoint, self._policy)
            mark = await self._greet(connection, server)
        except BaseException:
            connection.abort()
            raise
        self.redis_uptime_seconds = server.uptime_seconds
        self.mark, self._last_run_id = mark, server.run_id
        self.generations = [b"%d" % mark.generation] * PARTITIONS
        self.generation_bulks = [bulk(self.generations[0])] * PARTITIONS
        self._connection, self.server, self.needs_entering = connection, server, True
        connection.before_flush = self.before_flush
        self.send, self.insist = connection.send, connection.insist

    async def _greet(self, connection: CommandConnection, server: Server) -> Mark:
        known = self.mark
        mark = await greet(connection, server, self._policy, Keyspace.SYSTEM, known)
        is_kept = mark.generation == known.generation
        if is_kept and server.run_id != self._last_run_id and not await self.publishes.are_there(connection):
            log.warning("Redis has lost what it acknowledged last")
            mark = await greet(connection, server, self._policy, Keyspace.SYSTEM, mark.beyond)
        if mark.generation != known.generation:
            self.publishes = LastPublishes()
            if known.generation:
                log.warning("the data of Redis is not known to go on: all rooms begin new epochs")
        return mark

    def abort(self) -> None:
        """Drop the connection: what waits fails with an unknown outcome."""
        if self._connection is not None:
            self._connection.abort()

    def _lose(self) -> None:
        if self._connection is not None:
            self._connection = self.server = None
            self.publishes.forget_old()
            self.send = self.insist = refuse
            self.lease_ends_at = 0.0  # the next connection takes a new lease, and ends this one
            self._told_lost()

    def _load_scripts(self) -> None:
        """Somebody flushed them. What was sent meanwhile fails, as nothing is retried in secret."""
        for packed in scripts.load_commands():
            self.send(packed, _ignore)


def _ignore(_reply: object) -> None:
    """Of a command whose failure shows elsewhere."""


def jittered(seconds: float) -> float:
    """Between half and one and a half times as long, so that nodes don't come at once."""
    return seconds * (0.5 + secrets.randbelow(1_000) / 1_000)
