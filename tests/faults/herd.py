"""A crowd in a process of its own, which is cut off again and again: `python -m tests.faults.herd`.

The first line on stdin is a `Herd` as JSON; it answers `ready` when everybody is in. Each further line cuts all of them
off at once; it answers with a `Return` when all are back. At the end of stdin it says what the checker found, as JSON.
"""

import asyncio
import random
import sys
from typing import Any, NamedTuple, cast

import msgspec
import uvloop

from tests.faults.run import KEPT_MESSAGES
from tests.support.checker import Broken, check
from tests.support.load import Load
from tests.support.records import Entered, Record
from tests.support.tenants import Tenant

PATIENCE_SECONDS = 90


class At(NamedTuple):
    """A node that somebody else has started."""

    address: str


class Herd(msgspec.Struct):
    """Where it goes, as whom, and its size. tenant: its fields, but for the storage."""

    address: str
    tenant: list[str]
    subscribers: int
    rooms: int
    messages_per_second: float


class Return(msgspec.Struct):
    """After a cut: how long until the half and all were back in their rooms, and how many did not recover."""

    half_seconds: float
    all_seconds: float
    not_recovered: int


async def cut(load: Load, log: list[Record]) -> Return:
    """Cut everybody off, and wait for them."""
    loop = asyncio.get_running_loop()
    everybody, before, cut_at = load.participants, len(log), loop.time()
    for each in everybody:
        assert each.client is not None
        each.is_in.clear()
        each.client.drop()
    half_seconds = 0.0
    while (away := sum(not each.is_in.is_set() for each in everybody)) and loop.time() < cut_at + PATIENCE_SECONDS:
        if away <= len(everybody) / 2 and not half_seconds:
            half_seconds = loop.time() - cut_at
        await asyncio.sleep(0.05)
    entered = [record for record in log[before:] if isinstance(record, Entered)]
    recovered = sum(record.recovered is True for record in entered)
    return Return(half_seconds, loop.time() - cut_at, len(everybody) - recovered)


async def main() -> list[Broken]:
    """Obey until the lines end."""
    herd = msgspec.json.decode(sys.stdin.readline(), type=Herd)
    tenant = Tenant(*cast(Any, [*herd.tenant, None]))
    log: list[Record] = []
    load = Load(
        [tenant],
        [At(herd.address)],
        log,
        random.Random(0),
        rooms=herd.rooms,
        publishers_per_room=1,
        subscribers=herd.subscribers,
        rooms_per_subscriber=1,
        watchers=0,
        messages_per_second=herd.messages_per_second,
    )
    async with load:
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(msgspec.json.encode(await cut(load, log)).decode(), flush=True)
    return [Broken("row", "client", text) for text in load.complaints] + check(log, KEPT_MESSAGES)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(msgspec.json.encode(runner.run(main())).decode(), flush=True)
