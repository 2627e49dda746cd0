"""A node that does the same each time: its clock stands still, its sockets take everything, and Redis' answers are made
here, at once. What hot paths run in, so that their instructions can be counted.

It reaches into the broker's insides, as nothing but a connection to Redis would fill them. Where a commit changes
those, the paths that need a node can't be compared with its parent; `callgrind.py` says so.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from service.brokers import scripts
from service.brokers.broker import ConnectionEntry
from service.brokers.redis import RedisConnectionManager
from service.brokers.resp import CommandConnection, bulk
from service.brokers.subscriber import ChannelConnection
from service.commands.dispatch import LiveSession
from service.rooms.node import Node
from service.rooms.usage import Usage
from service.tenants.cache import TenantCache
from service.tenants.keys import load_signing_key
from service.tenants.limits import Limits
from service.tenants.snapshot import SigningKey, TenantSnapshot
from service.tenants.tokens import Grant, sign_token, verify_token

NOW_MS = 1_800_000_000_000
EPOCH = "e1"
TENANT_ID = "tenant000001"
# High enough never to be reached, as in the other benchmarks: limits are checked and counted.
LIMITS = Limits(
    max_rooms_per_connection=1_000_000,
    commands_per_second=1_000_000_000,
    publishes_per_second=1_000_000_000,
    deliveries_per_second=1_000_000_000_000,
)
_EVALSHA = b"EVALSHA\r\n$40\r\n"
_DIGEST_LENGTH = 40


class StillLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still: no timer ever ends. `turn` runs what is ready, once."""

    def time(self) -> float:
        """Always the same, in seconds."""
        return 0.0

    def turn(self) -> None:
        """Run what is ready now; at least one callback must be."""
        cast(Any, self)._run_once()


class TakesAll(asyncio.Transport):
    """A transport that takes everything at once."""

    def write(self, data: Any) -> None:
        """Take it."""

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def abort(self) -> None:
        """Nothing to end."""


class Answers(TakesAll):
    """A transport to a Redis that answers each write in the next turn of the loop, by `answer`."""

    def __init__(self, loop: StillLoop, connection: asyncio.Protocol, answer: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._loop, self._connection, self._answer = loop, connection, answer

    def write(self, data: Any) -> None:
        """Have it answered."""
        self._loop.call_soon(self._connection.data_received, self._answer(data))


class Hearer:
    """A subscriber that takes everything."""

    binary = False
    waiting_bytes = 0

    def __init__(self) -> None:
        self.usage = Usage()

    def send(self, _frame: bytes) -> bool:
        """Taken."""
        return True

    def send_payload(self, _payload: bytes) -> bool:
        """Taken."""
        return True

    def close(self, code: int, reason: str = "", *, closing: bytes = b"") -> None:
        """No path of these ends so."""
        raise AssertionError(f"closed with {code} {reason}: {closing!r}")

    def when_drained(self, callback: Callable[[], None]) -> None:
        """At once."""
        callback()

    def after(self, _delay_seconds: float, _callback: Callable[[], None]) -> Any:
        """As the node's clockwork: never, since time stands still."""
        return self

    def cancel(self) -> None:
        """Nothing was planned."""


def script_answers(data: bytes) -> bytes:
    """What Redis answers to the scripts in a write: a publish got offset 7, a join found an empty room, all else 1."""
    known = {
        scripts.PUBLISH.digest.encode(): b"*5\r\n$2\r\ne1\r\n:7\r\n:1\r\n:0\r\n:1\r\n",
        scripts.JOIN.digest.encode(): b"*4\r\n$2\r\ne1\r\n:0\r\n:1\r\n:1\r\n",
    }
    return b"".join(known.get(part[:_DIGEST_LENGTH], b":1\r\n") for part in data.split(_EVALSHA)[1:])


def confirmation(data: bytes) -> bytes:
    """What Redis answers to one SUBSCRIBE of one channel."""
    return data.replace(b"*2\r\n$9\r\nSUBSCRIBE", b"*3\r\n$9\r\nsubscribe") + b":1\r\n"


def snapshot() -> TenantSnapshot:
    """The tenant whose node it is, with one key."""
    key = SigningKey("main", "HS256", load_signing_key("HS256", b"s" * 43))
    return TenantSnapshot(TENANT_ID, "acme", True, LIMITS, (), {"main": key}, {}, 1)


def token(tenant: TenantSnapshot) -> str:
    """A token that allows everything."""
    rooms = {"chat:*": ["*"], "*": ["*"]}
    return sign_token(tenant, user="alice", rooms=rooms, send=True, info={"name": "Alice"}, now_ms=NOW_MS)


class StillNode:
    """A node with its broker, whose loop runs only by `turn`."""

    def __init__(self) -> None:
        self.loop = StillLoop()
        asyncio.set_event_loop(self.loop)
        asyncio._set_running_loop(self.loop)
        self.tenant = snapshot()
        self.broker = RedisConnectionManager("redis://127.0.0.1:1", "n1", database_id="d")
        self.node = Node("n1", cast(Any, self.broker), cast(TenantCache, None))
        self.commands = self._wire_commands()
        self.channels = self._wire_channels()
        self.manager = self.node.manager(self.tenant)

    def _wire_commands(self) -> CommandConnection:
        link = cast(Any, self.broker._link)
        connection = CommandConnection(_lost, _lost)
        connection.connection_made(Answers(self.loop, connection, script_answers))
        connection.before_flush = link.before_flush
        link._connection, link.send, link.insist = connection, connection.send, connection.insist
        link.generation_bulks = [bulk(b"1")] * len(link.generations)
        link.lease, link.lease_ends_at = b"1", 1.0
        return connection

    def _wire_channels(self) -> ChannelConnection:
        channels = cast(Any, self.broker._channels)
        connection = ChannelConnection(_lost, channels)
        connection.connection_made(Answers(self.loop, connection, confirmation))
        channels._connection, channels.listener = connection, self.node
        return connection

    def session(self, name: str, subscriber: Any = None) -> LiveSession:
        """An open connection of alice."""
        hearer = Hearer()
        grant: Grant = verify_token(self.tenant, token(self.tenant), NOW_MS)
        entry = ConnectionEntry(name.ljust(22, "-"), "alice", "n1", 0, "127.0.0.1")
        session = LiveSession(subscriber or hearer, self.manager, grant, entry, hearer, 1_000_000)
        self.manager.connect(session)
        return session

    def settle(self) -> None:
        """Turn the loop until nothing is ready."""
        while cast(Any, self.loop)._ready:
            self.loop.turn()


def _lost() -> None:
    raise AssertionError("a connection that cannot be lost was lost")
