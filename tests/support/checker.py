"""What a run under faults must have kept (RELIABILITY.md, "The checker"), in O(n log n)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from tests.support.records import (
    Acknowledged,
    Counter,
    DataLost,
    Delivered,
    Ends,
    Entered,
    Heard,
    Kept,
    Moved,
    Place,
    Quiet,
    Record,
    Refused,
    Sees,
    Started,
    Told,
)

Kind = Literal[
    "lost", "doubled", "out of order", "presence", "foreign", "counter", "false recovery", "recovery", "client"
]


class Broken(NamedTuple):
    """A promise that was broken. rule: A1-A10, `epochs`, or `row` for a bound of one row's own."""

    rule: str
    kind: Kind
    text: str


def check(records: Sequence[Record], kept_messages: int) -> list[Broken]:
    """What was broken. `kept_messages`: how many the newest of a room are certainly kept."""
    return [
        *_one_message_one_place(records),
        *_acknowledged_is_kept(records, kept_messages),
        *_continuous(records),
        *_all_arrived(records),
        *_refused_is_never_seen(records),
        *_in_order_of_acknowledgement(records),
        *_in_order_of_publishing(records),
        *_tenants_never_meet(records),
        *check_presence(records),
        *_counters_agree(records),
        *_lost_data_ends_epochs(records),
    ]


def _one_message_one_place(records: Sequence[Record]) -> Iterator[Broken]:
    """A1. With an epoch the memory of its keys may have ended: sent again, a message stands in the next one as well."""
    key_at: dict[tuple[str, Place], str] = {}
    place_of: dict[str, tuple[str, Place]] = {}
    for record in records:
        if isinstance(record, Acknowledged | Delivered | Kept):
            where = (record.room, record.place)
            if key_at.setdefault(where, record.key) != record.key:
                yield Broken("A1", "lost", f"{record} and {key_at[where]} have one place")
            room, place = place_of.get(record.key, where)
            if room != record.room or (place != record.place and place[0] == record.place[0]):
                yield Broken("A1", "doubled", f"{record} was at {place} of {room} too")
            place_of[record.key] = where


def _acknowledged_is_kept(records: Sequence[Record], kept_messages: int) -> Iterator[Broken]:
    """A2."""
    kept = {(record.room, record.place) for record in records if isinstance(record, Kept)}
    heads: dict[str, Place] = {record.room: record.place for record in records if isinstance(record, Ends | Kept)}
    ended = {
        (record.room, record.place[0])
        for record in records
        if isinstance(record, Told) or (isinstance(record, Entered) and record.recovered is False)
    }
    for record in records:
        if isinstance(record, Acknowledged) and (record.room, record.place) not in kept:
            epoch, offset = record.place
            head = heads.get(record.room, ("", 0))
            was_trimmed = epoch == head[0] and offset <= head[1] - kept_messages
            was_announced = epoch != head[0] and (record.room, head[0]) in ended
            if not was_trimmed and not was_announced:
                yield Broken("A2", "lost", f"{record} is not in the history, which ends at {head}")


def _continuous(records: Sequence[Record]) -> Iterator[Broken]:
    """A3."""
    at: dict[tuple[str, str], Place] = {}
    for record in records:
        if not isinstance(record, Entered | Told | Delivered):
            continue
        before = at.get((record.subscriber, record.room))
        if isinstance(record, Entered) and record.recovered:
            if before is None or before[0] != record.place[0] or before[1] > record.place[1]:
                yield Broken("A3", "false recovery", f"{record} claims to continue from {before}")
            continue
        if isinstance(record, Delivered) and before != (record.place[0], record.place[1] - 1):
            is_new = before is None or before[0] != record.place[0] or before[1] < record.place[1]
            kind: Kind = "lost" if is_new else "doubled" if before == record.place else "out of order"
            yield Broken("A3", kind, f"{record} came after {before}")
        at[record.subscriber, record.room] = record.place


def _all_arrived(records: Sequence[Record]) -> Iterator[Broken]:
    """A4: nobody stands before the last message that was acknowledged, or is kept."""
    at: dict[tuple[str, str], Place] = {}
    heads: dict[tuple[str, str], int] = {}
    for record in records:
        if isinstance(record, Acknowledged | Kept):
            epoch, offset = record.place
            heads[record.room, epoch] = max(offset, heads.get((record.room, epoch), 0))
        elif isinstance(record, Told | Delivered) or (isinstance(record, Entered) and not record.recovered):
            at[record.subscriber, record.room] = record.place
    for (subscriber, room), (epoch, offset) in at.items():
        if offset < heads.get((room, epoch), 0):
            head = heads[room, epoch]
            yield Broken("A4", "lost", f"{subscriber} stands in {room} at {epoch}:{offset}, the head is {head}")


