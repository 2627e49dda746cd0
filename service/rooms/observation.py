"""The second hand of a node's statistics, and what all nodes counted, added up."""

import asyncio
import time
from contextlib import suppress
from typing import Final

import msgspec

from service.protocol.errors import RoomcastError
from service.rooms.node import Node
from service.rooms.roll_call import RollCall
from service.rooms.statistics import Point, merge

# How often Redis' clock is compared with this machine's: quartzes drift apart by less than 1 ms meanwhile.
CLOCK_SECONDS: Final = 10
# A second is asked for when all nodes have ticked it, and some were late.
SETTLED_SECONDS: Final = 2
_decode_points: Final = msgspec.json.Decoder(list[Point]).decode


async def keep_statistics(node: Node) -> None:
    """Tick at the beginning of each second, until cancelled. A second that a busy loop missed has no point."""
    statistics = node.statistics
    planned = int(time.time())
    while True:
        planned = max(planned, int(time.time())) + 1  # a sleep may end a little early: no second twice
        await asyncio.sleep(planned - time.time())
        statistics.loop_lag_ms = max(0.0, time.time() - planned) * 1000
        statistics.tick(planned - 1, node.connection_counts())
        if planned % CLOCK_SECONDS == 0:
            with suppress(RoomcastError):
                statistics.clock_ahead_ms = (await node.broker.look_at_redis()).clock_ahead_ms


async def ask_all_nodes(node: Node, roll_call: RollCall, tenant_id: str | None, seconds: int) -> list[Point]:
    """The last seconds of a tenant, or (None) of all of them, over the nodes that answer within a second; those that
    don't, and all others while Redis is away, are left out.
    """
    last = int(time.time()) - SETTLED_SECONDS
    first = last - seconds + 1
    others: set[str] = set()
    with suppress(RoomcastError):
        others = {facts.node for facts in await roll_call.nodes()} - {node.name}
    answers = await node.questions.ask(others, msgspec.json.encode((tenant_id, first)))
    parts = [node.statistics.points(tenant_id, first)]
    for answer in answers:
        with suppress(msgspec.MsgspecError):  # a node of another version
            parts.append(_decode_points(answer))
    return merge(parts, first, last)
