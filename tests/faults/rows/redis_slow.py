"""A Redis that answers late: within the deadline nobody notices more than that, beyond it everybody is told in time."""

import asyncio
from typing import Final

from tests.faults.asker import Asker, ask_through, slowest
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

    async def delay(number: int, _: Asker) -> None:
        seconds = run.chance.uniform(*(UNBEARABLE_SECONDS if number % 2 else BEARABLE_SECONDS))
        proxy.set(to_server_delay_seconds=seconds, to_client_delay_seconds=seconds)
        await asyncio.sleep(FAULT_SECONDS)
        proxy.heal()

    askers = await ask_through(run, delay)
    if any(asker.refused or asker.unknown for asker in askers[::2]):
        run.complain("recovery", f"with a delay of at most 2 * {BEARABLE_SECONDS[1]} s publishes were refused")
    return run.outcome(slowest_operation_seconds=slowest(askers))


ROW = Row(
    name="redis_slow",
    fault="Redis answers late, by 0.1 to 6 s",
    done_when="an operation ends within 1.5 s; publishing again within 2 s; nothing lost",
    full_times=40,
    round_times=8,
    short_times=2,
    run=run,
)
