"""Which primary of a Redis Cluster serves which hash tag: where to ask first, from a URL, and what its servers say."""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from redis.crc import key_slot

from service.brokers.dialing import Unsuitable, greeting_commands, open_tcp, tls_context
from service.brokers.keys import PARTITIONS
from service.brokers.resp import CommandConnection, Connection, NotLetIn, pack
from service.protocol.errors import Internal

ASK_SECONDS: Final = 1.0  # one server, connecting included; they are asked all at once
SLOW_SECONDS: Final = 0.3  # who takes longer is not waited for when another one has answered
MAX_ASKED: Final = 12  # servers
REDIS_PORT: Final = 6_379
SYSTEM_TAG: Final = b"{n}"
#: All hash tags that keys have, in the order of the partitions, with their slots.
SLOTS: Final = {tag: key_slot(tag[1:-1]) for tag in (*(b"{p%d}" % each for each in range(PARTITIONS)), SYSTEM_TAG)}
_OPTIONS: Final = frozenset({"tls", "ssl_ca_certs", "ssl_cert_reqs"})


class Address(NamedTuple):
    """Where one server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Topology:
    """How the Cluster is laid out, as one of its servers sees it.

    epoch: the higher is the newer. owners: the primary of each hash tag; those that nobody serves are left out.
    replicas: of each primary that is up, whether it serves anything or not, how many follow it, up or down.
    """

    epoch: int
    owners: dict[bytes, Address]
    replicas: dict[Address, int]


class ClusterEndpoint:
    """`redis+cluster://[user:password@]host[:port][,host[:port]…][?options]`: servers that are asked for the others.

    Options: `tls=true`, with `ssl_ca_certs` and `ssl_cert_reqs` as of `rediss://`. Raises ValueError for other URLs.
    """

    def __init__(self, url: str, node: str) -> None:
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        options = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        if parts.path.strip("/") not in ("", "0") or options.keys() - _OPTIONS:
            raise ValueError("a Cluster's URL has hosts, no database number, and the options that are known")
        self.seeds = tuple(_address(text) for text in hosts.split(","))
        self.name = f"Cluster of {', '.join(map(str, self.seeds))}"
        self.greeting = greeting_commands(node, unquote(user) or None, unquote(password) or None, 0)
        self.tls: ssl.SSLContext | None = None
        if options.get("tls", "false") == "true":
            self.tls = tls_context(options.get("ssl_ca_certs"), options.get("ssl_cert_reqs"))


class ShardEndpoint:
    """One primary of a Cluster: see `Endpoint`."""

    database = 0

    def __init__(self, cluster: ClusterEndpoint, address: Address) -> None:
        self.name = str(address)
        self.replicas: int | None = None
        self.greeting = cluster.greeting
        self._address = address
        self._tls = cluster.tls

    async def open(self, connection: Connection) -> None:
        """Connect; raises OSError or TimeoutError within 1 s."""
        await open_tcp(connection, *self._address, self._tls)

    async def watch(self) -> None:
        """Nothing: a primary that is none any more says so with its next answer."""

    def close(self) -> None:
        """Nothing: it has no connections of its own."""


async def discover(cluster: ClusterEndpoint, known: Iterable[Address]) -> Topology:
    """Ask the servers that are known and those of the URL; the newest view counts.

    Raises OSError when none answers within `ASK_SECONDS`, Unsuitable when none is part of a Cluster or lets us in.
    """
    loop = asyncio.get_running_loop()
    asked = list(dict.fromkeys([*known, *cluster.seeds]))[:MAX_ASKED]
    asking = {loop.create_task(_ask(cluster, address)) for address in asked}
    try:
        answered, pending = await asyncio.wait(asking, timeout=SLOW_SECONDS)
        while pending and all(each.exception() for each in answered):
            more, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            answered |= more
    finally:
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)  # they end their connections
    errors = [error for each in answered if (error := each.exception()) is not None]
    if len(errors) < len(answered):
        return max((each.result() for each in answered if each.exception() is None), key=lambda view: view.epoch)
    for error in errors:
        if isinstance(error, NotLetIn | Internal):
            raise Unsuitable(
                f"{cluster.name} does not tell its servers: check user and password in its URL and the user's rights, "
                f"and whether it is a Cluster at all; if not, its URL begins with redis:// ({error})"
            ) from error
    reasons = "; ".join(dict.fromkeys(f"{type(error).__name__}: {error}" for error in errors))
    raise ConnectionError(f"no server of {cluster.name} answers: {reasons}")


async def _ask(cluster: ClusterEndpoint, address: Address) -> Topology:
    connection = CommandConnection(_ignore_loss, _ignore_loss)
    try:
        async with asyncio.timeout(ASK_SECONDS):
            await open_tcp(connection, *address, cluster.tls)
            await asyncio.gather(*map(connection.command, cluster.greeting))
            info, shards = await asyncio.gather(
                connection.command(pack("CLUSTER", "INFO")), connection.command(pack("CLUSTER", "SHARDS"))
            )
        return _topology(info, shards, address.host, is_tls=cluster.tls is not None)
    finally:
        if connection.is_open:
            connection.abort()


def _topology(info: bytes, shards: list[Any], asked_host: str, *, is_tls: bool) -> Topology:
    epoch = next(int(line[22:]) for line in info.splitlines() if line.startswith(b"cluster_current_epoch:"))
    owners: dict[bytes, Address] = {}
    replicas: dict[Address, int] = {}
    for shard in map(_facts, shards):
        nodes = list(map(_facts, shard[b"nodes"]))
        # A primary that failed stays here as one, beside the replica that was promoted.
        up = [node for node in nodes if node[b"role"] == b"master" and node[b"health"] == b"online"]
        if up:
            host = (up[0].get(b"endpoint") or b"?").decode()
            port = up[0][b"tls-port" if is_tls else b"port"]
            address = Address(asked_host if host == "?" else host, int(port))
            replicas[address] = len(nodes) - 1
            for first, last in zip(shard[b"slots"][::2], shard[b"slots"][1::2], strict=True):
                owners |= {tag: address for tag, slot in SLOTS.items() if first <= slot <= last}
    return Topology(epoch, owners, replicas)


def _facts(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _address(text: str) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host has no name")
    return Address(parts.hostname, parts.port or REDIS_PORT)


def _ignore_loss() -> None:
    """Whoever asked notices."""
