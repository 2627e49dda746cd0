"""What changes between two contracts, and which changes break a client that was built for the first.

Clients read and write. A change breaks a **writer** if something that the old contract took is refused now, and a
**reader** if something may come now that the old contract ruled out and a program may have relied on. Both count,
with two allowances that the wire contract gives clients anyway: readers ignore properties and names that they don't
know, so that new optional properties and new names break nobody; and what was unchecked promised nothing, so that its
first schema breaks nobody. docs/contract.md has the rules as a table.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from service.protocol.contracts import ContractChange
from service.tenants.room_types import RoomType
from service.tenants.schema_changes import compare_schemas, is_same, written
from service.tenants.schemas import path_to

_SCHEMAS: Final = ("messages", "signals")


def compare_contracts(before: Mapping[str, RoomType], after: Mapping[str, RoomType]) -> list[ContractChange]:
    """All changes, each with its path, in the order of the paths' names. Pure; takes up to a second for 1 MiB."""
    return list(_compare(before, after))


def has_schemas(room_type: RoomType) -> bool:
    """Whether the type promises anything of what is sent."""
    return bool(room_type.messages or room_type.signals or room_type.state is not None) or (
        room_type.additional == "refuse"
    )


def _compare(before: Mapping[str, RoomType], after: Mapping[str, RoomType]) -> Iterator[ContractChange]:
    for name in _names(before, after):
        path = path_to("$.room_types", [name])
        old, new = before.get(name), after.get(name)
        if old is None:
            yield ContractChange(path, "added", False)
        elif new is None:
            yield ContractChange(path, "removed", has_schemas(old))
        else:
            yield from _compare_types(old, new, path)


def _compare_types(old: RoomType, new: RoomType, path: str) -> Iterator[ContractChange]:
    for field in msgspec.structs.fields(RoomType):
        name, was, now = field.name, getattr(old, field.name), getattr(new, field.name)
        within = f"{path}.{name}"
        if name in _SCHEMAS:
            yield from _compare_names(was, now, within)
        elif name == "state":
            yield from _compare_named(was, now, within)
        elif was != now:
            # Clients are typed by the pattern; with `refuse`, writers of other names are turned away.
            breaks = has_schemas(old) if name == "pattern" else name == "additional" and now == "refuse"
            yield ContractChange(within, f"changed from {written(was)} to {written(now)}", breaks)


def _compare_names(
    before: Mapping[str, dict[str, Any]], after: Mapping[str, dict[str, Any]], path: str
) -> Iterator[ContractChange]:
    for name in _names(before, after):
        yield from _compare_named(before.get(name), after.get(name), path_to(path, [name]))


def _compare_named(old: dict[str, Any] | None, new: dict[str, Any] | None, path: str) -> Iterator[ContractChange]:
    if old is None or new is None:
        if old is not new:
            yield ContractChange(path, "added" if old is None else "removed", new is None)
    elif not is_same(old, new):
        yield from compare_schemas(old, new, path)


def _names(before: Iterable[str], after: Iterable[str]) -> list[str]:
    return sorted({*before, *after})
