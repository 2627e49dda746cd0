"""Rates divided over nodes on one Valkey: never more than the whole, and to whoever asks."""

import random

import pytest

from service.brokers import shares
from service.brokers.keys import TenantKeys
from tests.brokers.conftest import Node, Server

pytestmark = pytest.mark.anyio


async def asks(node: Node, *wanted: float, nodes: int = 2, tenant_id: str = "T1") -> tuple[float, ...] | None:
    """What a node has after it asked for these parts; None: an even share."""
    greedy = [tenant_id] if max(wanted) > 1 / nodes else []
    return (await node.divide_rates(nodes, {tenant_id: wanted}, greedy, [0.05] * len(wanted))).get(tenant_id)


async def test_nobody_greedy_nothing_is_divided(a: Node, server: Server) -> None:
    assert await asks(a, 0.5) is None
    assert server.client.keys(TenantKeys("T1").key(b"q")) == []


async def test_a_greedy_node_gets_what_the_others_gave_up_and_no_sooner(a: Node, b: Node) -> None:
    assert await asks(a, 1.0) == (0.5,)
    assert await asks(b, 0.05) == (0.05,)
    assert await asks(a, 1.0) == (0.95,)


async def test_two_greedy_nodes_come_to_even_shares(a: Node, b: Node) -> None:
    await asks(a, 1.0)
    await asks(b, 0.05)
    await asks(a, 1.0)
    assert await asks(b, 1.0) == (0.05,)
    assert await asks(a, 1.0) == (0.5,)
    assert await asks(b, 1.0) == (0.5,)


async def test_who_wants_little_has_it_and_the_rest_is_parted_evenly(a: Node, b: Node) -> None:
    for _ in range(3):
        of_a, of_b = await asks(a, 0.7, 0.6), await asks(b, 0.4, 0.2)
    assert of_a is not None
    assert of_b is not None
    assert (*of_a, *of_b) == pytest.approx((0.636_364, 0.7, 0.363_636, 0.3), abs=0.1)


async def test_a_node_that_did_not_ask_holds_an_even_share(a: Node, b: Node) -> None:
    for _ in range(3):
        await asks(a, 1.0, nodes=4)
    assert await asks(b, 1.0, nodes=4) == (0.25,)
    assert await asks(a, 1.0, nodes=4) == (0.25,)


async def test_the_share_of_a_node_that_stopped_asking_goes_to_the_others(
    a: Node, b: Node, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "SHARE_MS", 1)
    await asks(b, 1.0)
    while until_ms(server, b) >= now_ms(server):
        pass
    assert await asks(a, 1.0, nodes=1) == (1.0,)


def until_ms(server: Server, node: Node) -> int:
    kept = server.client.hgetall(TenantKeys("T1").key(b"q"))
    return int(kept[node.node.encode()].split()[0])


def now_ms(server: Server) -> int:
    seconds, microseconds = server.client.time()
    return int(seconds * 1_000 + microseconds // 1_000)


async def test_all_other_nodes_learn_of_a_tenant_that_one_is_greedy_for(a: Node, b: Node) -> None:
    await asks(a, 0.8)
    assert await b.divide_rates(2, {}, [], [0.05]) == {"T1": (0.125,)}


async def test_when_nobody_is_greedy_any_more_shares_are_even_and_nothing_is_left(
    a: Node, b: Node, server: Server
) -> None:
    await asks(a, 1.0)
    await asks(b, 0.05)
    await asks(a, 0.05)
    for node in (a, b):
        assert await asks(node, 0.1) == (0.5,)
    server.client.zremrangebyrank("rc1:{n}:sought", 0, -1)  # as after ten seconds
    for node in (a, b):
        assert await asks(node, 0.1) is None
    assert server.client.keys(TenantKeys("T1").key(b"q")) == []


async def test_shares_are_never_more_than_the_whole(a: Node, b: Node) -> None:
    chance = random.Random(4)
    held: dict[str, tuple[float, ...]] = {a.node: (0.5, 0.5), b.node: (0.5, 0.5)}
    for _ in range(300):
        node = chance.choice((a, b))
        wanted = [chance.choice((0.05, 0.3, 0.5, 0.8, 1.0)) for _ in range(2)]
        held[node.node] = await asks(node, *wanted) or (0.5, 0.5)
        for parts in zip(*held.values(), strict=True):
            assert sum(parts) <= 1.000_01
