"""SIGSTOP of random nodes, shorter and longer than a lease, and their waking, under load."""

import asyncio

from tests.faults.run import Outcome, Row, Run

LEASE_SECONDS = 6.0
MARGIN_SECONDS = 4.0  # by then the others have swept the members of whose lease has ended


async def run(run: Run) -> Outcome:
    """Freeze one, past the end of its lease or not; its members go and come back, and its clients miss nothing."""
    valkey = run.start_valkey()
    await run.start_nodes(3, valkey.url)
    await run.make_tenants(1 if run.is_short else 3)
    back_seconds = 0.0
    async with run.load(rooms=5, subscribers=10, watchers=3, messages_per_second=80 if run.is_short else 150) as load:
        for number in range(run.times):
            await asyncio.sleep(run.chance.uniform(0.2, 1.2))
            is_past_its_lease = not run.is_short and number % 2 == 1
            victim = run.chance.choice(run.nodes)
            victim.freeze()
            try:
                if is_past_its_lease:
                    await load.presence_is_right(LEASE_SECONDS + MARGIN_SECONDS, frozen=victim)
                    await asyncio.sleep(run.chance.uniform(0, 2))
                else:
                    await asyncio.sleep(run.chance.uniform(0.5, LEASE_SECONDS / 2))
            finally:
                victim.thaw()
            run.recovered(await load.publishes_again(), within_seconds=2)
            back_seconds = max(back_seconds, await load.presence_is_right(10 * run.patience))
    return run.outcome(presence_right_after_waking_seconds=back_seconds)


ROW = Row(
    name="node_freezes",
    fault="SIGSTOP of a random one of 3 nodes for 0.5 to 12 s, every other time past its lease, then SIGCONT",
    done_when="0 lost, 0 doubled, 0 out of order; its members swept within 10 s and back when it wakes",
    full_times=60,
    round_times=10,
    short_times=2,
    run=run,
)
