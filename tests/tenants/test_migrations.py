import asyncio
import multiprocessing
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect

from service.tenants.database import downgrade_database, make_engine, upgrade_database
from service.tenants.tables import ContractVersionRow, metadata


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))


def table_names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def on_database(database_url: str, *works: Callable[[Connection], Any]) -> list[Any]:
    """What each of `works` finds there, in one transaction."""

    async def run() -> list[Any]:
        engine = make_engine(database_url)
        async with engine.execution_options(writes=True).begin() as connection:
            found = [await connection.run_sync(work) for work in works]
        await engine.dispose()
        return found

    return asyncio.run(run())


def test_the_migrations_make_the_tables_of_the_models(database_url: str) -> None:
    expected = {*metadata.tables, "alembic_version"}
    assert on_database(database_url, differences, table_names) == [[], expected]


def test_every_table_of_a_tenant_goes_with_it_or_outlives_it_on_purpose() -> None:
    outliving = {"tenants", "system", "audit", "deletions", "usage_minutes", "usage_hours"}
    cascading = {
        table.name
        for table in metadata.tables.values()
        for key in table.foreign_keys
        if key.column.table.name == "tenants" and key.ondelete == "CASCADE"
    }
    assert set(metadata.tables) - outliving == cascading


@pytest.mark.parametrize("revision", ["base", "0001", "0002", "0003", "0004"])
def test_migrations_go_down_and_up_again(database_url: str, revision: str) -> None:
    downgrade_database(database_url, revision)
    if revision == "base":
        assert on_database(database_url, table_names) == [{"alembic_version"}]
    upgrade_database(database_url)
    assert on_database(database_url, differences) == [[]]


def test_a_tenant_and_its_keys_live_through_a_downgrade_and_the_upgrade_after_it(database_url: str) -> None:
    tenant = "INSERT INTO tenants VALUES ('a00000000001', 'acme', 'active', '{}', '[]', 1, 5)"
    key = (
        "INSERT INTO api_keys (tenant_id, key_id, name, hash, scopes, created_at_ms, last_used_at_ms)"
        " VALUES ('a00000000001', 'k00000000001', 'first', 'x', '[\"read\"]', 5, 7)"
    )
    on_database(database_url, *(lambda connection, sql=sql: connection.execute(sa.text(sql)) for sql in (tenant, key)))
    downgrade_database(database_url, "0001")
    upgrade_database(database_url)
    look = sa.text("SELECT name, created_at_ms, last_used_at_ms FROM api_keys")
    assert on_database(database_url, lambda connection: connection.execute(look).all()) == [[("first", 5, None)]]


def test_room_types_from_before_contracts_are_their_tenants_first_version(database_url: str) -> None:
    downgrade_database(database_url, "0003")
    tenant = "INSERT INTO tenants VALUES ('a0000000000{0}', 'acme{0}', 'active', '{{}}', '[]', 1, 5)"
    rules = """INSERT INTO room_types VALUES ('a00000000001', '{0}', '{0}', '{{"pattern": "{0}"}}', {1})"""
    statements = [tenant.format(1), tenant.format(2), rules.format("chat", 7), rules.format("news", 9)]
    on_database(
        database_url, *(lambda connection, sql=sql: connection.execute(sa.text(sql)) for sql in escaped(statements))
    )
    upgrade_database(database_url)
    look = sa.select(ContractVersionRow.__table__)
    (found,) = on_database(database_url, lambda connection: connection.execute(look).all())
    types = {name: {"pattern": name} for name in ("chat", "news")}
    assert [tuple(row) for row in found] == [("a00000000001", 1, types, 9, "system", "")]


def escaped(statements: list[str]) -> list[str]:
    """A colon in a statement is no parameter."""
    return [statement.replace(":", r"\:") for statement in statements]


def test_processes_that_migrate_at_once_wait_for_each_other(empty_database_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=upgrade_database, args=(empty_database_url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert on_database(empty_database_url, differences) == [[]]
