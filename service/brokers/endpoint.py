"""Where Redis is and how to get in, from a URL; command and pub/sub connection share one of these."""

import asyncio
import ssl
from typing import Any, Final, Protocol

from redis.asyncio.connection import parse_url

from service.brokers.resp import Connection, pack

CONNECT_SECONDS: Final = 1.0


class Endpoint(Protocol):
    """Where a node's two connections go. Made once; whoever connects asks it anew each time.

    name: for people, without a password. database: its number, 0 on a Cluster. greeting: AUTH, SELECT and the
    connection's name, packed, to be sent first on every connection. replicas: how many the deployment has, those that
    are down included, as it was told last; None: only the server itself tells how many are connected.
    """

    name: str
    database: int
    replicas: int | None
    greeting: list[bytes]

    async def open(self, connection: Connection) -> None:
        """Connect; raises OSError, TimeoutError or Unavailable within 1.5 s."""
        ...


def make_endpoint(url: str, node: str) -> Endpoint:
    """The endpoint of a URL: `redis://`, `rediss://` or `unix://`. Raises ValueError for what it can't read."""
    return ServerEndpoint(url, node)


class ServerEndpoint:
    """One server: `redis://`, `rediss://` or `unix://`."""

    def __init__(self, url: str, node: str) -> None:
        options: dict[str, Any] = dict(parse_url(url))
        self.replicas: int | None = None
        self.database = int(options.get("db") or 0)
        self.name = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        self.greeting = greeting_commands(node, options.get("username"), options.get("password"), self.database)
        self._options = options
        self._is_tls = url.startswith("rediss://")

    async def open(self, connection: Connection) -> None:
        """Connect; raises OSError or TimeoutError within `CONNECT_SECONDS`."""
        options = self._options
        if path := options.get("path"):
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().create_unix_connection(lambda: connection, path)
        else:
            tls = tls_context(options.get("ssl_ca_certs"), options.get("ssl_cert_reqs")) if self._is_tls else None
            await open_tcp(connection, options.get("host", "localhost"), int(options.get("port", 6379)), tls)


def greeting_commands(node: str, user: str | None, password: str | None, database: int) -> list[bytes]:
    """See `Endpoint.greeting`."""
    commands = [pack("CLIENT", "SETNAME", f"roomcast-{node}")]
    if database:
        commands.insert(0, pack("SELECT", database))
    if password:
        commands.insert(0, pack("AUTH", *([user] if user else []), password))
    return commands


async def open_tcp(
    connection: Connection, host: str, port: int, tls: ssl.SSLContext | None, seconds: float = CONNECT_SECONDS
) -> None:
    """Connect over TCP; raises OSError or TimeoutError in time."""
    async with asyncio.timeout(seconds):
        await asyncio.get_running_loop().create_connection(lambda: connection, host, port, ssl=tls)


def tls_context(ca_file: str | None, requirement: str | None) -> ssl.SSLContext:
    """The client's side of TLS. ca_file: instead of the system's; requirement: `none` believes any certificate."""
    context = ssl.create_default_context(cafile=ca_file)
    if requirement == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
