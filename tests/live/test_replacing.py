"""`roomcast serve` whose workers are replaced, and that ends, with real nodes and sockets."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from service.preparation import open_storage
from service.settings import Settings
from tests.support.checker import check
from tests.support.live_server import LiveServe
from tests.support.load import KEPT_MESSAGES, converse
from tests.support.processes import all_end
from tests.support.records import Acknowledged, Entered, Told
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant, make_tenant
from tests.support.wire_client import Client, Refused

pytestmark = pytest.mark.anyio
WORKERS = 2
Serve = Callable[..., LiveServe]


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("serve")
    return Settings(data_dir=folder, connects_per_second_per_address=None)


@pytest.fixture
def serve(settings: Settings, logs: Path) -> Iterator[Serve]:
    started: list[LiveServe] = []

    def start(workers: int, drain_seconds: float = 1) -> LiveServe:
        log = logs / f"{settings.data_dir.name}.log"
        own = msgspec.structs.replace(settings, workers=workers, drain_seconds=drain_seconds)
        started.append(LiveServe(own, log))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
async def crowd(serve: Serve, settings: Settings) -> AsyncIterator[tuple[LiveServe, Tenant]]:
    server = serve(WORKERS)
    storage = await open_storage(settings)
    yield server, await make_tenant(storage, max_connections_per_user=None)
    await storage.close()


async def test_workers_replaced_one_after_the_other_lose_nothing_on_their_port(crowd: tuple[LiveServe, Tenant]) -> None:
    server, tenant = crowd
    before = server.workers
    assert len(before) == WORKERS

    async def faults() -> None:
        await asyncio.sleep(1)
        server.signal(signal.SIGHUP)
        deadline = time.monotonic() + 40
        while before & server.workers or len(server.workers) != WORKERS:
            assert time.monotonic() < deadline
            try:  # there is always somebody
                await (await Client.open(server.address, tenant.token("probe"))).close()
            except Refused as refused:  # it was accepted a moment before the drain
                await asyncio.sleep(refused.problem["retry_after_ms"] / 1000)
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)

    records = await converse(tenant, [server], faults)
    assert check(records, KEPT_MESSAGES) == []
    assert not [record for record in records if isinstance(record, Told)]
    entered = [record for record in records if isinstance(record, Entered)]
    assert not [record for record in entered if record.recovered is False]
    for participant in {(record.subscriber, record.room) for record in entered}:
        times = sum((record.subscriber, record.room) == participant for record in entered)
        assert 2 <= times <= 1 + WORKERS  # once away from each of the old ones, at most
    assert sum(isinstance(record, Acknowledged) for record in records) > 400


async def test_ctrl_c_with_a_handful_of_sockets_takes_a_moment(serve: Serve, settings: Settings) -> None:
    server = serve(1)
    storage = await open_storage(settings)
    tenant = await make_tenant(storage)
    clients = [await Client.open(server.address, tenant.token(f"u{number}")) for number in range(5)]
    started = time.monotonic()
    server.signal(signal.SIGINT)
    for client in clients:
        closing = await client.is_closed_with(1001)
        assert closing is not None
        assert closing.reconnect
    assert await asyncio.to_thread(server.ended) == 0
    assert time.monotonic() - started < 3
    await storage.close()


async def test_a_second_ctrl_c_cuts_the_drain_short(serve: Serve, settings: Settings) -> None:
    server = serve(1, drain_seconds=60)
    storage = await open_storage(settings)
    tenant = await make_tenant(storage, max_connections_per_user=None)
    clients = [await Client.open(server.address, tenant.token()) for _ in range(60)]
    workers = server.workers
    closings = [asyncio.create_task(client.is_closed_with(1001)) for client in clients]
    started = time.monotonic()
    server.signal(signal.SIGINT)
    await asyncio.wait(closings, return_when=asyncio.FIRST_COMPLETED)
    server.signal(signal.SIGINT)
    assert all(await asyncio.gather(*closings))
    assert await asyncio.to_thread(server.ended) == 0
    assert time.monotonic() - started < 3
    assert all_end(workers)
    for client in clients:
        client.drop()
    await storage.close()


async def test_a_worker_drained_over_rest_leaves_its_port_to_the_others(
    crowd: tuple[LiveServe, Tenant], settings: Settings
) -> None:
    server, tenant = crowd
    client = await Client.open(server.address, tenant.token())
    async with Rest(server.address, settings.operator_token_file.read_text().strip()) as operator:
        while (await operator.ask("POST", f"/v1/nodes/{client.welcome.node}/drain")).status_code == 404:
            await asyncio.sleep(0.1)  # until the other worker has heard of it
    assert await client.is_closed_with(1001) is not None
    while len(server.workers) > 1:
        await asyncio.sleep(0.02)
    for _ in range(5):
        again = await Client.open(server.address, tenant.token())
        assert again.welcome.node != client.welcome.node
        await again.close()
    assert len(server.workers) == 1  # it is not started again
