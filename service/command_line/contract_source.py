"""Where a contract comes from, a tenant or a file, and where what is made of it goes: shared by commands."""

from pathlib import Path

import rich_click as click

from service.command_line.contract_file import read_contract
from service.command_line.options import F, failures, option, setting_options
from service.command_line.stored import ask_for_tenant
from service.protocol.errors import RoomcastError
from service.tenants.contract import Contract, schemas_of
from service.tenants.schemas import check_schema, path_to
from service.tenants.storage import Storage

_UNNAMED = "of a file"


def contract_source(command: F) -> F:
    """A decorator: `--tenant`, `--contract FILE` and `-o FILE` as `tenant`, `path` and `output`, and where SQL is."""
    for decorate in (
        setting_options("data_dir", "database_url"),
        option("-o", "--output", metavar="FILE", envvar="ROOMCAST_OUTPUT", help="Write there, not to standard output."),
        option(
            "--contract", "path", metavar="FILE", envvar="ROOMCAST_CONTRACT",
            help="Read the contract from a YAML or JSON file, not from the database.",
        ),
        option("--tenant", metavar="NAME", envvar="ROOMCAST_TENANT", help="Whose contract it is."),
    ):  # fmt: skip
        command = decorate(command)
    return command


def find_contract(tenant: str | None, path: str | None, texts: dict[str, str | None]) -> tuple[str, Contract]:
    """The tenant's name and the contract, from the file if one is given. What is wrong ends the command."""
    if path is not None:
        return tenant or _UNNAMED, checked(read_contract(Path(path)))
    if tenant is None:
        raise click.UsageError("Say whose contract: --tenant NAME, or --contract FILE.")

    async def work(storage: Storage, tenant_id: str) -> Contract:
        return await storage.contracts.read(tenant_id)

    return tenant, ask_for_tenant(texts, tenant, work)


def checked(contract: Contract) -> Contract:
    """The contract of a file, each of its schemas looked at. What is wrong ends the command."""
    with failures(RoomcastError):
        for name, room_type in contract.room_types.items():
            for place, schema in schemas_of(room_type):
                check_schema(schema, path_to("$.room_types", [name, *place]))
    return contract


def write_text(text: str, output: str | None) -> None:
    """To standard output, or into the file. What is wrong ends the command."""
    if output is None:
        click.echo(text, nl=False)
        return
    with failures(OSError):
        Path(output).write_text(text)
