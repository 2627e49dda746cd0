"""What holds on one Redis holds on a Cluster: the tests of the port again, on three primaries and their replicas."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis as redis_py

from tests.brokers import (
    test_cluster,
    test_lease,
    test_membership,
    test_messages,
    test_presence,
    test_publishing,
    test_registry,
)
from tests.support.valkey_cluster import ValkeyCluster

MODULES: list[ModuleType] = [
    *(test_messages, test_publishing, test_membership, test_presence, test_registry, test_lease, test_cluster),
]
# These count one server's calls or its announcements, or stop it; or are slow and tell nothing of a Cluster.
LEFT_OUT = re.compile(
    "one_call_and_one_announcement|batch_ends_at_its_messages|direct_message_reaches_each|told_when_it_is_back"
    "|grace_whose_node_is_gone|survives_a_bug|keys_in_use_again|keys_that_nobody_uses|under_a_key_end"
)


class _Client(redis_py.RedisCluster):
    """Asks every primary what redis-py asks any server."""

    def execute_command(self, *words: Any, **options: Any) -> Any:
        if words[0] in ("CONFIG SET", "SCRIPT FLUSH", "FLUSHALL", "KEYS", "CLIENT KILL"):
            options["target_nodes"] = self.PRIMARIES
        return super().execute_command(*words, **options)  # type: ignore[no-untyped-call]


class ClusterServer:
    """As `conftest.Server`, for tests that only look at the data."""

    def __init__(self, cluster: ValkeyCluster) -> None:
        self.url = cluster.url
        self.client: Any = _Client(host="127.0.0.1", port=cluster.ports[0])


@pytest.fixture(scope="module")
def started_server() -> Iterator[ClusterServer]:
    with tempfile.TemporaryDirectory(prefix="rc", dir="/tmp") as folder:
        cluster = ValkeyCluster(Path(folder))
        cluster.start()
        server = ClusterServer(cluster)
        yield server
        server.client.close()
        cluster.stop()


@pytest.fixture
def server(started_server: ClusterServer) -> ClusterServer:
    started_server.client.config_set("maxmemory", 0)
    started_server.client.flushall()
    return started_server


for _module in MODULES:
    for _name, _test in vars(_module).items():
        if _name.startswith("test_") and callable(_test) and not LEFT_OUT.search(_name):
            assert _name not in globals(), f"two tests are called {_name}"
            globals()[_name] = _test
