import pytest

from service.protocol.errors import RateLimited
from service.rooms import room_rates
from service.rooms.room_rates import MAX_ROOMS, RoomRates


class Clock:
    """Monotonic seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(room_rates, "time", clock)
    return clock


def let_through(rates: RoomRates, rate_per_second: int, room: str = "chat") -> bool:
    try:
        rates.take(room, rate_per_second)
    except RateLimited:
        return False
    return True


def test_over_its_rate_a_room_refuses_and_says_when(clock: Clock) -> None:
    rates = RoomRates()
    assert [let_through(rates, 10) for _ in range(11)] == [True] * 10 + [False]
    with pytest.raises(RateLimited) as refused:
        rates.take("chat", 10)
    error = refused.value
    assert (error.limit, error.scope, error.room, error.retry_after_ms) == ("messages_per_second", "room", "chat", 100)
    assert let_through(rates, 10, "other")
    clock.now += 0.11
    assert let_through(rates, 10)


def test_what_other_nodes_let_through_counts_and_ones_own_counts_once(clock: Clock) -> None:
    rates = RoomRates()
    for _ in range(4):
        rate = rates.take("chat", 10)
    rate.hear(7)  # four of ours, three of others
    assert [let_through(rates, 10) for _ in range(4)] == [True] * 3 + [False]


def test_two_nodes_that_hear_each_other_let_the_rate_through_together(clock: Clock) -> None:
    nodes = [RoomRates(), RoomRates()]
    total = 0
    for _ in range(1_000):
        clock.now += 0.01
        granted = [let_through(node, 50) for node in nodes]
        total += sum(granted)
        for node in nodes:
            node.of("chat", 50).hear(sum(granted))
    assert 500 <= total <= 1.1 * 500


def test_an_idle_bucket_gives_no_credit_for_what_others_use_now(clock: Clock) -> None:
    rates = RoomRates()
    rate = rates.of("chat", 10)
    clock.now += 3_600
    rate.hear(10)
    assert not let_through(rates, 10)


def test_a_flood_through_other_nodes_silences_this_one_no_longer_than_it_lasts(clock: Clock) -> None:
    """Nodes without members hear of nobody: together they may let more through than the rate."""
    rates = RoomRates()
    for _ in range(60):
        rates.of("chat", 10).hear(100)
        clock.now += 1
        assert not let_through(rates, 10)
    clock.now += 1.1
    assert let_through(rates, 10)


def test_what_never_comes_around_does_not_hide_what_others_send(clock: Clock) -> None:
    rates = RoomRates()
    rates.take("chat", 10).ends()
    rates.take("chat", 10).take_back()
    rate = rates.of("chat", 10)
    assert rate.own == 0
    rate.hear(9)
    assert not let_through(rates, 10)


def test_another_rate_is_in_force_at_once(clock: Clock) -> None:
    rates = RoomRates()
    assert [let_through(rates, 2) for _ in range(3)] == [True, True, False]
    clock.now += 1
    assert [let_through(rates, 100) for _ in range(3)] == [True, True, True]
    assert let_through(rates, 1)
    assert not let_through(rates, 1)


def test_the_rooms_that_are_remembered_are_bounded(clock: Clock) -> None:
    rates = RoomRates()
    for number in range(MAX_ROOMS + 10):
        rates.take(f"room-{number}", 1)
    assert len(rates._by_room) == MAX_ROOMS
    assert not let_through(rates, 1, f"room-{MAX_ROOMS}")
    assert let_through(rates, 1, "room-0")
