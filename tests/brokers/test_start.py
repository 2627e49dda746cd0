import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from service.brokers.dialing import Unsuitable
from service.brokers.greeting import check_server
from service.protocol.errors import Unavailable
from tests.brokers.conftest import Nodes, Server

pytestmark = pytest.mark.anyio


async def test_two_systems_cannot_share_a_database_but_can_share_a_server(server: Server, nodes: Nodes) -> None:
    first = await nodes.start(server.url, "a", database_id="one")
    with pytest.raises(Unsuitable, match="belongs to another Roomcast"):
        await nodes.start(server.url, "b", database_id="two")
    second = await nodes.start(f"{server.url}?db=3", "c", database_id="two")
    await first.publish(first.address("T1", "chat"))
    assert (await second.publish(second.address("T1", "chat"))).position.offset == 1
    await first.announce_tenant_change("T1")
    await second.announce_tenant_change("T2")
    await first.listener.until_heard("change", "T1")
    await second.listener.until_heard("change", "T2")
    assert len(first.listener.heard) == len(second.listener.heard) == 1


async def test_data_of_a_newer_format_is_refused(server: Server, nodes: Nodes) -> None:
    server.client.hset("rc1:{n}:system", "format", "2")
    with pytest.raises(Unsuitable, match="upgrade this node"):
        await nodes.start(server.url, "a")


async def test_a_redis_that_throws_data_away_is_refused(make_server: Callable[..., Server], nodes: Nodes) -> None:
    server = make_server("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with pytest.raises(Unsuitable, match="set it to noeviction"):
        await nodes.start(server.url, "a")
    server.client.config_set("maxmemory-policy", "noeviction")
    await nodes.start(server.url, "a")


async def test_a_replica_is_not_used(make_server: Callable[..., Server], nodes: Nodes) -> None:
    server = make_server("--replicaof", "127.0.0.1", "1")
    with pytest.raises(Unavailable, match="replica"):
        await nodes.start(server.url, "a")


async def test_nobody_there_is_an_os_error(tmp_path: Path, nodes: Nodes) -> None:
    with pytest.raises(OSError, match=r"v\.sock|No such file"):
        await nodes.start(f"unix://{tmp_path}/v.sock", "a")


async def test_user_and_password_are_taken_from_the_url(make_server: Callable[..., Server], nodes: Nodes) -> None:
    server = make_server("--user", "room", "on", ">se/cret", "~*", "&*", "+@all")
    node = await nodes.start(f"unix://room:se%2Fcret@{server.socket}", "a")
    assert (await node.publish(node.address("T1", "chat"))).stored
    for url in (f"unix://room:wr0ng@{server.socket}", f"unix://room:se%2Fcret@{server.socket}?db=99"):
        with pytest.raises(Unsuitable, match="check user, password and database number") as refused:
            await nodes.start(url, "b")
        assert "wr0ng" not in str(refused.value)
    server.client.acl_setuser("default", enabled=False)
    with pytest.raises(Unsuitable, match="NOAUTH"):
        await nodes.start(server.url, "c")
    other = await nodes.start(f"unix://room:se%2Fcret@{server.socket}", "d")
    await node.announce_tenant_change("T1")
    await other.listener.until_heard("change", "T1")


async def test_a_password_alone_is_the_default_users(make_server: Callable[..., Server], nodes: Nodes) -> None:
    server = make_server()
    server.client.config_set("requirepass", "se cret")
    node = await nodes.start(f"unix://:se%20cret@{server.socket}", "a")
    await node.announce_tenant_change("T1")
    await node.listener.until_heard("change", "T1")


@asynccontextmanager
async def tls_in_front(server: Server, folder: Path) -> AsyncIterator[int]:
    """A TLS end on a free port of 127.0.0.1; its certificate is `folder`/cert.pem. The wheel's Valkey has no TLS."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "both.pem").write_bytes(pem + certificate.public_bytes(Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "both.pem")

    served: set[asyncio.Task[None] | None] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        inner_reader, inner_writer = await asyncio.open_unix_connection(server.socket)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    front = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield front.sockets[0].getsockname()[1]
    front.close()
    await asyncio.gather(*filter(None, served))


async def test_tls_checks_the_certificate_against_the_urls_own_authority(server: Server, tmp_path: Path) -> None:
    async with tls_in_front(server, tmp_path) as port, AsyncExitStack() as stack:
        url = f"rediss://localhost:{port}/0"
        with pytest.raises(ssl.SSLCertVerificationError):
            await Nodes(stack).start(url, "a")
        node = await Nodes(stack).start(f"{url}?ssl_ca_certs={tmp_path}/cert.pem", "b")
        assert (await node.publish(node.address("T1", "chat"))).stored
        unchecked = await Nodes(stack).start(f"{url}?ssl_cert_reqs=none", "c")
        await node.announce_tenant_change("T1")
        await unchecked.listener.until_heard("change", "T1")


@pytest.mark.parametrize(
    ("facts", "refused"),
    [
        ({"redis_version": "6.2.14"}, "Redis 6.2.14: give Redis 7"),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.5"}, "Valkey 7.2.5: give Redis 7 or Valkey 8"),
        ({"redis_version": "7.0.0", "maxmemory": "1", "maxmemory_policy": "volatile-ttl"}, "noeviction"),
    ],
)
def test_unsuitable_servers_are_told_apart(facts: dict[str, str], refused: str) -> None:
    with pytest.raises(Unsuitable, match=refused):
        check_server(facts)


def test_suitable_servers_pass() -> None:
    check_server({"redis_version": "7.0.0", "maxmemory": "0", "maxmemory_policy": "allkeys-lru"})
    check_server({"redis_version": "7.2.4", "valkey_version": "10.0.0", "role": "master"})
