"""A database for each test: SQLite always, PostgreSQL where its programs are installed."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.tenants.database import upgrade_database
from service.tenants.keys import Sealer
from service.tenants.storage import Storage
from tests.tenants.clock import Clock


def find_pg_ctl() -> Path | None:
    """pg_ctl beside its initdb and postgres; Debian keeps them off the PATH."""
    on_path = shutil.which("pg_ctl")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return Path(on_path) if on_path else (installed[-1] if installed else None)


class PostgresServer:
    """A server in a folder of its own, reached by its Unix socket alone; it refuses to run as root."""

    def __init__(self, pg_ctl: Path) -> None:
        self._programs = pg_ctl.resolve().parent
        self.folder = Path(tempfile.mkdtemp(prefix="roomcast-pg-"))
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(self.folder, "postgres", "postgres")
        # --no-sync, -F: the data lives as long as the tests do.
        self._run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--pgdata=data")
        self.start()

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -F"
        self._run("pg_ctl", "--pgdata=data", "--wait", "--log=log", f"--options={options}", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "--pgdata=data", "--wait", "--mode=immediate", "stop")

    def create_database(self) -> str:
        name = f"test_{secrets.token_hex(8)}"
        self._run("createdb", f"--host={self.folder}", "--username=postgres", name)
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._programs / program), *arguments]
        # No pipes: pg_ctl's server would inherit them, and the pipe's end never come.
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    pg_ctl = find_pg_ctl()
    if pg_ctl is None:
        pytest.skip("PostgreSQL is not installed")
    server = PostgresServer(pg_ctl)
    yield server
    server.stop()
    shutil.rmtree(server.folder)


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
