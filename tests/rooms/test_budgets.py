"""A tenant's rates on one node, and each user's part of them. The clock is the test's."""

from contextlib import suppress

import pytest

from service.protocol.errors import RateLimited
from service.rooms import budgets as module
from service.rooms.budgets import Budgets, Rates, SharedBucket
from service.tenants.limits import Limits


def grants(
    bucket: SharedBucket, user: str | None, attempts: int, now: float, cost: int = 1
) -> list[RateLimited | None]:
    """What became of so many attempts at one moment."""
    found: list[RateLimited | None] = []
    for _ in range(attempts):
        try:
            bucket.take_for(user, cost, now)
            found.append(None)
        except RateLimited as refused:
            found.append(refused)
    return found


def test_a_greedy_user_leaves_something_for_everybody_else() -> None:
    bucket = SharedBucket("publishes_per_second", 1_000, 0.0)
    modest: list[RateLimited | None] = []
    greedy = 0
    for tick in range(1_000):  # 10 s: ten times the tenant's rate, beside 20 a second
        now = tick / 100
        greedy += grants(bucket, "greedy", 100, now).count(None)
        if tick % 5 == 0:
            modest += grants(bucket, "modest", 1, now)
    assert modest == [None] * 200
    assert 0.9 * 10_000 <= greedy <= 1.1 * 10_000 - 200


def test_a_user_alone_has_all_that_the_tenant_has() -> None:
    bucket = SharedBucket("publishes_per_second", 10, 0.0)
    found = grants(bucket, "alone", 15, 0.0)
    assert found.count(None) == 10
    assert {error.scope for error in found if error is not None} == {"tenant"}


def test_one_who_comes_when_all_is_used_up_has_its_part_soon() -> None:
    bucket = SharedBucket("publishes_per_second", 100, 0.0)
    assert grants(bucket, "greedy", 200, 0.0).count(None) == 100
    assert grants(bucket, "modest", 1, 0.0) != [None]
    modest = 0
    for tick in range(1, 100):
        grants(bucket, "greedy", 20, tick / 100)
        modest += grants(bucket, "modest", 1, tick / 100).count(None)
    assert modest >= 25


def test_a_user_that_is_held_back_is_told_whose_limit_it_is_and_for_how_long() -> None:
    bucket = SharedBucket("publishes_per_second", 100, 0.0)
    grants(bucket, None, 60, 0.0)
    grants(bucket, "modest", 1, 0.0)
    refused = [error for error in grants(bucket, "greedy", 200, 0.0, 1) if error is not None]
    assert {(error.limit, error.scope) for error in refused} == {("publishes_per_second", "user")}
    assert all(1 <= (error.retry_after_ms or 0) <= 1_000 for error in refused)


def test_many_greedy_users_have_equal_parts() -> None:
    bucket = SharedBucket("publishes_per_second", 1_000, 0.0)
    granted = dict.fromkeys(map(str, range(10)), 0)
    for tick in range(1_000):
        for user in granted:
            granted[user] += grants(bucket, user, 10, tick / 100).count(None)
    assert sum(granted.values()) <= 11_000
    assert max(granted.values()) <= 1.6 * min(granted.values())


def test_a_user_whose_rooms_are_large_leaves_deliveries_for_small_rooms() -> None:
    bucket = SharedBucket("deliveries_per_second", 100_000, 0.0)
    small: list[RateLimited | None] = []
    for tick in range(1_000):
        grants(bucket, "large", 1, tick / 100, cost=10_000)
        small += grants(bucket, "small", 1, tick / 100, cost=20)
    assert small == [None] * 1_000


def test_the_tenants_server_has_what_the_tenant_has() -> None:
    bucket = SharedBucket("publishes_per_second", 100, 0.0)
    found = grants(bucket, None, 150, 0.0)
    assert found.count(None) == 100
    assert {error.scope for error in found if error is not None} == {"tenant"}


def test_no_limit_holds_nobody() -> None:
    assert grants(SharedBucket("publishes_per_second", None, 0.0), "greedy", 1_000, 0.0) == [None] * 1_000


def test_users_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_USERS", 100)
    bucket = SharedBucket("publishes_per_second", 10_000, 0.0)
    grants(bucket, None, 6_000, 0.0)
    for number in range(1_000):
        grants(bucket, str(number), 1, 0.0)
    assert len(bucket._users) <= 101
    grants(bucket, "later", 1, 0.05)
    grants(bucket, "later", 5_100, 2.0)
    assert list(bucket._users) == ["later"]


def publishes(budgets: Budgets, attempts: int, members: int = 1) -> int:
    """How many of so many attempts are let through."""
    granted = 0
    for _ in range(attempts):
        with suppress(RateLimited):
            budgets.take_publish(members, "chat")
            granted += 1
    return granted


def test_a_share_of_the_limits_is_in_force_at_once_and_what_was_used_stays_used() -> None:
    budgets = Budgets(Limits(publishes_per_second=100))
    assert publishes(budgets, 30) == 30
    budgets.divide(Rates(1.0, 0.5, 1.0, 1.0))
    assert publishes(budgets, 100) == pytest.approx(50, abs=2)


def test_a_publish_that_is_refused_for_its_deliveries_was_none() -> None:
    budgets = Budgets(Limits(publishes_per_second=10, deliveries_per_second=1_000))
    assert publishes(budgets, 20, members=1_000) == 1
    budgets.reconfigure(Limits(publishes_per_second=10, deliveries_per_second=None))
    assert publishes(budgets, 20) == 9


def test_demand_is_told_in_parts_of_the_limits_refused_or_not() -> None:
    budgets = Budgets(Limits(publishes_per_second=10, deliveries_per_second=1_000, connects_per_second=None))
    assert publishes(budgets, 20, members=50) == 10
    budgets.take_connect()
    assert budgets.take_demand(2.0) == Rates(0.0, 1.0, 0.25, 0.0)
    assert budgets.take_demand(1.0) is None
