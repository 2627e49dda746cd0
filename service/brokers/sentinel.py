"""A primary that Sentinels watch: found by asking them, and left as soon as they name another one."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import structlog

from service.brokers.dialing import greeting_commands, open_tcp, tls_context
from service.brokers.resp import CommandConnection, Connection, pack
from service.protocol.errors import Internal, RoomcastError

ASK_SECONDS: Final = 0.3  # one Sentinel, connecting included; they are asked all at once
# How often they are asked whether there is another primary. Their `+switch-master` comes later than that: the one who
# leads a failover tells it when the other replicas have been told, up to the failover timeout after the promotion.
WATCH_SECONDS: Final = 0.5
SENTINEL_PORT: Final = 26_379
REDIS_PORT: Final = 6_379

log = structlog.get_logger()


class Primary(NamedTuple):
    """What a Sentinel says. epoch: of its configuration, the higher is the newer. replicas: that it knows, also those
    that are down.
    """

    epoch: int
    host: str
    port: int
    replicas: int


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """`redis+sentinel://[user:password@]host[:port][,host[:port]…]/SERVICE[/DATABASE][?options]`.

    Options: `sentinel_user` and `sentinel_password`, for the Sentinels themselves; `tls=true`, for them and the
    servers, with `ssl_ca_certs` and `ssl_cert_reqs` as of `rediss://`.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str
    database: int
    user: str | None
    password: str | None
    sentinel_user: str | None
    sentinel_password: str | None
    is_tls: bool
    ca_file: str | None
    requirement: str | None

    @classmethod
    def parse(cls, url: str) -> "SentinelUrl":
        """Raises ValueError for what is not of this form."""
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        service, _, database = parts.path.strip("/").partition("/")
        options = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        unknown = options.keys() - _OPTIONS
        if not service or not hosts or unknown or options.get("tls", "true") not in ("true", "false"):
            raise ValueError("a Sentinel's URL has hosts, a service, and the options that are known")
        return cls(
            tuple(_host(text) for text in hosts.split(",")),
            unquote(service),
            int(database or 0),
            unquote(user) or None,
            unquote(password) or None,
            options.get("sentinel_user"),
            options.get("sentinel_password"),
            options.get("tls") == "true",
            options.get("ssl_ca_certs"),
            options.get("ssl_cert_reqs"),
        )


_OPTIONS: Final = frozenset({"sentinel_user", "sentinel_password", "tls", "ssl_ca_certs", "ssl_cert_reqs"})


def _host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host has no name")
    return parts.hostname, parts.port or SENTINEL_PORT


class SentinelEndpoint:
    """See `Endpoint`. That the server is a primary is verified by whoever is on the connection (`greeting.enter`)."""

    def __init__(self, url: str, node: str) -> None:
        options = SentinelUrl.parse(url)
        self.name = f"{options.service} of {', '.join(f'{host}:{port}' for host, port in options.hosts)}"
        self.database = options.database
        self.replicas: int | None = None
        self.greeting = greeting_commands(node, options.user, options.password, options.database)
        self._service = options.service
        self._tls = tls_context(options.ca_file, options.requirement) if options.is_tls else None
        greeting = greeting_commands(node, options.sentinel_user, options.sentinel_password, 0)
        self._sentinels = [_Sentinel(host, port, self._tls, greeting) for host, port in options.hosts]
        self._opened: list[tuple[Connection, tuple[str, int]]] = []

    async def open(self, connection: Connection) -> None:
        """Connect to the primary; raises OSError or TimeoutError within 1.3 s."""
        primary = await self.find_primary()
        address = primary.host, primary.port
        self._opened = [opened for opened in self._opened if opened[0].is_open]
        await open_tcp(connection, *address, self._tls)
        self._opened.append((connection, address))

    async def watch(self) -> None:
        """Until cancelled, end the connections that lead to another server than the primary."""
        is_told = False
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                primary = await self.find_primary()
            except OSError as error:
                if not is_told:
                    log.warning("no Sentinel tells where Redis is", error=str(error))
                is_told = True
                continue
            is_told = False
            for connection, address in self._opened:
                if connection.is_open and address != (primary.host, primary.port):
                    log.warning("Redis has another primary", error=f"{address[0]}:{address[1]} is left")
                    connection.abort()

    def close(self) -> None:
        """End the connections to the Sentinels."""
        for sentinel in self._sentinels:
            sentinel.close()

    async def find_primary(self) -> Primary:
        """Ask all Sentinels; the newest of their configurations counts. Raises ConnectionError within `ASK_SECONDS`."""
        answers = await asyncio.gather(*[sentinel.ask(self._service) for sentinel in self._sentinels])
        found = [answer for answer in answers if isinstance(answer, Primary)]
        if not found:
            reasons = "; ".join(dict.fromkeys(map(str, answers)))
            raise ConnectionError(f"no Sentinel tells the primary of {self.name}: {reasons}")
        primary = max(found)
        self.replicas = primary.replicas
        return primary


class _Sentinel:
    """One Sentinel, and the connection to it."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, greeting: list[bytes]) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._greeting = greeting
        self._connection: CommandConnection | None = None
        self._opening = asyncio.Lock()

    async def ask(self, service: str) -> Primary | str:
        """The primary that it names, or why it names none."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                connection = await self._connected()
                address, services = await asyncio.gather(
                    connection.command(pack("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)),
                    connection.command(pack("SENTINEL", "MASTERS")),
                )
        except TimeoutError:
            self.close()
            return "no answer in time"
        except Internal:
            return "it does not know what Sentinels know"
        except (OSError, RoomcastError) as error:
            return str(error)
        for flat in services:
            facts: dict[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
            if facts[b"name"] == service.encode() and address is not None:
                return Primary(
                    int(facts[b"config-epoch"]), address[0].decode(), int(address[1]), int(facts[b"num-slaves"])
                )
        return "it is not known to them"

    def close(self) -> None:
        """End the connection; the next question makes another one."""
        if self._connection is not None and self._connection.is_open:
            self._connection.abort()

    async def _connected(self) -> CommandConnection:
        async with self._opening:
            if self._connection is None or not self._connection.is_open:
                connection = CommandConnection(lambda: None, lambda: None)
                await open_tcp(connection, self._host, self._port, self._tls, ASK_SECONDS)
                self._connection = connection
                try:
                    await asyncio.gather(*map(connection.command, self._greeting))
                except BaseException:
                    connection.abort()
                    raise
            return self._connection
