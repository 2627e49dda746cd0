import asyncio
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.brokers.dialing import Unsuitable
from service.brokers.endpoint import make_endpoint
from service.brokers.sentinel import SentinelEndpoint, SentinelUrl
from service.brokers.server_binary import find_server
from service.protocol.errors import Unavailable
from tests.brokers.conftest import Node, Nodes, Room, Server, eventually
from tests.support.sentinel import SentinelGroup, free_ports

pytestmark = pytest.mark.anyio


@pytest.fixture
def group() -> Iterator[SentinelGroup]:
    with tempfile.TemporaryDirectory(prefix="rcs", dir="/tmp") as folder:
        group = SentinelGroup(Path(folder))
        try:
            group.start()
            yield group
        finally:
            group.stop()


async def publishes_again(node: Node, since: float) -> float:
    """How many seconds after `since` the node published."""

    async def has_published() -> bool:
        return (await node.publish(node.address("T1", "chat"))).stored

    await eventually(has_published, 20)
    return time.monotonic() - since


async def test_nodes_follow_a_primary_that_was_changed_while_all_live(group: SentinelGroup, nodes: Nodes) -> None:
    """Killed, frozen and cut off are tests/faults' rows."""
    a, b = await nodes.start(group.url, "a"), await nodes.start(group.url, "b")
    address, room = a.address("T1", "chat"), Room()
    await b.subscribe(address, room)
    await a.enter("T1", "connection-a", "alice", "chat")
    assert a._endpoint.replicas == 2
    group.freeze_sentinel(2)  # they are asked all at once
    before, old = (await a.publish(address)).position, group.primary
    group.switch()
    new = await group.failed_over(old)
    assert await publishes_again(a, time.monotonic()) < 5
    await asyncio.gather(*[node.listener.until_back(1) for node in (a, b)])
    head = (await b.history(address)).head
    assert head.epoch != before.epoch
    assert {a._link.run_id, b._channels.run_id} == {group.clients[new].info("server")["run_id"]}
    assert room.interruptions
    heard = len(room.messages)
    await a.publish(address)
    await room.until_messages(heard + 1)
    await eventually(lambda: _counts_one(b))


async def _counts_one(node: Node) -> bool:
    return await node.counts("T1") == (1, 1, 1)


@pytest.fixture
def guarded(make_server: Callable[..., Server]) -> Iterator[int]:
    """The port of one Sentinel (password `sentinel/pass`) of a server (password `server pass`), under the name main."""
    port, sentinel_port = free_ports(2)
    server = make_server("--port", str(port))
    server.client.config_set("requirepass", "server pass")
    conf = server.folder / "sentinel.conf"
    lines = [f"port {sentinel_port}", 'requirepass "sentinel/pass"', f"sentinel monitor main 127.0.0.1 {port} 1"]
    conf.write_text("\n".join([*lines, 'sentinel auth-pass main "server pass"', f"dir {server.folder}"]) + "\n")
    process = subprocess.Popen([find_server(), str(conf), "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        yield sentinel_port
    finally:
        process.kill()
        process.wait()


async def until_found(url: str) -> None:
    async def is_found() -> bool:
        endpoint = make_endpoint(url, "node")
        assert isinstance(endpoint, SentinelEndpoint)
        try:
            await endpoint.find_primary()
        except ConnectionError as error:
            raise Unavailable("not yet") from error
        finally:
            endpoint.close()
        return True

    await eventually(is_found)


async def test_servers_and_sentinels_have_passwords_of_their_own(guarded: int, nodes: Nodes) -> None:
    hosts = f":server%20pass@127.0.0.1:{guarded},127.0.0.1:1"
    url = f"redis+sentinel://{hosts}/main/3?sentinel_password=sentinel%2Fpass"
    await until_found(url)
    node, room = await nodes.start(url, "a"), Room()
    address = node.address("T1", "chat")
    await node.subscribe(address, room)
    assert (await node.publish(address)).stored
    await room.until_messages(1)
    for wrong in (
        f"redis+sentinel://{hosts}/main/3?sentinel_password=wr0ng",
        f"redis+sentinel://{hosts}/other/3?sentinel_password=sentinel%2Fpass",
    ):
        with pytest.raises(ConnectionError, match="no Sentinel tells the primary of") as refused:
            await nodes.start(wrong, "b")
        assert "wr0ng" not in str(refused.value)
        assert "server" not in str(refused.value)
    with pytest.raises(Unsuitable, match="check user, password"):
        await nodes.start(url.replace("server%20pass", "wr0ng"), "c")


async def test_a_server_that_is_no_sentinel_is_said_to_be_none(make_server: Callable[..., Server]) -> None:
    (port,) = free_ports(1)
    make_server("--port", str(port))
    endpoint = make_endpoint(f"redis+sentinel://127.0.0.1:{port}/main", "node")
    assert isinstance(endpoint, SentinelEndpoint)
    with pytest.raises(ConnectionError, match="does not know what Sentinels know"):
        await endpoint.find_primary()
    endpoint.close()


def test_a_sentinels_url_is_taken_apart() -> None:
    url = "redis+sentinel://us%40er:pa%3Ass@one:1,[::1],10.0.0.7:26380/a%20b/7?tls=true&ssl_ca_certs=/c.pem&sentinel_user=s"
    parsed = SentinelUrl.parse(url)
    assert parsed.hosts == (("one", 1), ("::1", 26379), ("10.0.0.7", 26380))
    assert (parsed.user, parsed.password, parsed.service, parsed.database) == ("us@er", "pa:ss", "a b", 7)
    assert (parsed.is_tls, parsed.ca_file, parsed.sentinel_user) == (True, "/c.pem", "s")
    plain = SentinelUrl.parse("redis+sentinel://one/main")
    assert (plain.hosts, plain.service, plain.database, plain.password) == ((("one", 26379),), "main", 0, None)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://:secret@one:port/main",
        "redis+sentinel://:sec/ret@one/main",
        "redis+sentinel://:secret@one",
        "redis+sentinel://:secret@/main",
        "redis+sentinel://:secret@one,/main",
        "redis+sentinel://:secret@one/main/x",
        "redis+sentinel://:secret@one/main?tls=perhaps",
        "redis+sentinel://:secret@one/main?sentinel-password=x",
        "redis://:secret@one:port",
        "rediss+sentinel://:secret@one/main",
        "http://:secret@one",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(Unsuitable, match="can't be read") as refused:
        make_endpoint(url, "node")
    assert "sec" not in str(refused.value)
