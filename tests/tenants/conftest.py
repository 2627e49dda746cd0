"""A database for each test: SQLite always, PostgreSQL where its programs are installed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.tenants.database import upgrade_database
from service.tenants.keys import Sealer
from service.tenants.storage import Storage
from tests.support.postgres import PostgresServer
from tests.tenants.clock import Clock


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'roomcast.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database()


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    upgrade_database(empty_database_url)
    return empty_database_url


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(bytes(range(32)))


@pytest.fixture
async def storage(database_url: str, sealer: Sealer, anyio_backend: str) -> AsyncIterator[Storage]:
    opened = await Storage.open(database_url, sealer)
    yield opened
    await opened.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)
