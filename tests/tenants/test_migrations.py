import asyncio
import multiprocessing

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect

from service.tenants.database import downgrade_database, make_engine, upgrade_database
from service.tenants.tables import metadata


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))


def table_names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


async def look(database_url: str) -> tuple[list[object], set[str]]:
    engine = make_engine(database_url)
    async with engine.connect() as connection:
        found = await connection.run_sync(differences), await connection.run_sync(table_names)
    await engine.dispose()
    return found


OURS = {"tenants", "signing_keys", "api_keys", "system"}


def test_the_migrations_make_the_tables_of_the_models(database_url: str) -> None:
    assert asyncio.run(look(database_url)) == ([], {*OURS, "alembic_version"})


def test_migrations_go_down_and_up_again(database_url: str) -> None:
    downgrade_database(database_url, "base")
    assert asyncio.run(look(database_url))[1] == {"alembic_version"}
    upgrade_database(database_url)
    assert asyncio.run(look(database_url)) == ([], {*OURS, "alembic_version"})


def test_processes_that_migrate_at_once_wait_for_each_other(empty_database_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=upgrade_database, args=(empty_database_url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert asyncio.run(look(empty_database_url))[0] == []
