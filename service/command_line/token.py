"""`roomcast token`: sign a token as a tenant's server would."""

import time
from collections.abc import Sequence

import msgspec
import rich_click as click

from service.command_line.options import failures, option, setting_options, settings_of
from service.preparation import DATABASE_ERRORS, with_storage
from service.tenants.snapshot import TenantSnapshot
from service.tenants.storage import Storage
from service.tenants.tokens import sign_token


@click.command()
@option("--tenant", required=True, envvar="ROOMCAST_TENANT", help="The tenant that signs.")
@option("--user", required=True, envvar="ROOMCAST_USER", help="Who the token is for.")
@option(
    "--rooms",
    metavar="JSON",
    envvar="ROOMCAST_ROOMS",
    help="""Rights by room pattern, as '{"chat:*": ["join", "publish"]}'.""",
)
@option("--join", multiple=True, metavar="ROOM", envvar="ROOMCAST_JOIN", help="A room to join at once.")
@option("--send", is_flag=True, envvar="ROOMCAST_SEND", help="Allow messages to users.")
@option(
    "--ttl-seconds", type=int, default=3600, show_default=True, envvar="ROOMCAST_TTL_SECONDS", help="At most 86400."
)
@setting_options("data_dir", "database_url")
def token(
    tenant: str,
    user: str,
    rooms: str | None,
    join: Sequence[str],
    send: bool,
    ttl_seconds: int,
    **texts: str | None,
) -> None:
    """Print a token for a user of a tenant, and nothing else."""
    settings = settings_of(texts)
    rights = _read_rooms(rooms)
    with failures(*DATABASE_ERRORS):
        snapshot = with_storage(settings, lambda storage: _find(storage, tenant))
        signed = sign_token(
            snapshot,
            user=user,
            rooms=rights,
            join=join,
            send=send,
            ttl_seconds=ttl_seconds,
            now_ms=time.time_ns() // 1_000_000,
        )
    click.echo(signed)


async def _find(storage: Storage, tenant: str) -> TenantSnapshot:
    found = await storage.find_tenant(tenant)
    if found is None:
        raise click.ClickException(f"There is no tenant {tenant}: `roomcast tenant list` names those that there are.")
    return found


def _read_rooms(text: str | None) -> dict[str, list[str]] | None:
    try:
        return None if text is None else msgspec.json.decode(text, type=dict[str, list[str]])
    except msgspec.MsgspecError:
        raise click.BadParameter(
            """give a JSON object of lists, as '{"chat:*": ["join", "publish"]}'.""", param_hint="--rooms"
        ) from None
