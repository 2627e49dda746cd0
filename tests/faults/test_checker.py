"""The checker catches what it is there for, or its runs count for nothing."""

import re
from collections.abc import Callable

import pytest

from tests.faults.results import REPORT
from tests.support.checker import check, epochs_of
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
    Quiet,
    Record,
    Refused,
    Sees,
    Started,
    Told,
)

KEPT_MESSAGES = 5
LIVE = frozenset({"c1", "c3", "c4"})


def sound_run() -> list[Record]:
    """Two publishers and two subscribers, one of which drops and recovers; everything as promised."""
    records: list[Record] = [Entered("s1", "r", ("e", 0), None), Entered("s2", "r", ("e", 0), None)]
    for offset in range(1, 11):
        publisher, key, place = f"p{offset % 2}", f"k{offset}", ("e", offset)
        records += [Started(publisher, "r", key), Acknowledged(publisher, "r", key, place)]
        records.append(Delivered("s1", "r", key, place))
        if offset <= 4:
            records.append(Delivered("s2", "r", key, place))
    records.append(Entered("s2", "r", ("e", 10), True))
    records += [Delivered("s2", "r", f"k{offset}", ("e", offset)) for offset in range(5, 11)]
    records += [Started("p0", "r", "bad"), Refused("p0", "r", "bad", "too_large")]
    records += [Heard("s1", "acme", "acme"), Counter("connections of acme", 4, 4, 4), *sound_presence()]
    return records + [Kept("r", f"k{offset}", ("e", offset)) for offset in range(4, 11)]


def sound_presence() -> list[Record]:
    """One watcher, to whom two come, one goes, and who lists all anew; and what REST says at the end."""
    records: list[Record] = [Sees("w", "r", frozenset({"c1"}))]
    records += [Moved("w", "r", "c2", True), Moved("w", "r", "c3", True), Moved("w", "r", "c2", False)]
    records += [Quiet("r", frozenset({"c1", "c3"})), Sees("w", "r", None), Moved("w", "r", "c4", True)]
    records += [Sees("w", "r", LIVE, is_exact=False), Moved("w", "r", "c3", True), Sees("REST", "r", LIVE)]
    return [*records, Quiet("r", LIVE)]


def delivery(records: list[Record], subscriber: str, offset: int) -> int:
    return next(
        index
        for index, record in enumerate(records)
        if isinstance(record, Delivered) and (record.subscriber, record.place[1]) == (subscriber, offset)
    )


def acknowledgement(records: list[Record], offset: int) -> int:
    return next(
        index for index, record in enumerate(records) if isinstance(record, Acknowledged) and record.place[1] == offset
    )


def kept(records: list[Record], offset: int) -> int:
    return next(index for index, record in enumerate(records) if isinstance(record, Kept) and record.place[1] == offset)


def at(records: list[Record], kind: type[Record]) -> int:
    return next(index for index, record in enumerate(records) if isinstance(record, kind))


def relist(records: list[Record], *connections: str) -> None:
    """What REST says."""
    [index] = [
        number for number, record in enumerate(records) if isinstance(record, Sees) and record.observer == "REST"
    ]
    records[index] = Sees("REST", "r", frozenset(connections))


def swap(records: list[Record], one: int, other: int) -> None:
    records[one], records[other] = records[other], records[one]


def reorder(run: list[Record]) -> None:
    """Pipelined, so that only the order of publishing tells."""
    run.insert(0, Started("p1", "r", "k9"))


