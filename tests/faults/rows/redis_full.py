"""A Redis that is full: it refuses whole, leaves no hole, and goes on once there is room."""

import asyncio
from typing import Any, Final

from tests.faults.asker import Asker, ask_through
from tests.faults.run import Outcome, Row, Run
from tests.support.records import Kept

ROOM_BYTES: Final = 200_000
FULL_SECONDS: Final = (0.5, 2.0)
FILLED_SECONDS: Final = 10.0


async def run(run: Run) -> Outcome:
    """Little room is left, until nothing is taken any more; some time later there is room again."""
    valkey = run.start_valkey()
    await run.start_nodes(2, valkey.url)
    await run.make_tenants(1 if run.is_short else 2)
    client: Any = valkey.client
    loop = asyncio.get_running_loop()

    async def fill(_: int, asker: Asker) -> None:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + ROOM_BYTES)
        deadline = loop.time() + FILLED_SECONDS
        while not asker.refused and loop.time() < deadline:
            await asyncio.sleep(0.05)
        await asyncio.sleep(run.chance.uniform(*FULL_SECONDS))
        client.config_set("maxmemory", 0)

    askers = await ask_through(run, fill, payload_bytes=4_000)
    if any(asker.unknown or not asker.refused for asker in askers):
        run.complain("recovery", "a full Redis did not refuse in so many words")
    before: dict[str, int] = {}
    for kept in (record for record in run.log if isinstance(record, Kept)):
        if kept.place[1] != before.get(kept.room, kept.place[1] - 1) + 1:
            run.complain("lost", f"a hole before {kept}")
        before[kept.room] = kept.place[1]
    return run.outcome(refused=sum(len(asker.refused) for asker in askers))


ROW = Row(
    name="redis_full",
    fault="Redis full for some seconds",
    done_when="publishes are refused whole, as `unavailable`; no hole in the offsets; publishing again within 2 s",
    full_times=20,
    round_times=5,
    short_times=1,
    run=run,
)