def _refused_is_never_seen(records: Sequence[Record]) -> Iterator[Broken]:
    """A5."""
    acknowledged = {record.key for record in records if isinstance(record, Acknowledged)}
    refused = {record.key for record in records if isinstance(record, Refused) and record.code != "unavailable"}
    for record in records:
        if isinstance(record, Delivered | Kept) and record.key in refused - acknowledged:
            yield Broken("A5", "doubled", f"{record} was refused")


def _in_order_of_acknowledgement(records: Sequence[Record]) -> Iterator[Broken]:
    """A6: what was acknowledged before another was begun stands before it."""
    highest: dict[str, dict[str, int]] = defaultdict(dict)
    before: dict[str, dict[str, int]] = {}
    for record in records:
        if isinstance(record, Started) and record.key not in before:
            before[record.key] = dict(highest[record.room])
        elif isinstance(record, Acknowledged):
            epoch, offset = record.place
            begun_at = before.get(record.key, {}).get(epoch, 0)
            if offset <= begun_at:
                yield Broken("A6", "out of order", f"{record} was begun after {begun_at} was acknowledged")
            highest[record.room][epoch] = max(highest[record.room].get(epoch, 0), offset)


def _in_order_of_publishing(records: Sequence[Record]) -> Iterator[Broken]:
    """A7: what one publisher begins later stands later."""
    begun: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    places: dict[str, Place] = {}
    for record in records:
        if isinstance(record, Started):
            begun[record.publisher, record.room].setdefault(record.key)
        elif isinstance(record, Acknowledged):
            places[record.key] = record.place
    for (publisher, room), keys in begun.items():
        acknowledged = [(key, places[key]) for key in keys if key in places]
        for (earlier, first), (later, second) in pairwise(acknowledged):
            if first[0] == second[0] and first[1] >= second[1]:
                text = f"{publisher} published {earlier} before {later}; they stand in {room} at {first}, {second}"
                yield Broken("A7", "out of order", text)


def _tenants_never_meet(records: Sequence[Record]) -> Iterator[Broken]:
    """A8."""
    for record in records:
        if isinstance(record, Heard) and record.tenant != record.reader_tenant:
            yield Broken("A8", "foreign", f"{record.reader} of {record.reader_tenant} heard of {record.tenant}")


def check_presence(records: Sequence[Record]) -> Iterator[Broken]:
    """A9: for each observer a member comes and goes in turn, and once all is quiet its list is the live sockets'."""
    lists: dict[str, dict[str, set[str] | None]] = defaultdict(dict)
    # Of (observer, room): who it was told is here, and what is so of all others; None: nobody knows.
    told: dict[tuple[str, str], tuple[dict[str, bool], bool | None]] = {}
    for record in records:
        if isinstance(record, Sees):
            seen = None if record.connections is None else set(record.connections)
            lists[record.room][record.observer] = seen
            if seen is None or record.is_exact:
                told[record.observer, record.room] = (dict.fromkeys(seen or (), True), None if seen is None else False)
        elif isinstance(record, Moved):
            before, of_others = told.setdefault((record.observer, record.room), ({}, None))
            if before.get(record.connection, of_others) is record.is_here:
                yield Broken("A9", "presence", f"{record}, and it was so already")
            before[record.connection] = record.is_here
            members = lists[record.room].get(record.observer)
            if members is not None:
                (members.add if record.is_here else members.discard)(record.connection)
        elif isinstance(record, Quiet):
            for observer, seen in lists[record.room].items():
                if seen is not None and seen != record.connections and observer not in record.away:
                    ghosts, missing = sorted(seen - record.connections), sorted(record.connections - seen)
                    text = f"{observer} sees ghosts in {record.room}: {ghosts}, and not: {missing}"
                    yield Broken("A9", "presence", text)


def _counters_agree(records: Sequence[Record]) -> Iterator[Broken]:
    """A10."""
    for record in records:
        if isinstance(record, Counter) and not record.least <= record.served <= record.most:
            yield Broken("A10", "counter", f"{record}")


def _lost_data_ends_epochs(records: Sequence[Record]) -> Iterator[Broken]:
    """After data was taken away nobody continues in an epoch of before, and no message stands in one."""
    ended: set[tuple[str, str]] = set()
    for record in records:
        if isinstance(record, DataLost):
            ended |= record.epochs
        elif isinstance(record, Entered | Acknowledged) and (record.room, record.place[0]) in ended:
            yield Broken("epochs", "false recovery", f"{record} goes on in an epoch that lost data")


def epochs_of(records: Sequence[Record]) -> frozenset[tuple[str, str]]:
    """Each (room, epoch) that anybody has heard of."""
    return frozenset(
        (record.room, record.place[0])
        for record in records
        if isinstance(record, Acknowledged | Delivered | Entered | Told)
    )
