"""`roomcast tenant`: make, look at, change and delete tenants. Nodes that run know of it within a second or two."""

from collections.abc import Sequence

import msgspec
import rich_click as click

from service.command_line.options import F, failures, option, settings_of, stored
from service.command_line.stored import ask, ask_for_tenant, show, show_all
from service.preparation import DATABASE_ERRORS, TenantKeys, prepare_database, with_storage
from service.tenants.audit import COMMAND_LINE
from service.tenants.limits import Limits, apply_limits, parse_limit
from service.tenants.records import Tenant
from service.tenants.resources import describe_deletion, describe_tenant, read_described
from service.tenants.storage import Storage
from service.tenants.stored_tenants import TenantState

_EACH = 1_000  # tenants read at a time


@click.group()
def tenant() -> None:
    """Tenants: each one's users, rooms and keys are its own."""


def limits_and_origins(command: F) -> F:
    """The options of what `create` and `set` give a tenant."""
    limit = option("--limit", "limits", multiple=True, metavar="NAME=VALUE", envvar="ROOMCAST_LIMIT", help="A limit.")
    origin = option(
        "--origin",
        "origins",
        multiple=True,
        metavar="URL",
        envvar="ROOMCAST_ORIGIN",
        help="An origin from which browsers may connect.",
    )
    return limit(origin(command))


if_version = option("--if-version", type=int, envvar="ROOMCAST_IF_VERSION", help="Only if nothing changed since.")


@tenant.command()
@click.argument("name")
@limits_and_origins
@stored
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
@option("--prefix", default="", envvar="ROOMCAST_PREFIX", help="What their names begin with.")
@stored
def list_tenants(prefix: str, as_json: bool, **texts: str | None) -> None:
    """List the tenants."""

    async def work(storage: Storage) -> list[Tenant]:
        found: list[Tenant] = []
        while page := await storage.tenants.page(found[-1].name if found else "", _EACH, prefix):
            found += page
        return found

    tenants = ask(texts, work)
    if as_json:
        show_all(map(describe_tenant, tenants), as_json)
        return
    for each in tenants:
        click.echo(f"{each.name}  {each.state}  {' '.join(each.origins) or 'any origin'}")


@tenant.command("show")
@click.argument("name")
@stored
def show_tenant(name: str, as_json: bool, **texts: str | None) -> None:
    """Show the tenant NAME with all limits in force or, while it is being deleted, how far that got."""
    show(ask(texts, lambda storage: read_described(storage, name)), as_json)


@tenant.command("set")
@click.argument("name")
@limits_and_origins
@option("--any-origin", is_flag=True, envvar="ROOMCAST_ANY_ORIGIN", help="Browsers may connect from any origin.")
@if_version
@stored
def change(
    name: str,
    limits: Sequence[str],
    origins: Sequence[str],
    any_origin: bool,
    if_version: int | None,
    as_json: bool,
    **texts: str | None,
) -> None:
    """Change limits and origins of the tenant NAME: limits that are not given stay, the origins are replaced."""
    if (not limits and not origins and not any_origin) or (origins and any_origin):
        raise click.UsageError("Give --limit, and --origin or --any-origin.")
    with failures(*DATABASE_ERRORS):
        changes = dict(map(parse_limit, limits))

    async def work(storage: Storage, tenant_id: str) -> Tenant:
        return await storage.tenants.change(
            COMMAND_LINE,
            tenant_id,
            version=if_version,
            limit_changes=changes,
            origins=origins if origins or any_origin else None,
        )

    show(describe_tenant(ask_for_tenant(texts, name, work)), as_json)


@tenant.command()
@click.argument("name")
@if_version
@stored
def suspend(name: str, if_version: int | None, as_json: bool, **texts: str | None) -> None:
    """Close the sockets of the tenant NAME, and refuse its keys and tokens."""
    _set_state(name, "suspended", if_version, as_json, texts)


@tenant.command()
@click.argument("name")
@if_version
@stored
def resume(name: str, if_version: int | None, as_json: bool, **texts: str | None) -> None:
    """Take the keys and tokens of the tenant NAME again."""
    _set_state(name, "active", if_version, as_json, texts)


def _set_state(name: str, state: TenantState, version: int | None, as_json: bool, texts: dict[str, str | None]) -> None:
    async def work(storage: Storage, tenant_id: str) -> Tenant:
        return await storage.tenants.set_state(COMMAND_LINE, tenant_id, state, version)

    changed = describe_tenant(ask_for_tenant(texts, name, work))
    if as_json:
        show(changed, as_json)
    else:
        click.echo(f"Tenant {name} is {changed.state}.")


@tenant.command()
@click.argument("name")
@option("--yes", is_flag=True, envvar="ROOMCAST_YES", help="Don't ask.")
@stored
def delete(name: str, yes: bool, as_json: bool, **texts: str | None) -> None:
    """Delete the tenant NAME with its keys: its clients are closed, its tokens end, nodes remove its rooms."""
    if not yes:
        click.confirm(f"Delete the tenant {name} and close its clients?", abort=True)
    deletion = ask(texts, lambda storage: storage.tenants.delete(COMMAND_LINE, name))
    if as_json:
        show(describe_deletion(deletion), as_json)
    else:
        click.echo(f"Tenant {name} is deleted.")