Plant = Callable[[list[Record]], object]
PLANTS: list[tuple[str, str, Plant]] = [
    ("a swallowed message", "A3", lambda run: run.pop(delivery(run, "s1", 5))),
    ("a swallowed first message", "A3", lambda run: run.pop(delivery(run, "s1", 1))),
    ("a swallowed last message", "A4", lambda run: run.pop(delivery(run, "s1", 10))),
    ("a message twice", "A3", lambda run: run.append(run[delivery(run, "s1", 10)])),
    ("an old message again", "A3", lambda run: run.append(run[delivery(run, "s2", 3)])),
    ("a swapped pair", "A3", lambda run: swap(run, delivery(run, "s2", 6), delivery(run, "s2", 7))),
    ("a swallowed message of a recovery", "A3", lambda run: run.pop(delivery(run, "s2", 5))),
    ("a recovery that ends early", "A4", lambda run: run.pop(delivery(run, "s2", 10))),
    (
        "a false recovered",
        "A3",
        lambda run: run.insert(delivery(run, "s2", 5), Entered("s2", "r", ("f", 10), True)),
    ),
    ("a recovery behind the client", "A3", lambda run: run.append(Entered("s2", "r", ("e", 3), True))),
    ("a recovery of nobody", "A3", lambda run: run.append(Entered("s3", "r", ("e", 10), True))),
    ("an acknowledged message lost", "A2", lambda run: run.pop(kept(run, 8))),
    ("the newest message lost", "A2", lambda run: run.pop(kept(run, 10))),
    ("an empty history", "A2", lambda run: run.__delitem__(slice(kept(run, 4), None))),
    (
        "a reused offset",
        "A1",
        lambda run: run.extend([Started("p1", "r", "new"), Acknowledged("p1", "r", "new", ("e", 7))]),
    ),
    ("a key with two places", "A1", lambda run: run.append(Acknowledged("p1", "r", "k3", ("e", 11)))),
    ("another text in the history", "A1", lambda run: run.append(Kept("r", "k1", ("e", 10)))),
    ("another text delivered", "A1", lambda run: run.append(Delivered("s1", "r", "k2", ("e", 10)))),
    ("a refused message delivered", "A5", lambda run: run.append(Delivered("s1", "r", "bad", ("e", 11)))),
    ("a refused message kept", "A5", lambda run: run.append(Kept("r", "bad", ("e", 11)))),
    (
        "a later message before an acknowledged one",
        "A6",
        lambda run: run.extend([Started("p9", "r", "late"), Acknowledged("p9", "r", "late", ("e", 0))]),
    ),
    ("one publisher's messages out of order", "A7", reorder),
    ("a new epoch that nobody was told of", "A2", lambda run: run.append(Kept("r", "x", ("f", 1)))),
    ("a foreign canary", "A8", lambda run: run.append(Heard("s1", "acme", "globex"))),
    ("a ghost member", "A9", lambda run: run.extend([Moved("w", "r", "ghost", True), Quiet("r", LIVE)])),
    ("a member that nobody was told of", "A9", lambda run: run.append(Quiet("r", LIVE | {"c5"}))),
    ("a member whose end nobody was told of", "A9", lambda run: run.remove(Moved("w", "r", "c2", False))),
    ("a member that comes twice", "A9", lambda run: run.insert(at(run, Quiet), Moved("w", "r", "c3", True))),
    ("a member that goes twice", "A9", lambda run: run.insert(at(run, Quiet), Moved("w", "r", "c2", False))),
    ("a member that goes and never came", "A9", lambda run: run.insert(at(run, Quiet), Moved("w", "r", "c9", False))),
    ("a member that comes again after a list", "A9", lambda run: run.append(Moved("w", "r", "c4", True))),
    ("a list with a ghost", "A9", lambda run: relist(run, "c1", "c3", "c4", "ghost")),
    ("a list that lacks one", "A9", lambda run: relist(run, "c1", "c3")),
    ("a connection that is not counted", "A10", lambda run: run.append(Counter("connections of acme", 3, 4, 4))),
    ("a message counted twice", "A10", lambda run: run.append(Counter("messages of acme", 12, 10, 11))),
    (
        "a recovery after data was lost",
        "epochs",
        lambda run: run.insert(delivery(run, "s2", 4) + 1, DataLost(frozenset({("r", "e")}))),
    ),
    (
        "a message in an epoch whose data was lost",
        "epochs",
        lambda run: run.extend([DataLost(epochs_of(run)), Acknowledged("p1", "r", "k11", ("e", 11))]),
    ),
]


@pytest.mark.parametrize(("promise", "plant"), [plant[1:] for plant in PLANTS], ids=[plant[0] for plant in PLANTS])
def test_a_planted_error_is_caught(promise: str, plant: Plant) -> None:
    run = sound_run()
    plant(run)
    assert promise in {broken.rule for broken in check(run, KEPT_MESSAGES)}


def test_the_documents_list_each_planted_error_with_its_rule() -> None:
    text = REPORT.read_text().partition("## The checker")[2]
    documented = re.findall(r"^\| (\w+) \| [^|]* \| ([^|]*) \|$", text, re.MULTILINE)
    listed = {(rule, name) for rule, names in documented for name in names.split("; ")}
    assert listed - {("rule", "planted errors that it finds")} == {(rule, name) for name, rule, _ in PLANTS}
    assert f"{len(PLANTS)} errors are planted" in text


def test_a_sound_run_is_sound() -> None:
    assert check(sound_run(), KEPT_MESSAGES) == []


def test_a_room_that_lost_all_and_has_nothing_new_is_no_loss_if_it_is_told() -> None:
    run = [*sound_run()[: kept(sound_run(), 4)], Ends("r", ("f", 0))]
    assert {broken.rule for broken in check(run, KEPT_MESSAGES)} == {"A2"}
    run += [Told("s1", "r", ("f", 0)), Entered("s2", "r", ("f", 0), False)]
    assert check(run, KEPT_MESSAGES) == []


def test_a_loss_that_is_told_is_no_loss() -> None:
    run = sound_run()
    at = kept(run, 4)
    told: list[Record] = [Told("s1", "r", ("f", 0)), Entered("s2", "r", ("f", 0), False)]
    told += [Started("p1", "r", "k11"), Acknowledged("p1", "r", "k11", ("f", 1))]
    told += [Delivered(subscriber, "r", "k11", ("f", 1)) for subscriber in ("s1", "s2")]
    assert check([*run[:at], *told, Kept("r", "k11", ("f", 1))], KEPT_MESSAGES) == []
