"""What commands of the database share: asking it, and printing what it holds, in REST's words."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
import rich_click as click

from service.command_line.options import failures, settings_of
from service.preparation import DATABASE_ERRORS, with_storage
from service.protocol.instants import write_instant
from service.tenants.storage import Storage

T = TypeVar("T")

_ALL = 2**31 - 1  # no page of the database's is as large


def ask(texts: dict[str, str | None], work: Callable[[Storage], Awaitable[T]]) -> T:
    """What `work` makes of the database that the options name. A failure ends the command with a sentence."""
    settings = settings_of(texts)
    with failures(*DATABASE_ERRORS):
        return with_storage(settings, work)


def ask_for_tenant(texts: dict[str, str | None], tenant: str, work: Callable[[Storage, str], Awaitable[T]]) -> T:
    """As `ask`; `work` gets the internal id of the tenant of this name."""

    async def find_and_work(storage: Storage) -> T:
        return await work(storage, (await storage.tenants.read(tenant)).id)

    return ask(texts, find_and_work)


def ask_for_all(
    texts: dict[str, str | None], tenant: str, page: Callable[[Storage], Callable[[str, str, int], Awaitable[list[T]]]]
) -> list[T]:
    """All that a tenant has of something; `page` names the storage's method that lists it."""

    async def work(storage: Storage, tenant_id: str) -> list[T]:
        return await page(storage)(tenant_id, "", _ALL)

    return ask_for_tenant(texts, tenant, work)


def show(answer: msgspec.Struct, as_json: bool) -> None:
    """Print one thing: as JSON, else a line for each of its fields."""
    if as_json:
        click.echo(msgspec.json.encode(answer))
        return
    for name, value in _told(answer):
        if isinstance(value, Mapping):
            for key, each in value.items():
                click.echo(f"{key:<26} {'none' if each is None else each}")
        else:
            click.echo(f"{name:<26} {value}")


def show_all(answers: Iterable[msgspec.Struct], as_json: bool) -> None:
    """Print a list: as JSON, else a line for each, its fields parted by two spaces."""
    found = list(answers)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for answer in found:
        (_, first), *rest = _told(answer)
        click.echo("  ".join([str(first), *(f"{name}={value}" for name, value in rest)]))


def _told(answer: msgspec.Struct) -> list[tuple[str, str | Mapping[str, Any]]]:
    """The fields that say something, as people read them; of limits each stands for itself."""
    fields = [(field.encode_name, getattr(answer, field.name)) for field in msgspec.structs.fields(answer)]
    return [
        (name.removesuffix("_ms"), _text(name, value))
        for name, value in fields
        if value not in (None, msgspec.UNSET, "")
    ]


def _text(name: str, value: Any) -> str | Mapping[str, Any]:
    if name.endswith("_at_ms"):
        return write_instant(value)
    match value:
        case Mapping():
            return value
        case list() | tuple():
            return ",".join(map(str, value)) or "any"
        case bool():
            return str(value).lower()
        case _:
            return str(value)
