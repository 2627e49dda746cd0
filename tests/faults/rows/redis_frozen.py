"""A Redis that stands still, as in a long fork or swap, for less and for longer than leases last."""

import asyncio
from typing import Final

from tests.faults.asker import Asker, ask_through, slowest
from tests.faults.run import Outcome, Row, Run

SHORT_SECONDS: Final = (1.8, 3.0)
LONG_SECONDS: Final = (7.0, 9.0)  # leases end after 6


async def run(run: Run) -> Outcome:
    """Every other time longer than leases last; in CI only less."""
    valkey = run.start_valkey()
    await run.start_nodes(2, valkey.url)
    await run.make_tenants(1 if run.is_short else 2)

    async def freeze(number: int, _: Asker) -> None:
        valkey.freeze()
        await asyncio.sleep(run.chance.uniform(*(LONG_SECONDS if number % 2 else SHORT_SECONDS)))
        valkey.thaw()

    return run.outcome(slowest_operation_seconds=slowest(await ask_through(run, freeze)))


ROW = Row(
    name="redis_frozen",
    fault="Redis frozen for 2-3 s, and for longer than leases last",
    done_when="an operation ends within 1.5 s; publishing again within 2 s; nothing lost; presence right",
    full_times=40,
    round_times=8,
    short_times=1,
    run=run,
)
