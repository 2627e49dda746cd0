"""Random histories in virtual time: the rooms of several nodes over a model of Redis (tests/simulation/)."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from typing import Final

from tests.faults.run import Outcome, Row, Run

ROUND_HISTORIES: Final = 10_000


async def run(run: Run) -> Outcome:
    """So many histories, in a process of their own: in this one, time is real. Each round has seeds of its own."""
    chosen = ("--histories", str(run.times), "--seed", str(run.seed * ROUND_HISTORIES))
    simulation = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.simulation", *chosen, stdout=PIPE)
    told, _ = await simulation.communicate()
    if simulation.returncode != 0:
        run.complain("client", told.decode() or f"ended with {simulation.returncode}")
    return run.outcome()


ROW: Final = Row(
    name="simulation",
    fault="random histories in virtual time: messages dropped, doubled and late, lines cut, Redis restarted with and "
    "without its data, epochs ended, histories trimmed, nodes killed, clients cut and slow",
    done_when="each recovery exact or honestly refused, nothing lost unsaid, nothing twice, answers in order, presence "
    "true at the end",
    full_times=100_000,
    round_times=ROUND_HISTORIES,
    short_times=300,
    run=run,
)
