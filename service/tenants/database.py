"""SQLite or PostgreSQL by URL: the engine, its failures as Unavailable, and the migrations."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import service
from service.protocol.errors import Invalid, Unavailable

# A client waits for its handshake at most 5 s; what SQL has not said by then is a 503.
SQL_TIMEOUT_SECONDS = 3.0

# Any number will do that no other program takes in the same database: "roomcast" in ASCII, cut to 63 bits.
_MIGRATION_LOCK = int.from_bytes(b"roomcast") >> 1

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


def parse_database_url(database_url: str) -> URL:
    """The URL with its asynchronous driver. Raises Invalid; the text, which may hold a password, is never in it."""
    try:
        url = make_url(database_url)
        driver = _DRIVERS[url.drivername]
    except (ArgumentError, KeyError, ValueError):
        raise Invalid(
            "the database URL must be sqlite:///PATH or postgresql://USER@HOST/NAME", "$.database_url"
        ) from None
    if driver == "postgresql+asyncpg" and "sslmode" in url.query:
        # libpq's name of it, as hosters print it; asyncpg calls it ssl.
        url = url.update_query_dict({"ssl": url.query["sslmode"]}).difference_update_query(["sslmode"])
    return url.set(drivername=driver)


def make_engine(database_url: str, *, statement_timeout_seconds: float | None = SQL_TIMEOUT_SECONDS) -> AsyncEngine:
    """An engine for the URL. With execution option `writes`, SQLite takes its write lock at BEGIN."""
    url = parse_database_url(database_url)
    if url.drivername == "sqlite+aiosqlite":
        # isolation_level None: the driver opens no transactions of its own, see _begin_sqlite.
        connect_args: dict[str, Any] = {"timeout": SQL_TIMEOUT_SECONDS, "isolation_level": None}
        engine = create_async_engine(url, connect_args=connect_args, pool_timeout=SQL_TIMEOUT_SECONDS)
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    connect_args = {"timeout": SQL_TIMEOUT_SECONDS, "command_timeout": statement_timeout_seconds}
    # pre_ping: a restarted server costs no request an error.
    return create_async_engine(url, connect_args=connect_args, pool_timeout=SQL_TIMEOUT_SECONDS, pool_pre_ping=True)


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    # WAL: readers never wait for a writer. NORMAL is its durable setting but for the last commits before a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once with SQLITE_BUSY when another wrote in between;
    # one that takes the write lock at BEGIN waits for its turn.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@asynccontextmanager
async def sql_as_unavailable(*, changing: bool = False) -> AsyncIterator[None]:
    """A database that is out of reach, locked, full or too slow becomes Unavailable; mistakes of ours stay theirs."""
    try:
        async with asyncio.timeout(2 * SQL_TIMEOUT_SECONDS):
            yield
    except (IntegrityError, ProgrammingError, DataError, NotSupportedError):
        raise
    except (
        DBAPIError,
        PoolTimeoutError,
        TimeoutError,
        OSError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
    ) as error:
        # SQLAlchemy has no class of its own for asyncpg's data errors (SQLSTATE 22...: a text with NUL, too long).
        if str(getattr(getattr(error, "orig", None), "sqlstate", "")).startswith("22"):
            raise
        unknown = "; it is unknown whether the change was stored" if changing else ""
        raise Unavailable(f"the database is out of reach{unknown}") from None


async def check_reachable(engine: AsyncEngine) -> None:
    """Raises Unavailable with the reason when SQLite's file cannot be opened.

    aiosqlite 0.22 would tell it too, but leaves a thread behind that writes a traceback when the loop ends meanwhile.
    """
    path = engine.url.database
    if engine.dialect.name != "sqlite" or path is None:
        return
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        raise Unavailable(f"the database {path} cannot be opened: {error}") from None


# Migrations.


class NotMigrated(Exception):
    """The database has no tables of ours, or those of an older version; says what to do."""


def check_migrated(connection: Connection) -> None:
    """Raises NotMigrated unless the schema is the newest that this version knows, or a newer one."""
    scripts = ScriptDirectory.from_config(alembic_config())
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision == scripts.get_current_head():
        return
    if revision is None or any(script.revision == revision for script in scripts.walk_revisions()):
        raise NotMigrated("the database is not migrated to this version: run roomcast db upgrade")


def upgrade_database(database_url: str) -> None:
    """Bring the database to the newest schema; two processes may do it at once. Not to be called in an event loop.

    Raises Unavailable when the database is out of reach.
    """
    asyncio.run(_migrate(database_url, "head"))


def downgrade_database(database_url: str, revision: str) -> None:
    """Take the schema back to `revision` (`base`: no tables). Not to be called in an event loop."""
    asyncio.run(_migrate(database_url, revision, upgrade=False))


async def _migrate(database_url: str, revision: str, *, upgrade: bool = True) -> None:
    engine = make_engine(database_url, statement_timeout_seconds=None).execution_options(writes=True)
    try:
        # One transaction for all: BEGIN IMMEDIATE on SQLite, an advisory lock on PostgreSQL let one in after the other.
        await check_reachable(engine)
        async with sql_as_unavailable(), engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            await connection.run_sync(_run_alembic, revision, upgrade)
    finally:
        await engine.dispose()


def _run_alembic(connection: Connection, revision: str, upgrade: bool) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    (command.upgrade if upgrade else command.downgrade)(config, revision)


def alembic_config() -> Config:
    """Alembic's configuration; the scripts are `migrations/` of the source tree, `service/migrations/` of a wheel."""
    package = Path(service.__file__).parent
    installed, source = package / "migrations", package.parent / "migrations"
    config = Config()
    config.set_main_option("script_location", str(installed if installed.is_dir() else source).replace("%", "%%"))
    return config
