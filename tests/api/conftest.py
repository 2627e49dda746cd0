"""A real server on real sockets with a real Valkey, and tenants of every kind; one for all tests of this folder."""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from service.settings import read_settings
from service.tenants.audit import OPERATOR
from service.tenants.keys import Sealer, load_or_make_sealing_key
from service.tenants.limits import Limits
from service.tenants.snapshot import SCOPES
from service.tenants.storage import Storage
from tests.api.rest import Rest, Server, Tenant

T = TypeVar("T")

UNHURRIED = Limits(api_requests_per_second=None, publishes_per_second=None, commands_per_second=None)


@contextmanager
def running_server() -> Iterator[Server]:
    """`roomcast serve` with an embedded Valkey and a database of its own."""
    # Not below tmp_path: a failing test's long name would make the paths of sockets too long.
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        environment = {
            **os.environ,
            "ROOMCAST_LOG_FORMAT": "json",
            "ROOMCAST_DATA_DIR": str(data_dir),
            "ROOMCAST_TRUSTED_PROXIES": "127.0.0.1",  # so that a test may have an address of its own
        }
        with (Path(folder) / "log").open("w+") as log:
            command = [sys.executable, "-m", "service", "serve", "--port", "0"]
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
            try:
                yield Server(_address(process, log.name), data_dir, Path(log.name), process.pid)
            finally:
                process.terminate()
                process.wait(20)
                assert process.stdout is not None
                process.stdout.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running
        log = running.log.read_text()
        assert re.search(r"rck_\w+_\w+|rco_\w+|eyJ[\w-]+\.", log) is None, "the log holds a key or a token"
        assert '"incident"' not in log, log


def _address(process: "subprocess.Popen[str]", log: str) -> str:
    assert process.stdout is not None
    first = process.stdout.readline()
    found = re.search(r"http://[0-9.]+:\d+", first)
    assert found is not None, first + Path(log).read_text()
    return found[0]


def with_storage(server: Server, work: Callable[[Storage], Awaitable[T]]) -> T:
    """What `work` makes of the server's own database."""

    async def run() -> T:
        settings = read_settings({"ROOMCAST_DATA_DIR": str(server.data_dir)})
        sealer = Sealer(load_or_make_sealing_key(server.data_dir / "sealing.key"))
        storage = await Storage.open(settings.sql_url, sealer)
        try:
            return await work(storage)
        finally:
            await storage.close()

    return asyncio.run(run())


def make_tenant(server: Server, name: str, limits: Limits = UNHURRIED, origins: tuple[str, ...] = ()) -> Tenant:
    """A tenant made while the node runs."""

    async def work(storage: Storage) -> Tenant:
        new = await storage.tenants.create(OPERATOR, name, limits, origins)
        # Before the node knows the tenant: it looks for changes of known ones once a second.
        keys = {
            scope: (await storage.keys.create_api_key(OPERATOR, new.tenant.id, scope, [scope]))[1]
            for scope in sorted(SCOPES)
        }
        return Tenant(new.tenant.id, name, new.api_key, new.kid, new.secret, keys)

    return with_storage(server, work)


@pytest.fixture(scope="session")
def acme(server: Server) -> Tenant:
    return make_tenant(server, "acme")


@pytest.fixture(scope="session")
def globex(server: Server) -> Tenant:
    return make_tenant(server, "globex")


@pytest.fixture
def rest(server: Server, acme: Tenant) -> Iterator[Rest]:
    with Rest(server, acme.api_key) as client:
        yield client


@pytest.fixture
def operator(server: Server) -> Iterator[Rest]:
    """REST with the operator's token, from where the first start put it."""
    with Rest(server, (server.data_dir / "operator-token").read_text().strip()) as client:
        yield client
