"""Where Redis is and how to get in, from a URL; command and pub/sub connection share one of these."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from redis.asyncio.connection import parse_url

from service.brokers.dialing import CONNECT_SECONDS, Unsuitable, greeting_commands, open_tcp, tls_context
from service.brokers.resp import Connection
from service.brokers.sentinel import SentinelEndpoint


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

    async def watch(self) -> None:
        """Until cancelled, end connections that do not lead to where they should any more; or return at once."""
        ...

    def close(self) -> None:
        """End connections of its own; those that were opened for others are theirs."""
        ...


def make_endpoint(url: str, node: str) -> Endpoint:
    """The endpoint of a URL: `redis://`, `rediss://`, `unix://` or `redis+sentinel://`. Raises Unsuitable."""
    with readable():
        return SentinelEndpoint(url, node) if url.startswith("redis+sentinel://") else ServerEndpoint(url, node)


@contextmanager
def readable() -> Iterator[None]:
    """Raises Unsuitable when a URL can't be read."""
    try:
        yield
    except ValueError:  # its text may hold a part of the password
        raise Unsuitable(
            "the URL of Redis can't be read: write it as redis://user:password@host:port/database, or as docs/redis.md "
            "says, with /, @, : and % in a password percent-encoded"
        ) from None


class ServerEndpoint:
    """One server: `redis://`, `rediss://` or `unix://`."""

    def __init__(self, url: str, node: str) -> None:
        options: dict[str, Any] = dict(parse_url(url))
        self.replicas: int | None = None
        self.database = int(options.get("db") or 0)
        self.name = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        self.greeting = greeting_commands(node, options.get("username"), options.get("password"), self.database)
        self._options = options
        self._tls = None
        if url.startswith("rediss://"):  # made once: it takes the loop 85 ms
            self._tls = tls_context(options.get("ssl_ca_certs"), options.get("ssl_cert_reqs"))

    async def open(self, connection: Connection) -> None:
        """Connect; raises OSError or TimeoutError within `CONNECT_SECONDS`."""
        options = self._options
        if path := options.get("path"):
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().create_unix_connection(lambda: connection, path)
        else:
            await open_tcp(connection, options.get("host", "localhost"), int(options.get("port", 6379)), self._tls)

    async def watch(self) -> None:
        """Nothing: the server stays where it is."""

    def close(self) -> None:
        """Nothing: it has no connections of its own."""
