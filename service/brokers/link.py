"""The node's one command connection, made anew when it was lost, and what was learnt on it: generation and lease."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import structlog

from service.brokers import scripts
from service.brokers.keys import FORMAT, Keyspace
from service.brokers.resp import CommandConnection, Done, Endpoint, NotLetIn, bulk, out_of_reach, pack, settle
from service.protocol.errors import Internal, Unavailable

Wanted = TypeVar("Wanted")
RedisRestart = Literal["prove", "trust"]
log = structlog.get_logger()

MIN_VALKEY: Final = 8
MIN_REDIS: Final = 7
SLICE_COMMANDS: Final = 100  # at once: making and answering them takes 1-2 ms of the loop


class Unsuitable(Exception):
    """This Redis can't serve this node, and trying again does not help; the text says what to do."""


class Link:
    """Sends commands; `lost` is called once for each connection that was lost.

    Commands while there is no connection fail at once. Nothing is sent twice.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        node: str,
        lost: Callable[[], None],
        *,
        database_id: str,
        redis_is_embedded: bool,
        redis_restart: RedisRestart,
    ) -> None:
        self.node = node
        self.keyspace = Keyspace(endpoint.database)
        self.generation = b"0"
        self.generation_bulk = b""  # the same, packed for the hot path
        self.lease = b""
        self.lease_ends_at = 0.0  # by the loop's clock, at the latest
        self.redis_uptime_seconds = 0
        self._endpoint = endpoint
        self._told_lost = lost
        self._database_id = database_id
        self._redis_is_embedded = redis_is_embedded
        self._redis_restart = redis_restart
        #: Send a packed command; the callable gets the reply or a RoomcastError, later and in order.
        self.send: Callable[[bytes, Done], None] = _refuse
        #: The same, however much is in flight: removals, and what keeps the lease.
        self.insist: Callable[[bytes, Done], None] = _refuse
        #: What was gathered during a turn is sent by this, at the turn's end.
        self.before_flush: Callable[[], None] = _nothing_gathered
        self._connection: CommandConnection | None = None
        self._tenants: set[str] = set()

    # Commands

    @property
    def is_open(self) -> bool:
        """Whether commands go out."""
        return self._connection is not None

    @property
    def holds_lease(self) -> bool:
        """Whether Redis can't have ended this node's lease."""
        return asyncio.get_running_loop().time() < self.lease_ends_at

    def plan_flush(self) -> None:
        """Have `before_flush` called at this turn's end."""
        if self._connection is not None:
            self._connection.plan_flush()
        else:
            asyncio.get_running_loop().call_soon(self.before_flush)

    def ask(self, packed: bytes, convert: Callable[[Any], Wanted]) -> asyncio.Future[Wanted]:
        """Send a packed command, behind all that was gathered; the future brings the converted reply, or what
        `convert` raises.
        """
        self.before_flush()
        future: asyncio.Future[Wanted] = asyncio.get_running_loop().create_future()
        self.send(packed, settle(future, convert))
        return future

    def insist_on(self, packed: bytes, convert: Callable[[Any], Wanted]) -> asyncio.Future[Wanted]:
        """As `ask`, by `insist`."""
        future: asyncio.Future[Wanted] = asyncio.get_running_loop().create_future()
        self.insist(packed, settle(future, convert))
        return future

    async def ask_all(self, commands: Iterable[bytes]) -> list[Any]:
        """Send many packed commands in slices that don't hold up the loop; their replies in order."""
        replies: list[Any] = []
        each = iter(commands)
        while asked := [self.ask(packed, _as_it_is) for packed in islice(each, SLICE_COMMANDS)]:
            replies += await asyncio.gather(*asked)
        return replies

    def ask_under_lease(self, packed: bytes, convert: Callable[[Any], Wanted]) -> Awaitable[Wanted]:
        """The same for what is entered under the lease: refused when it may have ended, for then nobody removes it."""
        if self.holds_lease:
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

    # Connection

    async def open(self) -> None:
        """Connect, load the scripts and learn the generation; raises OSError, Unavailable or Unsuitable."""
        connection = CommandConnection(self._lose, self._load_scripts)
        await self._endpoint.open(connection)
        try:
            await asyncio.gather(*map(connection.command, self._endpoint.greeting))
            await self._greet(connection)
            await asyncio.gather(*map(connection.command, scripts.load_commands()))
            if not connection.is_open:
                raise out_of_reach()
        except (NotLetIn, Internal) as error:
            connection.abort()
            reason = "check user, password and database number in its URL, and the user's rights"
            raise Unsuitable(f"{self._endpoint.name} does not let this node in: {reason} ({error})") from error
        except BaseException:
            connection.abort()
            raise
        self._connection = connection
        connection.before_flush = self.before_flush
        self.send, self.insist = connection.send, connection.insist

    def abort(self) -> None:
        """Drop the connection: what waits fails with an unknown outcome."""
        if self._connection is not None:
            self._connection.abort()

    def _lose(self) -> None:
        if self._connection is not None:
            self._connection = None
            self.send = self.insist = _refuse
            self.lease_ends_at = 0.0  # the next connection takes a new lease, and ends this one
            self._told_lost()

    def _load_scripts(self) -> None:
        """Somebody flushed them. What was sent meanwhile fails, as nothing is retried in secret."""
        for packed in scripts.load_commands():
            self.send(packed, _ignore)

    async def _greet(self, connection: CommandConnection) -> None:
        facts = parse_info(await connection.command(pack("INFO", "server", "memory", "replication", "persistence")))
        check_server(facts)
        keeps = await self._keeps_data(connection, facts)
        await connection.command(pack("SCRIPT", "LOAD", scripts.GREET.text))
        arguments = (self._database_id, FORMAT, facts["run_id"], boot_id(), int(keeps), int(self._redis_is_embedded))
        database_id, known_format, generation = await connection.command(
            scripts.GREET.pack([Keyspace.SYSTEM], *arguments)
        )
        if database_id != self._database_id.encode():
            raise Unsuitable(
                "this Redis belongs to another Roomcast (another SQL database): give another Redis, or another "
                "database number in its URL"
            )
        if int(known_format) > FORMAT:
            raise Unsuitable(f"this Redis has data of a newer Roomcast (format {int(known_format)}): upgrade this node")
        self.generation = b"%d" % generation
        self.generation_bulk = bulk(self.generation)
        self.redis_uptime_seconds = int(facts.get("uptime_in_seconds", "0"))

    async def _keeps_data(self, connection: CommandConnection, facts: dict[str, str]) -> bool:
        """Whether a restart of this Redis is known to lose nothing that was acknowledged."""
        if facts.get("master_replid2", "0").strip("0"):
            return False  # it was a replica once, and replication is asynchronous
        if self._redis_is_embedded or self._redis_restart == "trust":
            return True
        if facts.get("aof_enabled") != "1":
            return False
        try:
            reply = await connection.command(pack("CONFIG", "GET", "appendfsync"))
        except Exception as error:  # hosted Redis often forbids CONFIG
            log.info("Redis does not tell its appendfsync: restarts count as loss", reason=str(error))
            return False
        return list(reply[1:]) == [b"always"]


