"""What a run under faults must have kept (RELIABILITY.md, "The checker"): A1-A7, in O(n log n).

The harness writes one list of these records, in the order in which it saw things. A message is known by its `key`,
which it carries as payload too. `check` answers with one sentence for each promise that was broken.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

Place = tuple[str, int]


class Started(NamedTuple):
    """A publisher is about to send; again when it retries."""

    publisher: str
    room: str
    key: str


class Acknowledged(NamedTuple):
    """`published` came."""

    publisher: str
    room: str
    key: str
    place: Place


class Refused(NamedTuple):
    """An error came: `unavailable` leaves open whether the message was stored."""

    publisher: str
    room: str
    key: str
    code: str


class Entered(NamedTuple):
    """`joined` came. `recovered`: as there, so True continues at the position that was given as `since`."""

    subscriber: str
    room: str
    place: Place
    recovered: bool | None


class Told(NamedTuple):
    """A `gap` came: live goes on behind `place`."""

    subscriber: str
    room: str
    place: Place


class Delivered(NamedTuple):
    """A `message` came, or the `published` that stands for it."""

    subscriber: str
    room: str
    key: str
    place: Place


class Kept(NamedTuple):
    """At the end the history has it; of a room in ascending order."""

    room: str
    key: str
    place: Place


Record = Started | Acknowledged | Refused | Entered | Told | Delivered | Kept


def check(records: Sequence[Record], kept_messages: int) -> list[str]:
    """What was broken. `kept_messages`: how many the newest of a room are certainly kept."""
    return [
        *_one_message_one_place(records),
        *_acknowledged_is_kept(records, kept_messages),
        *_continuous(records),
        *_all_arrived(records),
        *_refused_is_never_seen(records),
        *_in_order_of_acknowledgement(records),
        *_in_order_of_publishing(records),
    ]


def _one_message_one_place(records: Sequence[Record]) -> Iterator[str]:
    """A1."""
    key_at: dict[tuple[str, Place], str] = {}
    place_of: dict[str, tuple[str, Place]] = {}
    for record in records:
        if isinstance(record, Acknowledged | Delivered | Kept):
            where = (record.room, record.place)
            if key_at.setdefault(where, record.key) != record.key:
                yield f"A1: {record} and {key_at[where]} have one place"
            if place_of.setdefault(record.key, where) != where:
                yield f"A1: {record} was at {place_of[record.key]} too"


def _acknowledged_is_kept(records: Sequence[Record], kept_messages: int) -> Iterator[str]:
    """A2."""
    kept = {(record.room, record.place) for record in records if isinstance(record, Kept)}
    heads: dict[str, Place] = {record.room: record.place for record in records if isinstance(record, Kept)}
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
                yield f"A2: {record} is not in the history, which ends at {head}"


def _continuous(records: Sequence[Record]) -> Iterator[str]:
    """A3."""
    at: dict[tuple[str, str], Place] = {}
    for record in records:
        if not isinstance(record, Entered | Told | Delivered):
            continue
        before = at.get((record.subscriber, record.room))
        if isinstance(record, Entered) and record.recovered:
            if before is None or before[0] != record.place[0] or before[1] > record.place[1]:
                yield f"A3: {record} claims to continue from {before}"
            continue
        if isinstance(record, Delivered) and before != (record.place[0], record.place[1] - 1):
            yield f"A3: {record} came after {before}"
        at[record.subscriber, record.room] = record.place


def _all_arrived(records: Sequence[Record]) -> Iterator[str]:
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
            yield f"A4: {subscriber} stands in {room} at {epoch}:{offset}, the head is {heads[room, epoch]}"


def _refused_is_never_seen(records: Sequence[Record]) -> Iterator[str]:
    """A5."""
    acknowledged = {record.key for record in records if isinstance(record, Acknowledged)}
    refused = {record.key for record in records if isinstance(record, Refused) and record.code != "unavailable"}
    for record in records:
        if isinstance(record, Delivered | Kept) and record.key in refused - acknowledged:
            yield f"A5: {record} was refused"


def _in_order_of_acknowledgement(records: Sequence[Record]) -> Iterator[str]:
    """A6: what was acknowledged before another was begun stands before it."""
    highest: dict[tuple[str, str], int] = {}
    before: dict[str, dict[tuple[str, str], int]] = {}
    for record in records:
        if isinstance(record, Started) and record.key not in before:
            before[record.key] = {where: offset for where, offset in highest.items() if where[0] == record.room}
        elif isinstance(record, Acknowledged):
            where = (record.room, record.place[0])
            if record.place[1] <= before.get(record.key, {}).get(where, 0):
                yield f"A6: {record} was begun after {before[record.key][where]} was acknowledged"
            highest[where] = max(highest.get(where, 0), record.place[1])


def _in_order_of_publishing(records: Sequence[Record]) -> Iterator[str]:
    """A7: what one publisher begins later stands later."""
    begun: dict[tuple[str, str], list[str]] = defaultdict(list)
    places: dict[str, Place] = {}
    for record in records:
        if isinstance(record, Started):
            if record.key not in begun[record.publisher, record.room]:
                begun[record.publisher, record.room].append(record.key)
        elif isinstance(record, Acknowledged):
            places[record.key] = record.place
    for (publisher, room), keys in begun.items():
        acknowledged = [(key, places[key]) for key in keys if key in places]
        for (earlier, first), (later, second) in pairwise(acknowledged):
            if first[0] == second[0] and first[1] >= second[1]:
                yield f"A7: {publisher} published {earlier} before {later}; they stand in {room} at {first}, {second}"
