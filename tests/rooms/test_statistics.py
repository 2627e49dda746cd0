"""A node's points: what each second came to, by tenant and in all; and the nodes' points added up."""

from service.rooms.statistics import KEPT_SECONDS, TENANTS_KEPT, Point, Statistics, merge
from service.rooms.usage import Usage, UsageBook
from service.telemetry import counters

MINUTE = 29_000_000 * 60


def taking(usage: Usage, messages: int, refused: int = 0) -> None:
    usage.messages_websocket += messages
    usage.deliveries += 3 * messages
    for _ in range(refused):
        usage.refuse("rate_limited")


def test_a_point_has_what_its_second_came_to_also_where_a_minute_ends() -> None:
    book = UsageBook("node", MINUTE + 58)
    statistics, usage = Statistics(book), book.of("t")
    for second, messages in ((58, 2), (59, 5), (60, 7), (61, 0)):
        taking(usage, messages, refused=messages)
        statistics.tick(MINUTE + second, [("t", 4)])
        list(book.tick(MINUTE + second + 1, [("t", 4)]))
    points = statistics.points("t", MINUTE)
    assert [(point.second - MINUTE, point.publishes, point.deliveries) for point in points] == [
        (58, 2, 6),
        (59, 5, 15),
        (60, 7, 21),
        (61, 0, 0),
    ]
    assert [point.refused for point in points] == [{"rate_limited": 2}, {"rate_limited": 5}, {"rate_limited": 7}, {}]
    assert {point.connections for point in points} == {4}


def test_what_came_between_the_tick_and_the_minutes_end_is_the_next_points() -> None:
    book = UsageBook("node", MINUTE)
    statistics, usage = Statistics(book), book.of("t")
    statistics.tick(MINUTE, [])
    taking(usage, 3)
    list(book.close_minute())
    taking(usage, 4)
    statistics.tick(MINUTE + 60, [])
    assert statistics.points("t", MINUTE + 1)[0].publishes == 7


def test_the_nodes_points_are_of_all_tenants() -> None:
    statistics = Statistics(UsageBook("node", MINUTE))
    counters.messages_published += 11
    statistics.tick(MINUTE, [("a", 2), ("b", 3)])
    (point,) = statistics.points(None, MINUTE)
    assert (point.publishes, point.connections) == (11, 5)


def test_no_more_is_kept_than_a_quarter_of_an_hour() -> None:
    book = UsageBook("node", MINUTE)
    statistics = Statistics(book)
    book.of("t")
    for second in range(KEPT_SECONDS + 5):
        statistics.tick(MINUTE + second, [("t", 1)])
    assert len(statistics.points("t", 0)) == len(statistics.points(None, 0)) == KEPT_SECONDS


def test_a_tenant_that_is_asked_about_takes_the_place_of_one_that_is_not() -> None:
    book = UsageBook("node", MINUTE)
    statistics = Statistics(book)
    for number in range(TENANTS_KEPT + 1):
        book.of(f"t{number}")
    statistics.tick(MINUTE, [])
    late = f"t{TENANTS_KEPT}"
    taking(book.of(late), 9)
    assert statistics.points(late, 0) == []
    taking(book.of(late), 2)
    statistics.tick(MINUTE + 1, [])
    assert [point.publishes for point in statistics.points(late, 0)] == [2]
    assert statistics.points("t0", 0) == []
    assert len(statistics.points("t2", 0)) == 2


def test_delays_are_told_by_percentile_and_corrected_by_the_clocks_difference() -> None:
    book = UsageBook("node", MINUTE)
    statistics, usage = Statistics(book), book.of("t")
    statistics.clock_ahead_ms = 1000.0
    usage.delays_ms += [-999.0] * 98 + [-900.0] * 2
    statistics.tick(MINUTE, [])
    (point,) = statistics.points("t", 0)
    assert (point.percentile(0.5), point.percentile(0.99)) == (1, 100)
    assert usage.delays_ms == []
    assert Point(MINUTE).percentile(0.5) is None


def test_the_nodes_points_are_added_up_second_by_second() -> None:
    here = [Point(5, 1, 2, 3, 4, 5, {"invalid": 1}, {0: 3}), Point(7, 1)]
    there = [Point(5, 10, 20, 30, 40, 50, {"invalid": 1, "schema": 2}, {0: 1, 4: 2}), Point(9, 9)]
    assert merge([here, there], 5, 7) == [
        Point(5, 11, 22, 33, 44, 55, {"invalid": 2, "schema": 2}, {0: 4, 4: 2}),
        Point(6, refused={}, delays={}),
        Point(7, 1),
    ]
    assert here[0].publishes == 2
