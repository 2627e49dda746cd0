"""From `since` to the missed messages, or the plain answer that they are gone.

`begin` decides before `joined` is sent; `feed` then sends the messages as the socket takes them, never more than a
page ahead, and makes the member live once it has all that this node has.
"""

import asyncio
from typing import NamedTuple

import structlog

from service.brokers.broker import Broker, History
from service.protocol.errors import CloseCode, RoomcastError
from service.protocol.events import Gap, GapReason
from service.protocol.identifiers import Position
from service.rooms.fanout import Item, Ready, message_payload
from service.rooms.history import loss_reason
from service.rooms.membership import Membership
from service.telemetry import counters, new_incident

log = structlog.get_logger()

PAGE_MESSAGES = 256
# One page at most waits in the outbox of a recovering client, so much of it: one that held more would be its end, and
# the next join's, too.
PAGE_PART = 4
PAGE_BYTES = 256 * 1024
# With no more than this waiting the first page need not wait.
LITTLE_BYTES = 64 * 1024
PAUSE_SECONDS = 0.05


class Recovery(NamedTuple):
    """What a join with `since` comes to: `gap` None means that everything missed follows, beginning with `page`."""

    gap: Gap | None
    page: History | None


async def begin(broker: Broker, member: Membership, since: Position) -> Recovery:
    """Whether every message after `since` up to the member's head can be had; reads the first page.

    Raises Unavailable.
    """
    room = member.room
    if not room.rules.keeps_history:
        return Recovery(_gap(member, since, "unstored"), None)
    if since.epoch != room.epoch or since.offset > member.joined_offset:
        return Recovery(_gap(member, since, "epoch"), None)
    if since.offset == member.joined_offset:
        return Recovery(None, None)
    page = await _read_page(broker, member, since.offset)
    if page.head.epoch != since.epoch or room.epoch != since.epoch:
        return Recovery(_gap(member, since, "epoch"), None)
    if page.first > since.offset + 1:
        return Recovery(_gap(member, since, loss_reason(page, since.offset, room.is_stored)), None)
    return Recovery(None, page)


def _gap(member: Membership, since: Position, reason: GapReason) -> Gap:
    room = member.room
    # What came while the history was read passed this member by: it is behind the gap, too.
    member.joined_offset = member.offset = max(member.joined_offset, room.offset)
    to = f"{room.epoch}:{member.joined_offset}" if room.rules.keeps_history else None
    return Gap(room=room.name, from_=str(since), to=to, reason=reason)


async def feed(broker: Broker, member: Membership, since: Position, first_page: list[History]) -> None:
    """Send the missed messages, page by page as the outbox drains, until the member has what this node has.

    since: where the client stands, as `begin` took it: if its epoch ends before the first page is taken, this ends too.
    first_page: one page, taken out of its list, so that none is held once it is sent.
    Never raises: a client that can't be fed is closed, and joins anew.
    """
    try:
        await _feed(broker, member, since, first_page)
    except RoomcastError:
        member.connection.close(CloseCode.OVERLOADED, "Redis is out of reach during a recovery")
    except Exception:
        counters.faults += 1
        log.exception("a recovery failed", incident=new_incident())
        member.give_up()


async def _feed(broker: Broker, member: Membership, since: Position, first_page: list[History]) -> None:
    room, feeding = member.room, member.connection.feeding
    member.offset = since.offset
    page: History | None = first_page.pop()
    if feeding.locked():
        page = None  # read again rather than kept while others are fed
    while member.is_current:
        async with feeding:
            little_bytes = min(LITTLE_BYTES, _page_bytes(member))
            if page is None or member.connection.subscriber.waiting_bytes > little_bytes:
                await _drained(member)
            page = page or await _read_page(broker, member, member.offset)
            before = member.offset
            if not member.is_current or not _take_page(member, page, since.epoch):
                return
            page = None
        if member.offset >= room.offset and member.offset >= member.joined_offset:
            member.is_recovering = False
            room.promote(member)
            return
        if member.offset == before:  # it waits for an answer of Redis, which may take up to 1 s
            await asyncio.sleep(PAUSE_SECONDS)


def _page_bytes(member: Membership) -> int:
    return min(PAGE_BYTES, member.connection.max_held_bytes // PAGE_PART)


async def _read_page(broker: Broker, member: Membership, after: int) -> History:
    return await broker.read_history(
        member.room.address,
        after=after,
        before=None,
        limit=PAGE_MESSAGES,
        newest=False,
        max_bytes=_page_bytes(member),
    )


def _take_page(member: Membership, page: History, epoch: str) -> bool:
    """Send one page; False when the recovery cannot go on as promised: the client is closed and joins anew."""
    messages = page.messages
    first = messages[0].offset if messages else page.head.offset + 1
    if page.head.epoch != epoch or member.room.epoch != epoch or first > member.offset + 1:
        member.connection.close(CloseCode.SLOW_CONSUMER, "the history ended before it was read")
        return False
    member.is_recovering = False
    prefix = member.room.prefix
    member.take([Item(Ready(message_payload(prefix, message)), message) for message in messages])
    if member.held is not None:
        # One's own message came before an earlier answer: it is read again once that answer is here.
        member.drop_held()
    member.is_recovering = True
    return member.is_current


async def _drained(member: Membership) -> None:
    """Until the client has taken nearly all that waits for it."""
    drained = asyncio.Event()
    member.connection.subscriber.when_drained(drained.set)
    await drained.wait()
