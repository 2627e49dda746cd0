import asyncio
from ipaddress import ip_network

import pytest

from service.protocol.errors import RateLimited
from service.transports.door import ADDRESSES_REMEMBERED, Door
from service.transports.outbox import Turn


def make_door(proxies: str = "", rate: int | None = None) -> Door:
    return Door(
        Turn(asyncio.new_event_loop()),
        trusted_proxies=[ip_network(text) for text in proxies.split()],
        connects_per_second_per_address=rate,
        ping_interval_seconds=25,
        pong_timeout_seconds=10,
        outbox_max_bytes=1024,
    )


@pytest.fixture(autouse=True)
def close_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doors of these tests need a turn, and never run it."""
    loop = asyncio.new_event_loop()
    loop.close()
    monkeypatch.setattr(asyncio, "new_event_loop", lambda: loop)


def forwarded(*lines: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", line.encode()) for line in lines]


@pytest.mark.parametrize(
    ("proxies", "peer", "headers", "address"),
    [
        ("", "192.0.2.1", forwarded("203.0.113.9"), "192.0.2.1"),
        ("10.0.0.0/8", "192.0.2.1", forwarded("203.0.113.9"), "192.0.2.1"),
        ("10.0.0.0/8", "10.0.0.1", forwarded("203.0.113.9"), "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", forwarded("6.6.6.6, 203.0.113.9, 10.0.0.7"), "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", forwarded("6.6.6.6", "203.0.113.9"), "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", forwarded("203.0.113.9, unknown"), "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", forwarded("2001:db8::1"), "2001:db8::1"),
    ],
)
def test_forwarded_addresses_count_only_as_far_as_the_proxies_are_trusted(
    proxies: str, peer: str, headers: list[tuple[bytes, bytes]], address: str
) -> None:
    assert make_door(proxies).client_address(peer, headers) == address


def test_each_address_has_its_own_rate() -> None:
    door = make_door(rate=2)
    door.take_connect("192.0.2.1")
    door.take_connect("192.0.2.1")
    with pytest.raises(RateLimited) as refused:
        door.take_connect("192.0.2.1")
    assert (refused.value.limit, refused.value.scope) == ("connects_per_second_per_address", "address")
    assert refused.value.retry_after_ms is not None
    assert 1 <= refused.value.retry_after_ms <= 500
    door.take_connect("192.0.2.2")


def test_one_ipv6_network_of_64_bits_is_one_source() -> None:
    door = make_door(rate=1)
    door.take_connect("2001:db8::1")
    with pytest.raises(RateLimited):
        door.take_connect("2001:db8::2")
    door.take_connect("2001:db8:0:1::1")


def test_what_is_remembered_of_addresses_is_bounded() -> None:
    door = make_door(rate=1)
    for number in range(ADDRESSES_REMEMBERED + 10):
        door.take_connect(f"a{number}")
    assert len(door._buckets) == ADDRESSES_REMEMBERED
