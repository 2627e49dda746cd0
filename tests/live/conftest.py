"""Two nodes on PostgreSQL, for the tests that take it away or compare it with SQLite; and a tenant's room types."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from service.preparation import open_storage
from service.tenants.storage import Storage
from tests.support.fixtures import Cluster
from tests.support.postgres import PostgresServer
from tests.support.room_types import Types
from tests.support.tenants import Tenant


@pytest.fixture(scope="module")
def sql_cluster(make_cluster: Callable[..., Cluster], postgres_server: PostgresServer) -> Iterator[Cluster]:
    cluster = make_cluster(database_url=postgres_server.create_database(), sealing_key=bytes(range(32)))
    for node in [cluster.start_node(), cluster.start_node()]:
        node.wait()
    yield cluster
    for node in cluster.nodes:
        node.stop()


@pytest.fixture
async def sql_storage(sql_cluster: Cluster) -> AsyncIterator[Storage]:
    storage = await open_storage(sql_cluster.settings)
    yield storage
    await storage.close()


@pytest.fixture
async def types(cluster: Cluster, tenant: Tenant) -> AsyncIterator[Types]:
    types = Types(cluster, tenant)
    yield types
    for server in types.servers:
        await server.close()
