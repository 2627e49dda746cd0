import pytest

from service.protocol.errors import Invalid
from service.tenants.database import parse_database_url


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
