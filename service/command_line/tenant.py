"""`roomcast tenant`: make, list and delete tenants. Nodes that run know of it within a second."""

from collections.abc import Sequence

import msgspec
import rich_click as click

from service.command_line.options import failures, option, setting_options, settings_of
from service.preparation import DATABASE_ERRORS, TenantKeys, prepare_database, with_storage
from service.tenants.audit import COMMAND_LINE
from service.tenants.limits import Limits, apply_limits, parse_limit


@click.group()
def tenant() -> None:
    """Tenants: each one's users, rooms and keys are its own."""


@tenant.command()
@click.argument("name")
@option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    envvar="ROOMCAST_LIMIT",
    help="A limit other than the default.",
)
@option(
    "--origin",
    "origins",
    multiple=True,
    metavar="URL",
    envvar="ROOMCAST_ORIGIN",
    help="An origin from which browsers may connect; none given: any.",
)
@option("--json", "as_json", is_flag=True, envvar="ROOMCAST_JSON", help="Print JSON.")
@setting_options("data_dir", "database_url")
def create(name: str, limits: Sequence[str], origins: Sequence[str], as_json: bool, **texts: str | None) -> None:
    """Make a tenant NAME and print its signing key and an API key of all scopes; they are shown this once."""
    settings = settings_of(texts)
    with failures(*DATABASE_ERRORS):
        changed = apply_limits(Limits(), dict(map(parse_limit, limits)))
        prepare_database(settings)
        new = with_storage(settings, lambda storage: storage.tenants.create(COMMAND_LINE, name, changed, origins))
    keys = TenantKeys.of(new)
    if as_json:
        click.echo(msgspec.json.encode(keys))
        return
    click.echo(f"Tenant {keys.tenant} is made. Keep its keys now, they are not shown again:")
    click.echo(f"  signing key  {keys.signing_key.kid} ({keys.signing_key.algorithm})  {keys.signing_key.secret}")
    click.echo(f"  API key      {keys.api_key}")


@tenant.command("list")
@option("--json", "as_json", is_flag=True, envvar="ROOMCAST_JSON", help="Print JSON.")
@setting_options("data_dir", "database_url")
def list_tenants(as_json: bool, **texts: str | None) -> None:
    """List the tenants."""
    settings = settings_of(texts)
    with failures(*DATABASE_ERRORS):
        tenants = with_storage(settings, lambda storage: storage.tenants.page("", 2**31 - 1))
    if as_json:
        click.echo(msgspec.json.encode(tenants))
        return
    for each in tenants:
        click.echo(f"{each.name}  {each.state}  {' '.join(each.origins) or 'any origin'}")


@tenant.command()
@click.argument("name")
@option("--yes", is_flag=True, envvar="ROOMCAST_YES", help="Don't ask.")
@setting_options("data_dir", "database_url")
def delete(name: str, yes: bool, **texts: str | None) -> None:
    """Delete the tenant NAME with its keys: its clients are closed, its tokens end."""
    settings = settings_of(texts)
    if not yes:
        click.confirm(f"Delete the tenant {name} and close its clients?", abort=True)
    with failures(*DATABASE_ERRORS):
        with_storage(settings, lambda storage: storage.tenants.delete(COMMAND_LINE, name))
    click.echo(f"Tenant {name} is deleted.")
