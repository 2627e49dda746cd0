from typing import Any

import pytest
from litestar.connection import ASGIConnection

from service.api.operators import OperatorAccess
from service.protocol.errors import Forbidden, RateLimited, Unauthenticated

TOKEN = "rco_" + "a" * 43


def connection(address: str) -> ASGIConnection[Any, Any, Any, Any]:
    return ASGIConnection({"type": "http", "headers": [], "client": (address, 1)})  # type: ignore[arg-type]


@pytest.fixture
def access() -> OperatorAccess:
    return OperatorAccess(TOKEN, lambda peer, headers: peer)


def test_the_right_token_passes_however_many_wrong_ones_came_before(access: OperatorAccess) -> None:
    for _ in range(20):
        with pytest.raises((Unauthenticated, RateLimited)):
            access.check(connection("192.0.2.1"), "wrong")
    access.check(connection("192.0.2.1"), TOKEN)


@pytest.mark.parametrize("token", ["", TOKEN[:-1], TOKEN + "a", TOKEN.upper(), "\ud800", "x" * 100_000])
def test_another_text_is_no_operators_token(access: OperatorAccess, token: str) -> None:
    with pytest.raises(Unauthenticated):
        access.check(connection("192.0.2.1"), token)


def test_an_api_key_is_known_by_its_form_and_counts_as_no_wrong_token(access: OperatorAccess) -> None:
    for _ in range(20):
        with pytest.raises(Forbidden):
            access.check(connection("192.0.2.1"), "rck_acme_whatever")
    with pytest.raises(Unauthenticated):
        access.check(connection("192.0.2.1"), "wrong")


def test_a_flood_of_addresses_takes_bounded_memory_and_forgets_the_oldest(access: OperatorAccess) -> None:
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            access.check(connection("first"), "wrong")
    for number in range(10_000):
        with pytest.raises(Unauthenticated):
            access.check(connection(str(number)), "wrong")
    with pytest.raises(Unauthenticated):  # forgotten: with a full burst again
        access.check(connection("first"), "wrong")
