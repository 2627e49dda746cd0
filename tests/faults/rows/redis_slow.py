"""A Redis that answers late: within the deadline nobody notices more than that, beyond it everybody is told in time."""

import asyncio
from typing import Final

from tests.faults.asker import Asker
from tests.faults.proxy import Proxy
from tests.faults.run import Outcome, Row, Run

BEARABLE_SECONDS: Final = (0.05, 0.4)  # each way
UNBEARABLE_SECONDS: Final = (1.0, 3.0)
FAULT_SECONDS: Final = 2.5


async def run(run: Run) -> Outcome:
    """In turn a delay under and one over the deadline."""
    valkey = run.start_valkey()
    proxy = run.ending.enter_context(Proxy(valkey.url, seed=run.seed))
    await run.start_nodes(2, proxy.url)
    await run.make_tenants(1 if run.is_short else 2)
    askers = []
    async with run.load(messages_per_second=50) as load:
        for number in range(run.times):
            is_bearable = number % 2 == 0
            delay = run.chance.uniform(*(BEARABLE_SECONDS if is_bearable else UNBEARABLE_SECONDS))
            async with Asker(run.tenants[0], run.nodes, f"ask-{number}") as asker:
                proxy.set(to_server_delay_seconds=delay, to_client_delay_seconds=delay)
                await asyncio.sleep(FAULT_SECONDS)
                proxy.heal()
                run.recovered(await load.publishes_again(), within_seconds=2)
            askers.append(asker)
            if is_bearable and (asker.refused or asker.unknown):
                run.complain("recovery", f"with a delay of 2 * {delay:.2f} s publishes were refused")
            await run.healed()
        for asker in askers:
            await asker.judge(run)
    return run.outcome(slowest_operation_seconds=max(asker.slowest_seconds for asker in askers))


ROW = Row(
    name="redis_slow",
    fault="Redis answers late, by 0.1 to 6 s",
    done_when="an operation ends within 1.5 s; publishing again within 2 s; nothing lost",
    full_times=40,
    round_times=8,
    short_times=2,
    run=run,
)
