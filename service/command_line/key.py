"""`roomcast key`: the API keys of a tenant's servers, and below it the signing keys."""

from collections.abc import Sequence

import rich_click as click

from service.command_line.options import Instant, option, stored
from service.command_line.signing_key import signing_key
from service.command_line.stored import ask_for_all, ask_for_tenant, show, show_all
from service.tenants.audit import COMMAND_LINE
from service.tenants.records import ApiKeyRecord
from service.tenants.resources import describe_api_key, describe_new_api_key
from service.tenants.snapshot import SCOPES
from service.tenants.storage import Storage


@click.group()
def key() -> None:
    """API keys, with which a tenant's servers ask."""


@key.command()
@click.argument("tenant")
@option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(sorted(SCOPES)),
    envvar="ROOMCAST_SCOPE",
    help="What it opens; once for each.",
)
@option("--name", default="", envvar="ROOMCAST_NAME", help="What people know it by.")
@option("--expires-at", type=Instant(), envvar="ROOMCAST_EXPIRES_AT", help="As 2027-01-31T00:00:00Z; else never.")
@stored
def create(
    tenant: str, scopes: Sequence[str], name: str, expires_at: int | None, as_json: bool, **texts: str | None
) -> None:
    """Make an API key of TENANT and print it; it is shown this once."""

    async def work(storage: Storage, tenant_id: str) -> tuple[ApiKeyRecord, str]:
        return await storage.keys.create_api_key(COMMAND_LINE, tenant_id, name, scopes, expires_at)

    made, text = ask_for_tenant(texts, tenant, work)
    show(describe_new_api_key(made, text), as_json)


@key.command("list")
@click.argument("tenant")
@stored
def list_keys(tenant: str, as_json: bool, **texts: str | None) -> None:
    """List the API keys of TENANT, expired and revoked ones too."""
    show_all(map(describe_api_key, ask_for_all(texts, tenant, lambda storage: storage.keys.page_api_keys)), as_json)


@key.command()
@click.argument("tenant")
@click.argument("key_id")
@stored
def revoke(tenant: str, key_id: str, as_json: bool, **texts: str | None) -> None:
    """Refuse requests with the API key KEY_ID of TENANT."""

    async def work(storage: Storage, tenant_id: str) -> ApiKeyRecord:
        return await storage.keys.revoke_api_key(COMMAND_LINE, tenant_id, key_id)

    show(describe_api_key(ask_for_tenant(texts, tenant, work)), as_json)


key.add_command(signing_key)
