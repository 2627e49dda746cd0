"""Thousands cut off at once who all come back at once, beside others who notice nothing."""

import asyncio
import statistics
import sys

import msgspec

from tests.faults.herd import Herd, Return
from tests.faults.run import Outcome, Row, Run
from tests.support.checker import Broken

BACK_WITHIN_SECONDS = 30.0
OTHERS_WITHIN_SECONDS = 0.25


async def run(run: Run) -> Outcome:
    """Cut them, wait until all are back, look at what others heard meanwhile; again."""
    clients, others, pause_seconds = (300, 50, 0.5) if run.is_short else (5_000, 500, 5)
    valkey = run.start_valkey(loses_nothing=False)
    [node] = await run.start_nodes(1, valkey.url)
    herd_tenant, _ = await run.make_tenants(2)
    run.tenants.remove(herd_tenant)
    rooms = clients // 100
    order = Herd(node.address, list(herd_tenant[:5]), clients - rooms, rooms, messages_per_second=5)
    herd = await asyncio.create_subprocess_exec(
        *("nice", "-n", "10", sys.executable, "-m", "tests.faults.herd"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    run.ending.push_async_callback(end, herd)
    assert herd.stdin is not None
    assert herd.stdout is not None
    herd.stdin.write(msgspec.json.encode(order) + b"\n")
    returns: list[Return] = []
    worst_seconds = 0.0
    async with run.load(
        rooms=10,
        publishers_per_room=1,
        subscribers=others - 10,
        rooms_per_subscriber=1,
        watchers=0,
        messages_per_second=20,
    ) as load:
        assert await herd.stdout.readline() == b"ready\n"
        for _ in range(run.times):
            await asyncio.sleep(pause_seconds)
            load.latencies_seconds.clear()
            herd.stdin.write(b"cut\n")
            returns.append(msgspec.json.decode(await herd.stdout.readline(), type=Return))
            p99 = statistics.quantiles(load.latencies_seconds, n=100)[98]
            worst_seconds = max(worst_seconds, p99)
            if p99 > OTHERS_WITHIN_SECONDS and not run.is_short:  # in CI it says how busy the cores are
                run.complain("recovery", f"others' p99 was {1000 * p99:.0f} ms while the herd came back")
            if returns[-1].all_seconds > BACK_WITHIN_SECONDS * run.patience or returns[-1].not_recovered:
                run.complain("recovery", f"{returns[-1]}")
        herd.stdin.close()
        for broken in msgspec.json.decode(await herd.stdout.readline(), type=list[Broken]):
            run.complain(broken.kind, f"{broken.rule} in the herd: {broken.text}")
    return run.outcome(
        all_back_seconds=max(each.all_seconds for each in returns),
        half_back_seconds=max(each.half_seconds for each in returns),
        others_p99_seconds=worst_seconds,
    )


async def end(herd: asyncio.subprocess.Process) -> None:
    """Kill it, if it runs, and wait for its end: the loop must not go before its processes."""
    if herd.returncode is None:
        herd.kill()
    await herd.wait()


ROW = Row(
    name="herd",
    fault="5,000 clients of one node cut off at once, beside 500 others",
    done_when="all recovered ≤ 30 s, the others' p99 < 250 ms",
    full_times=10,
    round_times=5,
    short_times=1,
    run=run,
)
