"""The fault proxy does what its rows say it does, before a real Valkey."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.faults.framer import Framer
from tests.faults.proxy import Proxy
from tests.support.valkey import Valkey

pytestmark = pytest.mark.alone

Dial = Callable[[], Any]  # a redis.Redis, which is half typed


@pytest.fixture(scope="module")
def valkey(logs: Path) -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory(prefix="rcp", dir="/tmp") as folder:
        valkey = Valkey(Path(folder), logs / "proxied-valkey.log")
        valkey.start()
        yield valkey
        valkey.stop()


@pytest.fixture
def proxy(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[Proxy]:
    valkey.client.flushall()
    with Proxy(valkey.url, getattr(request, "param", "redis://127.0.0.1:0"), seed=7) as proxy:
        yield proxy


@pytest.fixture
def dial(proxy: Proxy) -> Iterator[Dial]:
    """Makes clients that go through the proxy, wait 0.3 s and try nothing again."""
    made: list[Any] = []

    def connect() -> Any:
        client = redis.Redis.from_url(
            proxy.url, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=0.3, single_connection_client=True
        )
        client.ping()
        made.append(client)
        return client

    yield connect
    for client in made:
        client.close()


def listen(client: Any) -> Any:
    """Subscribed to the channel `news`."""
    heard = client.pubsub()
    heard.subscribe("news")
    assert heard.get_message(timeout=1)["type"] == "subscribe"
    return heard


def hears(heard: Any) -> list[bytes]:
    """What has come within 0.2 s of silence."""
    found = []
    while (message := heard.get_message(timeout=0.2)) is not None:
        found.append(message["data"])
    return found


FRAMES = [
    b"+OK\r\n",
    b":12\r\n",
    b"-ERR no\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"$0\r\n\r\n",
    b"$4\r\n\r\n*1\r\n",
    b"*2\r\n*2\r\n:1\r\n$-1\r\n*1\r\n$2\r\nab\r\n",
    b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n1\r\n",
]


@given(st.lists(st.sampled_from(FRAMES), max_size=20), st.lists(st.integers(1, 400), max_size=20))
def test_frames_are_whole_however_they_come_in_pieces(frames: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frames)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    framer = Framer()
    pieces = [stream[begin:end] for begin, end in pairwise(edges)]
    assert [frame for piece in pieces for frame in framer.feed(piece)] == frames


@pytest.mark.parametrize(
    "proxy",
    ["redis://127.0.0.1:0", f"unix://{tempfile.gettempdir()}/rcp{os.getpid()}"],
    ids=["tcp", "unix"],
    indirect=True,
)
def test_all_passes_unchanged_without_faults(proxy: Proxy, dial: Dial) -> None:
    client = dial()
    large = bytes(range(256)) * 40_000
    client.set("large", large)
    assert client.get("large") == large
    with client.pipeline(transaction=False) as pipeline:
        for number in range(2_000):
            pipeline.rpush("list", number)
        assert pipeline.execute() == list(range(1, 2_001))
    assert client.lrange("list", 0, -1) == [b"%d" % number for number in range(2_000)]
    assert proxy.counts().cut_replies == 0


def test_a_share_of_the_messages_is_dropped_and_nothing_else(proxy: Proxy, dial: Dial) -> None:
    client, heard = dial(), listen(dial())
    proxy.set(dropped_messages=0.05)
    sent = [b"%d" % number for number in range(1_000)]
    for message in sent:
        client.publish("news", message)
    got = hears(heard)
    assert set(got) < set(sent)
    assert got == sorted(got, key=int)
    assert 900 <= len(got) <= 990
    counts = proxy.counts()
    assert (counts.messages, counts.dropped) == (1_000, 1_000 - len(got))
    heard.ping()
    proxy.set(dropped_messages=1)
    client.publish("news", "unheard")
    assert hears(heard) == [b""]  # the pong passes


def test_the_same_seed_drops_the_same_messages(valkey: Valkey) -> None:
    runs = []
    for _ in range(2):
        with Proxy(valkey.url, seed=3) as proxy, redis.Redis.from_url(proxy.url, protocol=2) as client:
            proxy.set(dropped_messages=0.5)
            with listen(client) as heard:
                for number in range(20):
                    valkey.client.publish("news", number)
                runs.append(hears(heard))
    assert 0 < len(runs[0]) < 20
    assert runs[0] == runs[1]


def test_redis_does_the_command_whose_reply_is_cut(proxy: Proxy, dial: Dial, valkey: Valkey) -> None:
    client, other = dial(), dial()
    proxy.set(lost_replies=1, lost_replies_of="INCR")
    client.set("before", 1)
    with pytest.raises(redis.ConnectionError):
        client.incr("counted")
    assert valkey.client.get("counted") == b"1"
    counts = proxy.counts()
    assert (counts.cut_replies, counts.open_commands) == (1, 1)
    assert other.get("before") == b"1"


def test_replies_before_the_cut_one_come_and_those_behind_do_not(proxy: Proxy, dial: Dial, valkey: Valkey) -> None:
    client = dial()
    connection = client.connection
    proxy.set(lost_replies=1, lost_replies_of="INCR")
    # in one packet, so that the server has them all before the cut
    connection.send_packed_command(
        connection.pack_commands([["SET", "a", "1"], ["INCR", "counted"], ["SET", "b", "1"]])
    )
    assert connection.read_response() == b"OK"
    with pytest.raises(redis.ConnectionError):
        connection.read_response()
    assert valkey.client.mget("counted", "b") == [b"1", b"1"]
    assert proxy.counts().cut_replies == 2


@pytest.mark.parametrize("way", ["freezes_to_server", "freezes_to_client"])
def test_what_is_frozen_passes_once_it_is_thawed(proxy: Proxy, dial: Dial, valkey: Valkey, way: str) -> None:
    client = dial()
    connection = client.connection
    proxy.set(**{way: True})
    connection.send_command("INCR", "counted")
    assert not connection.can_read(timeout=0.2)
    assert valkey.client.get("counted") == (b"1" if way == "freezes_to_client" else None)
    proxy.heal()
    assert connection.read_response() == 1


def test_a_frozen_subscription_leaves_commands_alone(proxy: Proxy, dial: Dial) -> None:
    client, heard = dial(), listen(dial())
    assert proxy.set(kinds=("pubsub",), freezes_to_client=True).subscribers == 1
    for number in range(3):
        client.publish("news", number)
    assert hears(heard) == []
    proxy.heal()
    assert hears(heard) == [b"0", b"1", b"2"]


def test_a_connection_that_ends_while_it_is_frozen_is_held_until_the_thaw(
    proxy: Proxy, dial: Dial, valkey: Valkey
) -> None:
    client = dial()
    proxy.set(freezes_to_server=True)
    client.close()
    assert len(valkey.client.client_list()) == 2
    proxy.heal()
    deadline = time.monotonic() + 5
    while len(valkey.client.client_list()) > 1:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("way", ["to_server_delay_seconds", "to_client_delay_seconds"])
def test_a_delay_keeps_the_order_and_the_pipeline_full(proxy: Proxy, dial: Dial, way: str) -> None:
    client = dial()
    connection = client.connection
    proxy.set(**{way: 0.1})
    started = time.monotonic()
    for _ in range(50):
        connection.send_command("INCR", "counted")
    assert [connection.read_response() for _ in range(50)] == list(range(1, 51))
    assert 0.1 <= time.monotonic() - started < 0.5


def test_one_kind_of_connections_is_cut(proxy: Proxy, dial: Dial) -> None:
    client, heard = dial(), listen(dial())
    proxy.cut("pubsub")
    with pytest.raises(redis.ConnectionError):
        hears(heard)
    assert client.get("nothing") is None
    proxy.cut()
    with pytest.raises(redis.ConnectionError):
        client.get("nothing")


def test_nobody_is_let_in_while_it_refuses(proxy: Proxy, dial: Dial) -> None:
    client = dial()
    proxy.set(refuses=True)
    with pytest.raises(redis.ConnectionError):
        dial()
    assert client.get("nothing") is None
    proxy.heal()
    dial()
