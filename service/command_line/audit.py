"""`roomcast audit`: who changed what, of all tenants, those that are deleted too."""

import msgspec
import rich_click as click

from service.command_line.options import Instant, option, stored
from service.command_line.stored import ask, show_all
from service.protocol.instants import write_instant
from service.tenants.audit import AuditEntry
from service.tenants.storage import Storage


@click.command()
@option("--tenant", envvar="ROOMCAST_TENANT", help="Of this tenant alone, which must be there.")
@option("--from", "from_ms", type=Instant(), envvar="ROOMCAST_FROM", help="The instant from which on.")
@option("--to", "to_ms", type=Instant(), envvar="ROOMCAST_TO", help="The instant before which.")
@option(
    "--last",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    envvar="ROOMCAST_LAST",
    help="How many at most.",
)
@stored
def audit(
    tenant: str | None, from_ms: int | None, to_ms: int | None, last: int, as_json: bool, **texts: str | None
) -> None:
    """List who changed what, the newest first."""

    async def work(storage: Storage) -> list[AuditEntry]:
        tenant_id = None if tenant is None else (await storage.tenants.read(tenant)).id
        return list(await storage.audit.page(tenant_id, None, last, from_ms, to_ms))

    entries = ask(texts, work)
    if as_json:
        show_all(entries, as_json)
        return
    for entry in entries:
        actor = f"{entry.actor_kind}:{entry.actor_id}" if entry.actor_id else entry.actor_kind
        before, after = (msgspec.json.encode(each).decode() for each in (entry.before, entry.after))
        told = (write_instant(entry.at_ms), str(entry.tenant), actor, entry.action, entry.subject)
        click.echo("  ".join([*told, f"{before} -> {after}"]))
