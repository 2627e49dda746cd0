"""The first talk with a Redis server: may it serve this node, and is its data what was known of it before?"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

import structlog

from service.brokers import scripts
from service.brokers.dialing import Unsuitable
from service.brokers.endpoint import Endpoint
from service.brokers.keys import FORMAT
from service.brokers.resp import CommandConnection, NotLetIn, out_of_reach, pack
from service.protocol.errors import Internal, Unavailable

RedisRestart = Literal["prove", "trust"]
MIN_VALKEY: Final = 8
MIN_REDIS: Final = 7

log = structlog.get_logger()


class Mark(NamedTuple):
    """How far data had come when it was seen; data that shows a lower one was put back. The higher generation is the
    higher mark, whatever the pulses.

    pulse: counts up while any node lives, see renew_lease.lua.
    """

    generation: int
    pulse: int

    @property
    def beyond(self) -> "Mark":
        """What data that shows this mark and lacks something is not the continuation of, however its pulse goes on."""
        return Mark(self.generation + 1, 0)


NOTHING_SEEN: Final = Mark(0, 0)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a node asks of a Redis, and believes of it. is_cluster: whether it is to be part of a Cluster."""

    database_id: str
    redis_is_embedded: bool = False
    redis_restart: RedisRestart = "prove"
    is_cluster: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """What a server tells of itself.

    run_id: of this process of it. replication_id: of its history of writes. was_promoted: it was a replica, and
    replication is asynchronous. keeps_data: a restart of it is known to lose nothing that was acknowledged.
    replicas: how many are connected.
    """

    run_id: str
    replication_id: str
    was_promoted: bool
    keeps_data: bool
    uptime_seconds: int
    replicas: int


async def enter(connection: CommandConnection, endpoint: Endpoint, policy: Policy) -> Server:
    """Get in on a connection that was just opened, examine the server and load the scripts.

    Raises Unavailable for what passes, else Unsuitable.
    """
    try:
        await asyncio.gather(*map(connection.command, endpoint.greeting))
        server = await _examine(connection, policy)
        await asyncio.gather(*map(connection.command, scripts.load_commands()))
        if not connection.is_open:
            raise out_of_reach()
        return server
    except (NotLetIn, Internal) as error:
        reason = "check user, password and database number in its URL, and the user's rights"
        raise Unsuitable(f"{endpoint.name} does not let this node in: {reason} ({error})") from error


async def greet(
    connection: CommandConnection,
    server: Server,
    policy: Policy,
    system_key: bytes,
    seen: Mark = NOTHING_SEEN,
    *,
    moved_from: Sequence[str] = (),
) -> Mark:
    """The mark of the data beside one system key, after `enter`; its generation is a new one unless the data provably
    goes on from what was known. seen: the highest mark that is known to have been there. moved_from: run ids of
    primaries that live, any of which may have handed the data over to this server.

    Raises Unavailable, or Unsuitable for another system's or a newer format's data.
    """
    arguments = (policy.database_id, FORMAT, server.run_id, boot_id(), int(server.keeps_data))
    history = (int(policy.redis_is_embedded), server.replication_id, int(server.was_promoted))
    database_id, known_format, generation, pulse = await connection.command(
        scripts.GREET.pack([system_key], *arguments, *history, *seen, *moved_from)
    )
    if database_id != policy.database_id.encode():
        raise Unsuitable(
            "this Redis belongs to another Roomcast (another SQL database): give another Redis, or another "
            "database number in its URL"
        )
    if int(known_format) > FORMAT:
        raise Unsuitable(f"this Redis has data of a newer Roomcast (format {int(known_format)}): upgrade this node")
    return Mark(generation, pulse)


async def _examine(connection: CommandConnection, policy: Policy) -> Server:
    sections = ("server", "memory", "replication", "persistence")
    facts = parse_info(await connection.command(pack("INFO", *sections)))
    check_server(facts, is_cluster=policy.is_cluster)
    was_promoted = bool(facts.get("master_replid2", "0").strip("0"))
    return Server(
        facts["run_id"],
        facts.get("master_replid", ""),
        was_promoted,
        not was_promoted and await _keeps_data(connection, policy, facts),
        int(facts.get("uptime_in_seconds", "0")),
        int(facts.get("connected_slaves", "0")),
    )


async def _keeps_data(connection: CommandConnection, policy: Policy, facts: dict[str, str]) -> bool:
    if policy.redis_is_embedded or policy.redis_restart == "trust":
        return True
    if facts.get("aof_enabled") != "1":
        return False
    try:
        reply = await connection.command(pack("CONFIG", "GET", "appendfsync"))
    except Exception as error:  # hosted Redis often forbids CONFIG
        log.info("Redis does not tell its appendfsync: restarts count as loss", reason=str(error))
        return False
    return list(reply[1:]) == [b"always"]


def parse_info(reply: bytes) -> dict[str, str]:
    """INFO's `name:value` lines."""
    lines = reply.decode(errors="replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


def check_server(facts: dict[str, str], *, is_cluster: bool = False) -> None:
    """Raise Unsuitable, or Unavailable for what passes, unless this is a primary of a version that we know."""
    is_valkey = "valkey_version" in facts
    version = facts["valkey_version"] if is_valkey else facts["redis_version"]
    if int(version.partition(".")[0]) < (MIN_VALKEY if is_valkey else MIN_REDIS):
        name = "Valkey" if is_valkey else "Redis"
        raise Unsuitable(f"this is {name} {version}: give Redis {MIN_REDIS} or Valkey {MIN_VALKEY}, or newer")
    if (facts.get("redis_mode", facts.get("server_mode")) == "cluster") != is_cluster:
        raise Unsuitable(
            "this Redis is no Cluster: give its URL as redis://"
            if is_cluster
            else "this Redis is part of a Cluster: give its URL as redis+cluster://"
        )
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
