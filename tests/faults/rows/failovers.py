"""What the rows of Sentinel and Cluster share: a primary is hurt, a replica takes its place, the old one comes back.

There are two tenants. The rooms of one acknowledge what Redis has stored: a failover may lose some of it, and says so.
The other's acknowledge what all replicas have: that is on the server that was promoted, and as long as a replica is
away nothing more is acknowledged.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

from tests.faults.run import KEPT_MESSAGES, Outcome, Run
from tests.support.load import Load
from tests.support.records import Acknowledged
from tests.support.tenants import Tenant

Way = Literal["killed", "frozen", "cut off", "killed ahead"]  # ahead of its replicas, which were away
AGAIN_WITHIN_SECONDS: Final = 5.0  # of the promotion, or of the replicas' return
STARVED_SECONDS: Final = 10.0  # nobody hears nothing for so long after a promotion
AHEAD_SECONDS: Final = 0.4  # what is acknowledged meanwhile is lost, unless all replicas had to have it
LOOK_SECONDS: Final = 0.01


class Deployment(Protocol):
    """Primaries with replicas, with `appendonly yes`."""

    url: str

    def primary(self) -> int:
        """One to hurt."""
        ...

    def hurt(self, server: int, way: Way) -> None:
        """Begin the fault."""
        ...

    async def failed_over(self, server: int) -> int:
        """Wait for its successor, and say which it is."""
        ...

    def heal(self, server: int, way: Way) -> None:
        """End the fault."""
        ...

    async def is_whole(self) -> None:
        """Wait until all servers are there, the replicas in sync."""
        ...

    def serving(self) -> list[Path]:
        """The folders of the data of all that are primaries now."""
        ...


async def try_failovers(run: Run, deployment: Deployment, ways: Sequence[Way]) -> Outcome:
    """`times` failovers, the ways in turn."""
    await run.start_nodes(2, deployment.url)
    stored, replicated = await run.make_tenants(2)
    await replicated.room_type("kept", pattern="*", history_messages=KEPT_MESSAGES, acknowledge="replicated")
    lost = 0
    async with run.load(rooms=6, publishers_per_room=1, subscribers=4, rooms_per_subscriber=3) as load:
        await publishes_again(load, replicated)  # the nodes know the room type
        for number in range(run.times):
            seen = len(run.log)
            await asyncio.sleep(run.chance.uniform(1, 2))
            way = ways[(run.seed + number) % len(ways)]
            old = deployment.primary()
            await asyncio.to_thread(deployment.hurt, old, way)
            await deployment.failed_over(old)
            hearing = asyncio.create_task(everybody_hears(run, load, stored))
            run.recovered(await publishes_again(load, stored), within_seconds=AGAIN_WITHIN_SECONDS)
            await hearing
            lost += judge_what_was_kept(run, deployment, seen)
            await asyncio.to_thread(deployment.heal, old, way)
            await deployment.is_whole()
            run.recovered(await publishes_again(load, replicated), within_seconds=AGAIN_WITHIN_SECONDS)
            await run.healed()
    gap = max(each.longest_gap_seconds for each in load.participants if each.tenant == stored)
    return run.outcome(lost_and_told=lost, longest_gap_where_stored_seconds=gap)


async def publishes_again(load: Load, tenant: Tenant, within_seconds: float = 30) -> float:
    """Seconds until every publisher of the tenant had one acknowledged that it began after this call."""
    loop = asyncio.get_running_loop()
    since = loop.time()
    publishers = [each for each in load.publishers if each.tenant == tenant]
    while any(each.proved_at < since for each in publishers) and loop.time() < since + within_seconds:
        await asyncio.sleep(LOOK_SECONDS)
    return loop.time() - since


async def everybody_hears(run: Run, load: Load, tenant: Tenant) -> None:
    """Wait until everybody of the tenant got a message, or complain that somebody starves."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STARVED_SECONDS
    heard = {each: each.deliveries for each in load.participants if each.tenant == tenant}
    while starving := [each.name for each, before in heard.items() if each.deliveries == before]:
        if loop.time() > deadline:
            run.complain("recovery", f"{starving} heard nothing for {STARVED_SECONDS} s after the promotion")
            return
        await asyncio.sleep(LOOK_SECONDS)


def judge_what_was_kept(run: Run, deployment: Deployment, seen: int) -> int:
    """Complain of messages of replicated rooms that were acknowledged since `seen`, and never came to a server that is
    a primary now: its file of commands has all that did. How many of the other rooms did not.
    """
    files = [file for folder in deployment.serving() for file in (folder / "appendonlydir").glob("*.incr.aof")]
    commands = b"".join(file.read_bytes() for file in files)
    acknowledged = [record for record in run.log[seen:] if isinstance(record, Acknowledged)]
    missing = [record for record in acknowledged if b'"%b"' % record.key.encode() not in commands]
    stored, _ = run.tenants
    for record in missing:
        if not record.room.startswith(f"{stored.name}/"):
            run.complain("lost", f"{record} was acknowledged by all replicas, and is on no primary now")
    return len(missing)
