import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocol.errors import Invalid
from service.tenants.limits import (
    Appointments,
    Limits,
    TokenBucket,
    apply_limits,
    frame_bytes,
    limits_table,
    parse_limit,
)


def test_the_frame_limit_follows_the_message_limit_unless_it_is_set() -> None:
    assert frame_bytes(Limits()) == 65_536 + 8_192
    assert Limits(max_message_bytes=100).frame_bytes == 8_292
    assert Limits(max_message_bytes=None).frame_bytes is None
    assert Limits(max_frame_bytes=10).frame_bytes == 10
    assert Limits(max_frame_bytes=None).frame_bytes is None


def test_limits_survive_storage_and_defaults_are_not_stored() -> None:
    limits = apply_limits(Limits(), {"max_rooms": None, "max_frame_bytes": None, "max_connections": 0})
    stored = msgspec.json.encode(limits)
    assert msgspec.json.decode(stored) == {"max_rooms": None, "max_frame_bytes": None, "max_connections": 0}
    assert msgspec.json.decode(stored, type=Limits) == limits
    assert msgspec.json.encode(Limits()) == b"{}"


def test_a_limit_is_a_whole_number_or_none() -> None:
    assert parse_limit("max_rooms=12") == ("max_rooms", 12)
    assert parse_limit("max_frame_bytes=none") == ("max_frame_bytes", None)


@pytest.mark.parametrize(
    "text",
    [
        "max_rooms",
        "max_rooms=",
        "max_rooms=-1",
        "max_rooms=1_0",
        "max_rooms= 7",
        "max_rooms=1\n",
        "max_rooms=٣",
        "max_rooms=NONE",
        "max_rooms=9999999999999999",
        "connects_per_second=0",
        "=1",
    ],
)
def test_a_bad_limit_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_limit(text)


def test_an_unknown_limit_is_answered_with_the_known_ones() -> None:
    with pytest.raises(Invalid, match=r"no limit 'max_romms'.*max_rooms") as refused:
        parse_limit("max_romms=1")
    assert refused.value.path == "$.limits.max_romms"
    with pytest.raises(Invalid):
        apply_limits(Limits(), {"max_romms": 1})


def test_a_limit_out_of_its_bounds_says_where() -> None:
    with pytest.raises(Invalid) as refused:
        apply_limits(Limits(), {"commands_per_second": 0})
    assert refused.value.path == "$.limits.commands_per_second"


def test_the_table_has_a_row_for_every_limit() -> None:
    rows = limits_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(Limits.__struct_fields__)
    assert all(row.count("|") == 6 for row in rows)


def test_a_bucket_grants_its_burst_then_says_how_long_to_wait() -> None:
    bucket = TokenBucket(10, 20, now=5.0)
    assert [bucket.take(1, 5.0) for _ in range(20)] == [0] * 20
    assert bucket.take(1, 5.0) == 100
    assert bucket.take(5, 5.0) == 500
    assert bucket.take(1, 5.0625) == 38
    assert bucket.take(1, 5.1001) == 0
    assert bucket.take(1, 5.1001) >= 1


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(10, 2, now=0.0)
    assert [bucket.take(1, 1_000.0) for _ in range(3)] == [0, 0, 100]


def test_a_cost_above_the_burst_waits_for_a_full_bucket_and_leaves_a_debt() -> None:
    bucket = TokenBucket(10, 10, now=0.0)
    assert bucket.take(1, 0.0) == 0
    assert bucket.take(50, 0.0) == 100
    assert bucket.take(50, 0.1) == 0
    assert bucket.take(1, 0.1) == 4_100


def test_a_debit_is_paid_before_anything_is_granted() -> None:
    bucket = TokenBucket(1, 1, now=0.0)
    bucket.debit(3)
    assert bucket.take(1, 0.0) == 3_000


def test_no_limit_grants_everything_and_a_new_limit_starts_without_debt() -> None:
    bucket = TokenBucket(None, 1, now=0.0)
    bucket.debit(1e9)
    assert bucket.take(1e9, 0.0) == 0
    bucket.reconfigure(1, 1)
    assert [bucket.take(1, 0.0), bucket.take(1, 0.0)] == [0, 1_000]


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 5)), max_size=200))
def test_a_bucket_never_grants_more_than_rate_times_time_and_its_burst(steps: list[tuple[float, int]]) -> None:
    now, granted = 0.0, 0
    bucket = TokenBucket(3, 6, now)
    for pause, cost in steps:
        now += pause
        refused_for_ms = bucket.take(cost, now)
        if refused_for_ms:
            assert refused_for_ms <= 2_001
        else:
            granted += cost
        assert granted <= 6 + 3 * now + 1e-6


def test_who_is_turned_away_gets_a_time_of_its_own_as_fast_as_the_rate_lets_in() -> None:
    appointments = Appointments()
    assert [appointments.make(8, 5.0) for _ in range(3)] == [125, 250, 375]
    assert appointments.make(8, 5.25) == 250  # behind the one at 5.375
    assert appointments.make(8, 60.0) == 125


def test_nobody_is_sent_away_for_longer_than_25_s_and_not_all_for_as_long() -> None:
    appointments = Appointments()
    waits = [appointments.make(10, 0.0) for _ in range(1_000)]
    assert max(waits) <= 25_000
    assert len({wait // 1_000 for wait in waits[500:]}) > 8
