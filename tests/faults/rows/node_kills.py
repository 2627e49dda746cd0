"""kill -9 of random nodes, one after the other, under load."""

import asyncio

from tests.faults.run import Outcome, Row, Run

APART_SECONDS = 12.0  # a dead node's lease ends after 6 s, its members are swept within 10
PRESENCE_SECONDS = 10.0


async def run(run: Run) -> Outcome:
    """Kill, see presence come right among those who are left, start again; each at least 12 s apart."""
    valkey = run.start_valkey()
    await run.start_nodes(3, valkey.url)
    await run.make_tenants(2 if run.is_short else 6)
    rooms, subscribers = (3, 6) if run.is_short else (10, 50)
    slowest_seconds, bound_seconds = 0.0, PRESENCE_SECONDS * run.patience
    async with run.load(
        rooms=rooms, subscribers=subscribers, watchers=2, messages_per_second=80 if run.is_short else 200
    ) as load:
        for _ in range(run.times):
            await asyncio.sleep(run.chance.uniform(0.2, 1.2))
            apart = asyncio.create_task(asyncio.sleep(0 if run.is_short else APART_SECONDS))
            victim = run.chance.choice(run.nodes)
            await asyncio.to_thread(victim.kill)
            again_seconds = await load.publishes_again()
            run.recovered(again_seconds, within_seconds=PRESENCE_SECONDS)
            presence_seconds = again_seconds + await load.presence_is_right(bound_seconds - again_seconds)
            slowest_seconds = max(slowest_seconds, presence_seconds)
            await run.restart(victim)
            await apart
        await run.healed()
    return run.outcome(presence_right_seconds=slowest_seconds)


ROW = Row(
    name="node_kills",
    fault="kill -9 of a random one of 3 nodes, ≥ 12 s apart; 200 messages/s, 300 subscribers, 60 rooms, 6 tenants",
    done_when="0 acknowledged lost, 0 doubled, 0 out of order, presence right within 10 s of each",
    full_times=200,
    round_times=10,
    short_times=1,
    run=run,
)
