"""Fixtures of the live tests: a cluster of two nodes on one Valkey for the whole run, a tenant and sockets per test."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from service.brokers.keys import Keyspace
from service.preparation import open_storage, prepare_database
from service.settings import Settings
from service.tenants.storage import Storage
from tests.support.canaries import keep_secret, leaks
from tests.support.live_server import LiveNode
from tests.support.postgres import PostgresServer, find_pg_ctl
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant, make_tenant
from tests.support.valkey import Valkey
from tests.support.wire_client import Client


class Cluster:
    """A Valkey, a database and nodes, in a folder of its own; `stop` ends them all."""

    def __init__(self, folder: Path, logs: Path, **settings: Any) -> None:
        self.folder = folder
        self._logs = logs
        self.valkey = Valkey(folder, logs / f"{folder.name}-valkey.log")
        self.valkey.start()
        values: dict[str, Any] = {"connects_per_second_per_address": None, "drain_seconds": 1} | settings
        self.settings = Settings(data_dir=folder / "data", redis_url=self.valkey.url, **values)
        prepare_database(self.settings)
        self.nodes: list[LiveNode] = []

    def start_node(self, **settings: Any) -> LiveNode:
        """One more node, with other settings where they are given; `wait` until it serves."""
        log = self._logs / f"{self.folder.name}-node-{len(self.nodes)}.log"
        values = {name: getattr(self.settings, name) for name in Settings.__struct_fields__} | settings
        node = LiveNode(Settings(**values), log)
        self.nodes.append(node)
        return node.start()

    async def settles(self) -> None:
        """Wait until every node serves and this run of Redis knows them all: an earlier fault is over."""
        for node in self.nodes:
            await node.becomes(200, within_seconds=20)
        deadline = time.monotonic() + 20
        while not self._knows_all():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        for node in self.nodes:
            await node.becomes(200)

    def _knows_all(self) -> bool:
        run = self.valkey.client.info("server")["run_id"].encode()
        known = self.valkey.client.hget(Keyspace.SYSTEM, "run")
        return known == run and self.valkey.client.zcard(Keyspace.LEASES) >= len(self.nodes)

    def stop(self) -> None:
        """End all nodes in good order, then the Valkey."""
        self.valkey.thaw()
        for node in self.nodes:
            node.stop()
        self.valkey.stop()


NewTenant = Callable[..., Awaitable[Tenant]]


class Connect(Protocol):
    """Opens a socket: of alice, with all rights, on the first node, unless something else is said."""

    async def __call__(self, user: str = "alice", **options: Any) -> Client: ...


@pytest.fixture(scope="session")
def logs() -> Iterator[Path]:
    """Where every server of the run logs; at the end nothing secret may stand there."""
    with tempfile.TemporaryDirectory(prefix="rcl", dir="/tmp") as folder:
        yield Path(folder)
        found = leaks(sorted(Path(folder).iterdir()))
        assert not found, "secrets in logs:\n" + "\n".join(found[:20])


@pytest.fixture(scope="session")
def make_cluster(logs: Path) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters of a test's own; what is still up at the run's end is ended."""
    made: list[Cluster] = []
    with tempfile.TemporaryDirectory(prefix="rc", dir="/tmp") as folder:  # a socket's path ends at 107 bytes

        def make(**settings: Any) -> Cluster:
            place = Path(folder) / str(len(made))
            place.mkdir()
            made.append(Cluster(place, logs, **settings))
            return made[-1]

        yield make
        for cluster in made:
            cluster.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The run's PostgreSQL; a test that needs one is skipped where there is none."""
    pg_ctl = find_pg_ctl()
    if pg_ctl is None:
        pytest.skip("PostgreSQL is not installed")
    server = PostgresServer(pg_ctl)
    yield server
    server.stop()
    shutil.rmtree(server.folder)


@pytest.fixture(scope="session")
def cluster(make_cluster: Callable[[], Cluster]) -> Cluster:
    """Two nodes that all tests share; nobody hurts them."""
    cluster = make_cluster()
    for node in [cluster.start_node(), cluster.start_node()]:
        node.wait()
    return cluster


@pytest.fixture
def node(cluster: Cluster) -> LiveNode:
    """The first node."""
    return cluster.nodes[0]


@pytest.fixture
def other_node(cluster: Cluster) -> LiveNode:
    """The second node."""
    return cluster.nodes[1]


@pytest.fixture
async def storage(cluster: Cluster) -> AsyncIterator[Storage]:
    """The nodes' database."""
    storage = await open_storage(cluster.settings)
    yield storage
    await storage.close()


@pytest.fixture
def operator_token(cluster: Cluster) -> str:
    """What opens the operator's paths of both nodes."""
    return keep_secret(cluster.settings.operator_token_file.read_text().strip())


@pytest.fixture
def new_tenant(storage: Storage) -> NewTenant:
    """Makes tenants, with limits and origins, while the nodes run."""

    async def make(**options: Any) -> Tenant:
        return await make_tenant(storage, **options)

    return make


@pytest.fixture
async def tenant(storage: Storage) -> Tenant:
    """A tenant of the test's own."""
    return await make_tenant(storage)


@pytest.fixture
async def connect(node: LiveNode, tenant: Tenant) -> AsyncIterator[Connect]:
    """Opens sockets, and closes them after the test.

    Options: `tenant`, `at` (a node), `token`, `claims` of the token, and those of `Client.open`.
    """
    opened: list[Client] = []

    async def open_socket(
        user: str = "alice",
        *,
        at: LiveNode = node,
        tenant: Tenant = tenant,
        token: str | None = None,
        claims: Any = None,
        **options: Any,
    ) -> Client:
        token = tenant.token(user, **(claims or {})) if token is None else token
        client = await Client.open(at.address, token, **options)
        opened.append(client)
        return client

    yield open_socket
    for client in opened:
        await client.close()


@pytest.fixture
async def rest(node: LiveNode, tenant: Tenant) -> AsyncIterator[Rest]:
    """The tenant's server, at the first node."""
    async with Rest(node.address, tenant.api_key) as rest:
        yield rest


@pytest.fixture(params=[False, True], ids=["json", "msgpack"])
def binary(request: pytest.FixtureRequest) -> bool:
    """Both subprotocols."""
    return bool(request.param)
