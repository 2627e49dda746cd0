"""kill -9 of the Valkey that `roomcast serve` runs itself, under load."""

import asyncio
import os
import signal
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.faults.run import Outcome, Row, Run
from tests.support.processes import children_of, is_running
from tests.support.records import Entered, Told

APART_SECONDS = 11.0  # a Valkey that ends sooner is started again later each time
AGAIN_WITHIN_SECONDS = 2.0


async def run(run: Run) -> Outcome:
    """Kill it; it comes back with all it had, every epoch goes on, and so does publishing."""
    served = await run.start_serve(2)
    await run.make_tenants(2 if run.is_short else 3)
    async with run.load(
        on=[served], rooms=3, subscribers=6, watchers=2, messages_per_second=80 if run.is_short else 200
    ) as load:
        for _ in range(run.times):
            apart = asyncio.create_task(asyncio.sleep(0 if run.is_short else APART_SECONDS))
            await asyncio.sleep(run.chance.uniform(0.2, 1.2))
            await asyncio.to_thread(kill_valkey, served.pid, run.folder / "data" / "valkey.path")
            run.recovered(await load.publishes_again(), within_seconds=AGAIN_WITHIN_SECONDS)
            await load.presence_is_right()
            await apart
    for record in run.log:
        if isinstance(record, Told) or (isinstance(record, Entered) and record.recovered is False):
            run.complain("lost", f"nothing was to be told of a loss: {record}")
    return run.outcome()


def kill_valkey(supervisor: int, pointer: Path) -> None:
    """kill -9; back when the next one answers."""
    [valkey] = children_of(supervisor, "valkey")
    os.kill(valkey, signal.SIGKILL)
    while is_running(valkey):
        time.sleep(0.001)
    with redis.Redis(unix_socket_path=pointer.read_text(), retry=Retry(NoBackoff(), 0)) as client:
        while True:
            try:
                client.ping()
                return
            except redis.RedisError:
                time.sleep(0.005)


ROW = Row(
    name="valkey_kills",
    fault="kill -9 of the embedded Valkey of `roomcast serve` with 2 workers; 200 messages/s",
    done_when="0 lost, every epoch kept, publishing again ≤ 2 s after it is back",
    full_times=100,
    round_times=10,
    short_times=2,
    run=run,
)
