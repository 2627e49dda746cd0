"""Rates over two nodes: never more than the limit in all, and to the node that asks."""

import asyncio
import time

import pytest

from service.protocol.events import ErrorEvent, Message, Published
from tests.support.fixtures import Connect, NewTenant
from tests.support.live_server import LiveNode
from tests.support.wire_client import Client

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

RATE = 200
WINDOW_SECONDS = 10
ALONE_SECONDS = 6.0
TOGETHER_SECONDS = 7.0


class Flood:
    """A client that asks ten times its tenant's rate. granted: when, by this process' clock; refused: what was said."""

    def __init__(self, client: Client) -> None:
        self.granted: list[float] = []
        self.refused: list[ErrorEvent] = []
        self._client = client

    async def run(self, seconds: float) -> None:
        """Publish to the room, and take the answers."""
        asked, started = 0, time.monotonic()
        while (passed := time.monotonic() - started) < seconds:
            more = int(passed * 10 * RATE) + 20 - asked
            asked += more
            await self._client.sends_together(
                *({"type": "publish", "room": "chat", "data": 1, "id": n} for n in range(more))
            )
            for _ in range(more):
                match await self._client.next():
                    case ErrorEvent() as error:
                        self.refused.append(error)
                    case Published():
                        self.granted.append(time.monotonic())
            await asyncio.sleep(0.01)

    def granted_between(self, start: float, end: float) -> int:
        """How many were let through."""
        return sum(start <= at < end for at in self.granted)


async def test_a_rate_is_the_nodes_together_and_goes_to_the_one_that_asks(
    connect: Connect, node: LiveNode, other_node: LiveNode, new_tenant: NewTenant
) -> None:
    tenant = await new_tenant(publishes_per_second=RATE)
    reader = await connect("reader", tenant=tenant)
    await reader.joins("chat")
    here = Flood(await connect("here", tenant=tenant))
    there = Flood(await connect("there", tenant=tenant, at=other_node))
    stamps: list[int] = []
    reading = asyncio.create_task(read(reader, stamps))
    started = time.monotonic()
    await here.run(ALONE_SECONDS)
    await asyncio.gather(here.run(TOGETHER_SECONDS), there.run(TOGETHER_SECONDS))
    await there.run(ALONE_SECONDS)
    ended = time.monotonic()
    while len(stamps) < len(here.granted) + len(there.granted):
        await asyncio.sleep(0.01)
    reading.cancel()

    # by Redis' own clock, in any 10 s: 1.1 times the limit, and what one message more on each node may be
    most = max(sum(first <= stamp < first + WINDOW_SECONDS * 1_000 for stamp in stamps) for first in stamps)
    assert most <= 1.1 * RATE * WINDOW_SECONDS + 2
    assert len(stamps) >= 0.7 * RATE * (ended - started)
    # each alone has much more than its even half within 3 s, and together both have half
    assert here.granted_between(started + 3, started + ALONE_SECONDS) >= 0.7 * RATE * 3
    assert there.granted_between(ended - 3, ended) >= 0.7 * RATE * 3
    together = started + ALONE_SECONDS + 4
    for flood in (here, there):
        assert 0.35 * RATE * 3 <= flood.granted_between(together, together + 3) <= 0.65 * RATE * 3
    for error in here.refused + there.refused:
        assert (error.code, error.limit) == ("rate_limited", "publishes_per_second")
        assert error.scope in ("tenant", "user")
        assert isinstance(error.retry_after_ms, int)
        assert error.retry_after_ms >= 1


async def read(reader: Client, stamps: list[int]) -> None:
    """Note when Redis had each message."""
    while True:
        event = await reader.next(timeout_seconds=30)
        if isinstance(event, Message):
            stamps.append(event.time_ms)
