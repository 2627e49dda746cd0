"""`roomcast contract`: a tenant's room types with their schemas, applied as one file."""

import importlib
import sys
from pathlib import Path
from typing import Final

import msgspec
import rich_click as click

from service.command_line.contract_file import read_contract
from service.command_line.options import option, stored
from service.command_line.stored import ask_for_all, ask_for_tenant, show_all
from service.protocol.contracts import ContractAnswer
from service.protocol.errors import BreakingChange, RoomcastError
from service.tenants.audit import COMMAND_LINE
from service.tenants.contract import Contract
from service.tenants.storage import Storage

_DOCUMENTS_MODULE: Final = "service.command_line.contract_documents"
_DOCUMENTS: Final = ("openapi", "asyncapi")

tenant_option = option("--tenant", required=True, envvar="ROOMCAST_TENANT", help="Whose contract it is.")


class _Commands(click.RichGroup):
    """Loads the commands that need the whole application only when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_DOCUMENTS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _DOCUMENTS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(importlib.import_module(_DOCUMENTS_MODULE), cmd_name)
        return command


@click.group("contract", cls=_Commands)
def contract() -> None:
    """The contract: all room types of a tenant with their schemas, which has versions."""


@contract.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@tenant_option
@option("--dry-run", is_flag=True, envvar="ROOMCAST_DRY_RUN", help="Only print what would change.")
@option("--breaking", is_flag=True, envvar="ROOMCAST_BREAKING", help="Changes that break clients are meant.")
@stored
def apply(file: Path, tenant: str, dry_run: bool, breaking: bool, as_json: bool, **texts: str | None) -> None:
    """Have the contract of FILE, JSON or YAML, whole: room types that it lacks go. Applied again it changes nothing.

    Changes that break clients end it with exit code 1, unless --breaking says that they are meant; so does a `version`
    in FILE that is not the one in force.
    """
    wanted = read_contract(file)

    async def work(storage: Storage, tenant_id: str) -> tuple[ContractAnswer, bool]:
        if dry_run:
            answer = await storage.contracts.preview(tenant_id, wanted)
            return answer, breaking or not any(change.breaking for change in answer.changes)
        try:
            return await storage.contracts.put(COMMAND_LINE, tenant_id, wanted, breaking=breaking), True
        except BreakingChange:
            return await storage.contracts.preview(tenant_id, wanted), False

    async def work_with_path(storage: Storage, tenant_id: str) -> tuple[ContractAnswer, bool]:
        try:
            return await work(storage, tenant_id)
        except RoomcastError as error:
            raise click.ClickException(f"{error.path}: {error.message}" if error.path else error.message) from None

    answer, is_taken = ask_for_tenant(texts, tenant, work_with_path)
    if as_json:
        click.echo(msgspec.json.encode(answer))
    else:
        _print_changes(answer)
    if not is_taken:
        click.echo("Error: Changes marked ! break clients: nothing is applied without --breaking.", err=True)
        sys.exit(1)
    if not as_json:
        told = f"is at version {answer.version}" if not dry_run else f"stays at version {answer.version}: a dry run"
        click.echo(f"The contract of {tenant} {told}.")


def _print_changes(answer: ContractAnswer) -> None:
    """A line for each change: `+` added, `-` removed, `~` changed, and `!` where it breaks clients."""
    for change in answer.changes:
        mark = {"added": "+", "removed": "-"}.get(change.change.split()[0].strip(","), "~")
        click.echo(f"{'!' if change.breaking else ' '} {mark} {change.path}  {change.change}")


@contract.command("show")
@tenant_option
@option("--version", type=click.IntRange(1), envvar="ROOMCAST_VERSION", help="As it was; else the one in force.")
@stored
def show_contract(tenant: str, version: int | None, as_json: bool, **texts: str | None) -> None:
    """Print the contract as a file for `apply`, without its version; with --json as REST has it."""

    async def work(storage: Storage, tenant_id: str) -> Contract:
        if version is None:
            return await storage.contracts.read(tenant_id)
        return await storage.contracts.read_version(tenant_id, version)

    found = ask_for_tenant(texts, tenant, work)
    text = msgspec.json.encode(found if as_json else {"room_types": found.room_types})
    click.echo(text if as_json else msgspec.json.format(text, indent=2))


@contract.command()
@tenant_option
@stored
def versions(tenant: str, as_json: bool, **texts: str | None) -> None:
    """List the versions that are kept, the newest first."""
    found = ask_for_all(texts, tenant, lambda storage: storage.contracts.page)
    show_all(found, as_json)
