"""A new lease enters everything again that this node holds."""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator

from service.brokers import scripts
from service.brokers.asking import SLICE_COMMANDS
from service.brokers.broker import ConnectionEntry
from service.brokers.entries import pack_claim, pack_connect, pack_join, pack_rooms
from service.brokers.link import Link
from service.brokers.members import NOTHING_SHOWN


async def enter_again(link: Link, held: Iterable[tuple[str, ConnectionEntry]]) -> None:
    """Enter connections, memberships and claims in slices, while the node goes on living.

    `held` gives each connection as it is at its turn, and it is entered in one step: what ended before is not entered,
    what ends after is removed by its own command, which comes later on the same connection to Redis. Raises what
    refused it, as Unavailable when that connection is lost meanwhile.
    """
    claimed: set[tuple[str, str]] = set()
    asked: list[Awaitable[object]] = []
    for tenant_id, entry in held:
        asked += [
            link.ask(packed, _nothing) for packed in _calls(link, claimed, tenant_id, entry) if link.reaches(packed)
        ]
        if len(asked) >= SLICE_COMMANDS:
            await asyncio.gather(*asked)
            asked.clear()
    await asyncio.gather(*asked)


def _calls(link: Link, claimed: set[tuple[str, str]], tenant_id: str, entry: ConnectionEntry) -> Iterator[bytes]:
    link.note_tenant(tenant_id)
    yield pack_connect(scripts.CONNECT_AGAIN, link, tenant_id, entry, None, None)
    if entry.rooms:
        yield pack_rooms(link, tenant_id, [(entry.connection, entry.rooms)])
    for room in entry.rooms:
        if (tenant_id, room) not in claimed:
            claimed.add((tenant_id, room))
            yield pack_claim(scripts.CLAIM_AGAIN, link, tenant_id, room, None)
        address = link.keyspace.address(tenant_id, room)
        shown = entry.shown.get(room, NOTHING_SHOWN)
        yield pack_join(scripts.JOIN_AGAIN, link, address, entry.connection, entry.user, None, shown)


def _nothing(_reply: object) -> None:
    """The reply says nothing that anybody wants."""
