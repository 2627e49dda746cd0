import pytest

from service.protocol.errors import RateLimited, TooLarge
from service.rooms.admission import admit, check_size
from service.rooms.budgets import Budgets
from service.rooms.outgoing import OutgoingMessage, author
from service.rooms.room_rates import RoomRates
from service.tenants.limits import Limits
from tests.rooms.surroundings import rules

MESSAGE = OutgoingMessage(b'"12345678"', author=author("alice", "c"))


def test_a_message_may_be_as_large_as_its_room_allows() -> None:
    check_size(b"x" * 10, 10)
    check_size(b"x" * 10, None)
    with pytest.raises(TooLarge) as refused:
        admit(MESSAGE, "chat", 1, rules(max_message_bytes=9), RoomRates(), Budgets(Limits()))
    error = refused.value
    assert (error.limit, error.path, error.room) == ("max_message_bytes", "$.data", "chat")


def test_a_room_without_a_rate_has_none() -> None:
    assert admit(MESSAGE, "chat", 1, rules(), RoomRates(), Budgets(Limits())) is None


def test_a_room_over_its_rate_uses_nothing_of_its_tenants() -> None:
    budgets, rates = Budgets(Limits(publishes_per_second=10)), RoomRates()
    assert admit(MESSAGE, "chat", 1, rules(messages_per_second=1), rates, budgets) is not None
    for _ in range(20):
        with pytest.raises(RateLimited) as refused:
            admit(MESSAGE, "chat", 1, rules(messages_per_second=1), rates, budgets)
        assert (refused.value.limit, refused.value.scope) == ("messages_per_second", "room")
    server = OutgoingMessage(b"1")
    for _ in range(9):
        admit(server, "other", 1, rules(), rates, budgets)


def test_what_the_tenant_refuses_uses_nothing_of_the_rooms_rate() -> None:
    budgets, rates = Budgets(Limits(publishes_per_second=1)), RoomRates()
    server, mine = OutgoingMessage(b"1"), rules(messages_per_second=2)
    rate = admit(server, "chat", 1, mine, rates, budgets)
    for _ in range(10):
        with pytest.raises(RateLimited) as refused:
            admit(server, "chat", 1, mine, rates, budgets)
        assert refused.value.scope == "tenant"
    assert rate is not None
    assert rate.own == 1
    admit(server, "chat", 1, mine, rates, Budgets(Limits()))
