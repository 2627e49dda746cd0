"""A Valkey that the nodes take for their own loses data: emptied, or put back to what it had some seconds before."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from typing import Final

from tests.faults.run import Outcome, Row, Run
from tests.support.conversation import room_of
from tests.support.records import Entered, Told
from tests.support.valkey import Valkey

LAST_ANSWERS_SECONDS = 0.5  # by then clients have read what was sent before the fault
APPENDED: Final = "appendonlydir"


async def flush(run: Run, valkey: Valkey) -> None:
    """FLUSHALL."""
    with run.losing_data():
        valkey.client.flushall()
        await asyncio.sleep(LAST_ANSWERS_SECONDS)


async def empty(run: Run, valkey: Valkey) -> None:
    """Killed, and started on nothing."""
    await asyncio.to_thread(valkey.kill)
    await asyncio.sleep(LAST_ANSWERS_SECONDS)
    with run.losing_data():
        shutil.rmtree(valkey.folder / APPENDED)
    await asyncio.to_thread(valkey.start)


async def cut_back(run: Run, valkey: Valkey) -> None:
    """Killed, and started on what it had a while ago; the nodes wait for it."""
    put_back = copy(valkey)
    await asyncio.sleep(run.chance.uniform(1, 3))
    await asyncio.to_thread(valkey.kill)
    await asyncio.sleep(LAST_ANSWERS_SECONDS)
    with run.losing_data():
        put_back()
    await asyncio.to_thread(valkey.start)


async def cut_back_with_all(run: Run, valkey: Valkey) -> None:
    """The same, of longer ago, and all nodes are killed as well: only SQL knows how far it was."""
    put_back = copy(valkey)
    await asyncio.sleep(PULSE_SECONDS + run.chance.uniform(1, 3))
    for node in run.nodes:
        await asyncio.to_thread(node.kill)
    await asyncio.to_thread(valkey.kill)
    await asyncio.sleep(LAST_ANSWERS_SECONDS)
    with run.losing_data():
        put_back()
    await asyncio.to_thread(valkey.start)
    for node in run.nodes:
        await run.restart(node)


def copy(valkey: Valkey) -> Callable[[], None]:
    """Copy its files aside; call the answer to put them back."""
    there, aside = valkey.folder / APPENDED, valkey.folder / "aside"
    shutil.copytree(there, aside, dirs_exist_ok=False)

    def put_back() -> None:
        shutil.rmtree(there)
        aside.rename(there)

    return put_back


PULSE_SECONDS: Final = 16.0  # a node writes down in SQL at most every 15 s how far Redis is
SHORT: Final = (flush, empty, cut_back)
WAYS: Final[tuple[Callable[[Run, Valkey], Awaitable[None]], ...]] = (*SHORT, cut_back_with_all)


async def run(run: Run) -> Outcome:
    """Lose data in one way after the other; everybody is told, and nobody continues in an epoch of before."""
    valkey = run.start_valkey()
    await run.start_nodes(2, valkey.url, redis_is_embedded=True)
    await run.make_tenants(1 if run.is_short else 2)
    ways = [run.chance.choice(SHORT)] if run.is_short else [run.chance.choice(WAYS) for _ in range(run.times)]
    async with run.load(rooms=5, subscribers=10, watchers=2, messages_per_second=80 if run.is_short else 150) as load:
        for way in ways:
            await asyncio.sleep(run.chance.uniform(1, 2))
            before = len(run.log)
            await way(run, valkey)
            run.recovered(await load.publishes_again(), within_seconds=10)
            await run.healed()
            told = {
                (record.subscriber, record.room)
                for record in run.log[before:]
                if isinstance(record, Told) or (isinstance(record, Entered) and record.recovered is False)
            }
            for each in load.participants:
                for room in each.rooms:
                    if (each.name, room_of(each.tenant, room)) not in told:
                        run.complain("false recovery", f"{each.name} was not told of a loss in {room}: {way.__doc__}")
    return run.outcome()


ROW = Row(
    name="valkey_emptied",
    fault="the nodes' own Valkey flushed, started on nothing, or put back to files of seconds before",
    done_when="0 false recoveries, everybody is told",
    full_times=20,
    round_times=5,
    short_times=1,
    run=run,
)
