"""A page of a room's kept messages, for the command `history` and for REST."""

import msgspec

from service.brokers.broker import Broker, Envelope, History, RoomAddress
from service.protocol.codec import encode_event
from service.protocol.events import Gap, GapReason, HistoryEvent, HistoryItem
from service.protocol.identifiers import Position, parse_position

# A page ends here even if more was asked for (PROTOCOL.md, "history").
PAGE_BYTES = 512 * 1024

_items = msgspec.json.Decoder(list[HistoryItem])


async def read_page(
    broker: Broker, address: RoomAddress, since: str | None, before: str | None, limit: int, *, keeps_history: bool
) -> HistoryEvent:
    """The first `limit` messages after `since` (below `before`), else the last ones below `before` or the head.

    Raises Unavailable.
    """
    first = parse_position(since) if since is not None else None
    last = parse_position(before) if before is not None else None
    page = await _read(broker, address, first, last, limit)
    is_over = first is not None and (first.epoch != page.head.epoch or first.offset > page.head.offset)
    is_before_epoch = last is not None and last.epoch != page.head.epoch
    if is_before_epoch:
        # All that is kept lies behind a position of an epoch that is over.
        page = page._replace(messages=(), more=False)
    elif is_over:
        # Nothing of that epoch is left: the page begins with the oldest message that is kept.
        page = await _read(broker, address, Position(page.head.epoch, 0), last, limit)
    if not keeps_history:
        # What an earlier rule kept is there until the next message: it is nobody's any more.
        page = page._replace(messages=(), more=False)
    is_complete = not is_over and (first is None or (keeps_history and page.first <= first.offset + 1))
    if first is not None and first.offset == page.head.offset and not is_over:
        is_complete = True
    return HistoryEvent(
        room=address.room,
        messages=_items.decode(b"[%b]" % b",".join(map(_item, page.messages))),
        position=str(page.head) if keeps_history else None,
        more=page.more,
        complete=is_complete,
    )


def loss_reason(history: History, offset: int, is_stored: bool) -> GapReason:
    """Why messages behind `offset` are gone from a room; is_stored: whether it keeps any."""
    gone: GapReason = "limit" if history.cut_offset > offset else "expired"
    return gone if is_stored else "unstored"


def gap_payload(room: str, lost: tuple[Position, Position] | None, reason: GapReason) -> bytes:
    """The `gap` event: what lies behind the first position is lost, up to the second; None: the room has none."""
    lost_from, lost_to = (str(lost[0]), str(lost[1])) if lost is not None else (None, None)
    return encode_event(Gap(room=room, from_=lost_from, to=lost_to, reason=reason), False)


async def _read(
    broker: Broker, address: RoomAddress, first: Position | None, last: Position | None, limit: int
) -> History:
    return await broker.read_history(
        address,
        after=None if first is None else first.offset,
        before=None if last is None else last.offset,
        limit=limit,
        newest=first is None,
        max_bytes=PAGE_BYTES,
    )


def _item(message: Envelope) -> bytes:
    return b'{%b,"offset":%d,"time_ms":%d}' % (message.body, message.offset, message.time_ms)
