"""Redis comes back with the data of some time ago, while no node lives to know it: SQL does."""

import shutil
from collections.abc import Callable

import pytest

from service.preparation import open_storage
from tests.support.fixtures import Cluster
from tests.support.tenants import make_tenant
from tests.support.wire_client import Client

pytestmark = pytest.mark.anyio


@pytest.fixture
def proven(make_cluster: Callable[[], Cluster]) -> Cluster:
    """No node yet, on a Valkey whose restarts lose nothing."""
    cluster = make_cluster()
    cluster.valkey.loses_nothing()
    return cluster


@pytest.mark.parametrize("is_put_back", [True, False], ids=["a backup put back", "all data there"])
async def test_only_data_that_is_gone_ends_an_epoch_when_all_was_stopped(proven: Cluster, is_put_back: bool) -> None:
    node = proven.start_node()
    node.wait()
    storage = await open_storage(proven.settings)
    tenant = await make_tenant(storage)
    await storage.close()
    files, aside = proven.folder / "appendonlydir", proven.folder / "aside"
    alice = await Client.open(node.address, tenant.token("alice"))
    await alice.joins("chat")
    for number in range(6):
        if number == 3:
            shutil.copytree(files, aside)
        last = await alice.publishes("chat", number)
    await alice.close()
    node.stop()
    proven.valkey.kill()
    if is_put_back:
        shutil.rmtree(files)
        aside.rename(files)
    proven.valkey.start()
    again = proven.start_node()
    again.wait()
    bob = await Client.open(again.address, tenant.token("bob"))
    for number in range(6 if is_put_back else 0):  # as many offsets as there were
        await bob.publishes("chat", number)
    joined = await bob.joins("chat", since=last.position)
    assert joined.recovered is not is_put_back
    epochs = {str(position).partition(":")[0] for position in (joined.position, last.position)}
    assert len(epochs) == (2 if is_put_back else 1)
    await bob.close()
    again.stop()
