"""Pages of lists, by opaque cursors."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from service.protocol.cursors import read_cursor, write_cursor

Item = TypeVar("Item")


async def page_of(
    tenant_id: str,
    query: str,
    cursor: str | None,
    limit: int,
    find: Callable[[str, int], Awaitable[Sequence[Item]]],
    name_of: Callable[[Item], str],
) -> tuple[Sequence[Item], str | None]:
    """The page at `cursor` and the cursor of the next, None on the last one.

    find: items behind a name, "" from the start, and at most so many. Raises Invalid for a cursor of another list.
    """
    after = "" if cursor is None else read_cursor(tenant_id, query, cursor)
    # One more than asked for tells whether there is another page.
    found = await find(after, limit + 1)
    page = found[:limit]
    return page, write_cursor(tenant_id, query, name_of(page[-1])) if len(found) > limit else None
