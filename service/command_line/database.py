"""`roomcast db`."""

import rich_click as click

from service.command_line.options import failures, setting_options, settings_of
from service.preparation import DATABASE_ERRORS, prepare_database


@click.group("db")
def database() -> None:
    """The database of tenants and keys."""


@database.command()
@setting_options("data_dir", "database_url")
def upgrade(**texts: str | None) -> None:
    """Bring the database to the newest schema; `serve` does it by itself."""
    settings = settings_of(texts)
    with failures(*DATABASE_ERRORS):
        prepare_database(settings)
    click.echo("The database has the newest schema.")