def _refuse(_packed: bytes, done: Done) -> None:
    """What `send` is while there is no connection."""
    asyncio.get_running_loop().call_soon(done, out_of_reach())


def _nothing_gathered() -> None:
    """What `before_flush` is until somebody gathers."""


def _as_it_is(reply: Any) -> Any:
    return reply


def _ignore(_reply: object) -> None:
    """Of a command whose failure shows elsewhere."""


def parse_info(reply: bytes) -> dict[str, str]:
    """INFO's `name:value` lines."""
    lines = reply.decode(errors="replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


def check_server(facts: dict[str, str]) -> None:
    """Raise Unsuitable, or Unavailable for what passes, unless this is a primary of a version that we know."""
    is_valkey = "valkey_version" in facts
    version = facts["valkey_version"] if is_valkey else facts["redis_version"]
    if int(version.partition(".")[0]) < (MIN_VALKEY if is_valkey else MIN_REDIS):
        name = "Valkey" if is_valkey else "Redis"
        raise Unsuitable(f"this is {name} {version}: give Redis {MIN_REDIS} or Valkey {MIN_VALKEY}, or newer")
    policy = facts.get("maxmemory_policy", "noeviction")
    if facts.get("maxmemory", "0") != "0" and policy != "noeviction":
        raise Unsuitable(
            f"this Redis may throw away what it acknowledged (maxmemory-policy {policy}): set it to noeviction"
        )
    if facts.get("loading") == "1":
        raise Unavailable("Redis is loading its data")
    if facts.get("role", "master") != "master":
        raise Unavailable("this Redis is a replica")


def boot_id() -> str:
    """Which boot of the machine this is; where nothing tells it, the same for ever."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else "-"


def jittered(seconds: float) -> float:
    """Between half and one and a half times as long, so that nodes don't come at once."""
    return seconds * (0.5 + secrets.randbelow(1_000) / 1_000)
