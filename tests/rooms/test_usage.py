import struct

import pytest

from service.brokers.broker import Origin
from service.rooms import usage as usage_module
from service.rooms.usage import UsageBook
from service.tenants.minute_usage import MinuteUsage
from tests.rooms.surroundings import Surroundings, message, tick

START = 1_000_000 * 60  # a minute begins


def taken(book: UsageBook) -> dict[tuple[str, int], MinuteUsage]:
    """What is to be written, by tenant and minute after the start."""
    rows = book.waiting(10_000)
    return {(row.tenant_id, row.starts_at_ms // 60_000 - START // 60): row for row in rows}


def samples_of(packed: bytes) -> tuple[int, ...]:
    """The 60 samples of a row in which they are not all the same."""
    return struct.unpack("<60I", packed)


def test_a_minute_is_cut_when_it_is_over_and_the_next_begins_at_nothing() -> None:
    book = UsageBook("n1", START)
    usage = book.of("t1")
    usage.deliveries += 5
    usage.refuse("invalid")
    tick(book, START + 59, [])
    assert book.waiting(10) == []
    usage.deliveries += 1
    tick(book, START + 60, [])
    usage.deliveries += 2
    assert book.of("t1") is usage
    tick(book, START + 120, [])
    rows = taken(book)
    assert {key: row.deliveries for key, row in rows.items()} == {("t1", 0): 6, ("t1", 1): 2}
    assert [rows[key].refused for key in rows] == [{"invalid": 1}, {}]


def test_a_minute_in_which_nothing_was_used_leaves_no_row() -> None:
    book = UsageBook("n1", START)
    book.of("t1")
    tick(book, START + 300, [])
    assert book.waiting(10) == []


def test_connections_are_sampled_each_second_and_a_missed_one_counts_as_the_next() -> None:
    book = UsageBook("n1", START)
    tick(book, START + 1, [("t1", 3), ("t2", 1)])
    tick(book, START + 2, [("t1", 5)])
    tick(book, START + 6, [("t1", 2)])  # the loop was busy for four seconds
    tick(book, START + 60, [])
    rows = taken(book)
    assert samples_of(rows["t1", 0].samples)[:8] == (0, 3, 5, 2, 2, 2, 2, 0)
    assert rows["t1", 0].connection_seconds == 3 + 5 + 4 * 2
    assert rows["t2", 0].connection_seconds == 1


def test_seconds_missed_across_the_end_of_a_minute_belong_to_their_own() -> None:
    book = UsageBook("n1", START + 57)
    tick(book, START + 62, [("t1", 4)])
    assert samples_of(taken(book)["t1", 0].samples)[56:] == (0, 0, 4, 4)
    tick(book, START + 120, [])
    assert samples_of(taken(book)["t1", 1].samples)[:4] == (4, 4, 4, 0)


def test_a_node_that_stood_still_for_long_counts_the_last_minute_alone() -> None:
    book = UsageBook("n1", START)
    tick(book, START + 36_000, [("t1", 1)])
    assert sum(row.connection_seconds for row in [*book.waiting(10), *book.rows("t1")[-1:]]) == 60


def test_a_clock_that_is_set_back_writes_no_minute_twice_and_loses_nothing() -> None:
    book = UsageBook("n1", START + 59)
    usage = book.of("t1")
    usage.deliveries += 1
    tick(book, START + 60, [("t1", 1)])
    book.written(book.waiting(10))
    for second in (START, START + 1, START + 59, START + 60):  # an hour would be the same
        usage.deliveries += 1
        tick(book, second, [("t1", 1)])
    tick(book, START + 120, [])
    rows = taken(book)
    assert list(rows) == [("t1", 1)]
    assert (rows["t1", 1].deliveries, rows["t1", 1].connection_seconds) == (4, 5)


def test_what_waits_is_kept_until_it_is_written_and_is_seen_meanwhile() -> None:
    book = UsageBook("n1", START)
    for number in range(3):
        book.of("t1").deliveries += number + 1
        book.of("t2").bytes_in += 1
        tick(book, START + (number + 1) * 60, [])
    book.of("t1").deliveries += 10
    assert [row.deliveries for row in book.rows("t1")] == [1, 2, 3, 10]
    first = book.waiting(3)
    book.written(first)
    assert [row.deliveries for row in book.rows("t1")] == [3, 10]
    assert book.waiting(2) == book.waiting(10)[:2]
    assert not set(taken(book)) & {(row.tenant_id, row.starts_at_ms) for row in first}


def test_above_the_bound_the_oldest_rows_are_given_up_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_module, "MAX_WAITING", 3)
    book = UsageBook("n1", START)
    for number in range(5):
        book.of("t1").deliveries += 1
        tick(book, START + (number + 1) * 60, [])
    assert [key[1] for key in taken(book)] == [2, 3, 4]
    assert book.dropped == 2


def test_a_tenant_that_left_the_node_is_counted_to_the_end_and_then_forgotten() -> None:
    book = UsageBook("n1", START)
    before = book.of("t1")
    before.deliveries += 1
    book.forget("t1")
    before.deliveries += 1
    tick(book, START + 60, [])
    assert taken(book)["t1", 0].deliveries == 2
    assert book.of("t1") is not before
    book.forget("t1")
    assert book.of("t1") is book.of("t1")  # it came back within the minute
    again = book.of("t1")
    tick(book, START + 120, [])
    assert book.of("t1") is again


def test_rooms_and_histories_show_their_highest() -> None:
    book = UsageBook("n1", START)
    usage = book.of("t1")
    for rooms, history_bytes in ((1, 10), (5, 300), (2, 20)):
        usage.note_rooms(rooms)
        usage.note_history(history_bytes)
    (row,) = book.rows("t1")
    assert (row.peak_rooms, row.history_bytes) == (5, 300)
    assert [tenant_id for tenant_id, _ in book.active] == ["t1"]


def test_a_delivery_counts_for_each_socket_that_took_it() -> None:
    room = Surroundings()
    usage = room.deliveries.usage
    room.join("alice")
    room.join("bob", binary=True)
    closing = room.join("carol")
    room.arrive(message(1), message(2))
    assert usage.deliveries == 6
    closing.close(1000)
    room.arrive(message(3))
    assert usage.deliveries == 8


def test_a_message_that_is_excluded_or_ones_own_is_no_delivery_and_an_echo_is_one() -> None:
    room = Surroundings()
    alice, bob, carol = (room.join(name) for name in ("alice", "bob", "carol"))
    room.arrive(message(1, origin=Origin(exclude=("alice",))))
    assert (alice.usage.deliveries, room.deliveries.usage.deliveries) == (0, 2)
    room.arrive(message(2, origin=Origin(connection="bob")))
    assert (bob.usage.deliveries, room.deliveries.usage.deliveries) == (0, 4)
    room.arrive(message(3, origin=Origin(connection="bob", echo=True)))
    assert (bob.usage.deliveries, room.deliveries.usage.deliveries) == (1, 6)
    assert carol.usage.deliveries == 0
    assert bob.offsets == [1, 3]


def test_one_who_leaves_while_a_delivery_is_under_way_is_not_counted() -> None:
    room = Surroundings()
    ears = [room.join(f"c{number}") for number in range(300)]  # more than one turn sends
    room.arrive(message(1))
    leaving = room.member("c299")
    del leaving.connection.rooms["chat"]
    room.room.remove(leaving)
    room.fanout.run()
    assert room.deliveries.usage.deliveries == 299 == sum(len(ear.offsets) for ear in ears)
