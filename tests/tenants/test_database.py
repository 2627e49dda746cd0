import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from service.protocol.errors import Invalid
from service.tenants.database import make_engine, parse_database_url, sql_as_unavailable
from tests.support.postgres import PostgresServer


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:////var/lib/x.db", "sqlite+aiosqlite:////var/lib/x.db"),
        ("sqlite+aiosqlite:///x.db", "sqlite+aiosqlite:///x.db"),
        ("postgres://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgresql://u@h/d?sslmode=require", "postgresql+asyncpg://u@h/d?ssl=require"),
    ],
)
def test_a_url_gets_its_asynchronous_driver(given: str, used: str) -> None:
    assert parse_database_url(given).render_as_string(hide_password=False) == used


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "nonsense secret", "", "postgresql://h:secret/d"])
def test_a_bad_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_database_url(url)
    assert "secret" not in str(refused.value)


@pytest.mark.anyio
@pytest.mark.parametrize("mistake", ["SELECT no_such_column", "SELECT E'\\000'", "SELECT 'x'::integer", "SELECT 1 / 0"])
async def test_a_mistake_of_ours_is_not_told_as_a_database_out_of_reach(
    postgres_server: PostgresServer, mistake: str
) -> None:
    engine = make_engine(await anyio.to_thread.run_sync(postgres_server.create_database))
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError):
            async with sql_as_unavailable():
                await connection.execute(text(mistake))
    await engine.dispose()
