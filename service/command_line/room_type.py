"""`roomcast room-type`: a tenant's rules for the rooms that match a pattern."""

from typing import Final

import msgspec
import rich_click as click

from service.command_line.options import F, option, stored
from service.command_line.stored import ask_for_all, ask_for_tenant, show, show_all
from service.tenants.audit import COMMAND_LINE
from service.tenants.records import RoomTypeRecord
from service.tenants.resources import describe_room_type
from service.tenants.room_types import RoomType
from service.tenants.storage import Storage

_RULES: Final = {
    "pattern": "A room's name, or its beginning and a final *; else the type's own name.",
    "history_messages": "How many a room keeps; 0: none.",
    "history_seconds": "How long, from its last message.",
    "presence": "true or false: whether members are shown.",
    "presence_grace_seconds": "How long a member stays whose socket was lost.",
    "slow_consumer": "disconnect, drop_oldest or latest_by_name: what becomes of a socket that reads too slowly.",
    "max_members": "Connections in one room.",
    "messages_per_second": "Messages to one room.",
    "max_message_bytes": "Bytes of one message's data, as JSON.",
    "acknowledge": "stored or replicated: whether a publish is answered once Redis has it, or once all replicas do.",
}


@click.group("room-type")
def room_type() -> None:
    """Room types: the rules of the rooms that match a pattern."""


def rules(command: F) -> F:
    """One option for each rule; texts that are given come to the command as `rules`."""
    for name, about in reversed(_RULES.items()):
        flag = f"--{name.replace('_', '-')}"
        command = option(flag, name, metavar="VALUE", envvar=f"ROOMCAST_{name.upper()}", help=about)(command)
    return command


breaking_option = option(
    "--breaking", is_flag=True, envvar="ROOMCAST_BREAKING", help="Its schemas, if it has some, are meant to go."
)


@room_type.command()
@click.argument("tenant")
@click.argument("name")
@rules
@breaking_option
@stored
def put(tenant: str, name: str, breaking: bool, as_json: bool, **texts: str | None) -> None:
    """Make or replace the room type NAME of TENANT: rules that are not given are the default ones, `none` no limit.

    Schemas are put by `roomcast contract apply`.
    """
    given = {rule: text for rule in _RULES if (text := texts.pop(rule)) is not None}
    try:
        wanted = msgspec.convert(
            {rule: None if text == "none" else text for rule, text in given.items()}, RoomType, strict=False
        )
    except msgspec.ValidationError as error:
        raise click.UsageError(f"This is no room type: {error}.") from None

    async def work(storage: Storage, tenant_id: str) -> tuple[RoomTypeRecord, bool]:
        return await storage.room_types.put(COMMAND_LINE, tenant_id, name, wanted, breaking=breaking)

    stored_type, _ = ask_for_tenant(texts, tenant, work)
    show(describe_room_type(stored_type), as_json)


@room_type.command("list")
@click.argument("tenant")
@stored
def list_room_types(tenant: str, as_json: bool, **texts: str | None) -> None:
    """List the room types of TENANT."""
    show_all(map(describe_room_type, ask_for_all(texts, tenant, lambda storage: storage.room_types.page)), as_json)


@room_type.command("show")
@click.argument("tenant")
@click.argument("name")
@stored
def show_room_type(tenant: str, name: str, as_json: bool, **texts: str | None) -> None:
    """Show the room type NAME of TENANT."""

    async def work(storage: Storage, tenant_id: str) -> RoomTypeRecord:
        return await storage.room_types.read(tenant_id, name)

    show(describe_room_type(ask_for_tenant(texts, tenant, work)), as_json)


@room_type.command()
@click.argument("tenant")
@click.argument("name")
@breaking_option
@stored
def delete(tenant: str, name: str, breaking: bool, as_json: bool, **texts: str | None) -> None:
    """Delete the room type NAME of TENANT: its rooms get the rules of the next pattern that matches."""

    async def work(storage: Storage, tenant_id: str) -> None:
        await storage.room_types.delete(COMMAND_LINE, tenant_id, name, breaking=breaking)

    ask_for_tenant(texts, tenant, work)
    click.echo("{}" if as_json else f"Room type {name} of {tenant} is deleted.")
