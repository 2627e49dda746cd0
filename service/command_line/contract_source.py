"""Where a contract comes from, a tenant or a file, and where what is made of it goes: shared by commands."""

from pathlib import Path
from typing import Any

import msgspec
import rich_click as click
import yaml

from service.command_line.options import F, failures, option, setting_options
from service.command_line.stored import ask_for_tenant
from service.protocol.errors import Invalid, RoomcastError
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
        return tenant or _UNNAMED, read_contract_file(Path(path))
    if tenant is None:
        raise click.UsageError("Say whose contract: --tenant NAME, or --contract FILE.")

    async def work(storage: Storage, tenant_id: str) -> Contract:
        return await storage.contracts.read(tenant_id)

    return tenant, ask_for_tenant(texts, tenant, work)


def read_contract_file(path: Path) -> Contract:
    """The contract that a YAML or JSON file holds, each schema looked at. What is wrong ends the command."""
    with failures(OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError, RoomcastError):
        held = yaml.safe_load(path.read_text())
        check_keys(held, "$")
        contract = msgspec.convert(held, Contract)
        for name, room_type in contract.room_types.items():
            for place, schema in schemas_of(room_type):
                check_schema(schema, path_to("$.room_types", [name, *place]))
    return contract


def check_keys(held: Any, path: str) -> None:
    """Raises Invalid for a key that is no text: to YAML 1.1 a bare `on`, `yes` or `no` is true or false."""
    if isinstance(held, dict):
        for key, value in held.items():
            if not isinstance(key, str):
                raise Invalid(f"the key {key!r} is no text: put it into quotes", path)
            check_keys(value, f"{path}.{key}")
    elif isinstance(held, list):
        for index, value in enumerate(held):
            check_keys(value, f"{path}[{index}]")


def write_text(text: str, output: str | None) -> None:
    """To standard output, or into the file. What is wrong ends the command."""
    if output is None:
        click.echo(text, nl=False)
        return
    with failures(OSError):
        Path(output).write_text(text)
