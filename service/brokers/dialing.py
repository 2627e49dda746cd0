"""How a connection to a Redis server, or a Sentinel, is opened, and what is said first on it."""

import asyncio
import ssl
from typing import Final

from service.brokers.resp import Connection, pack

CONNECT_SECONDS: Final = 1.0


class Unsuitable(Exception):
    """This Redis can't serve this node, and trying again does not help; the text says what to do."""


def greeting_commands(node: str, user: str | None, password: str | None, database: int) -> list[bytes]:
    """AUTH, SELECT and the connection's name, packed, to be sent first on every connection."""
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
    """The client's side of TLS. ca_file: instead of the system's; requirement: `none` believes any certificate. Raises
    Unsuitable.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise Unsuitable(f"the certificates of {ca_file} can't be read: see ssl_ca_certs in Redis' URL") from error
    if requirement == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
