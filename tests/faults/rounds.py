"""The rows that there are, and how one round of a row is run."""

import asyncio
import importlib
import pkgutil
import shutil
import tempfile
import time
import traceback
from pathlib import Path

import uvloop

import tests.faults.rows
from tests.faults.results import Round
from tests.faults.run import Outcome, Row, Run
from tests.support.checker import Broken


def find_rows() -> dict[str, Row]:
    """All rows, by name; a module without `ROW` is what some of them share."""
    names = sorted(module.name for module in pkgutil.iter_modules(tests.faults.rows.__path__))
    modules = [importlib.import_module(f"tests.faults.rows.{name}") for name in names]
    rows: list[Row] = [module.ROW for module in modules if hasattr(module, "ROW")]
    return {row.name: row for row in rows}


def run_round(row: Row, seed: int, times: int, *, is_short: bool = False) -> Round:
    """One round in a folder of its own, which stays where something was broken.

    A round that falls over is broken as well, with where it did.
    """
    folder = Path(tempfile.mkdtemp(prefix="rf", dir="/tmp"))  # a socket's path ends at 107 bytes
    began_at, started_at = time.time(), time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(_run(row, Run(seed, times, folder, is_short=is_short)))
    if outcome.broken:
        outcome.broken.append(Broken("row", "client", f"the logs are in {folder}"))
    else:
        shutil.rmtree(folder)
    seconds = time.monotonic() - started_at
    return Round(row=row.name, seed=seed, began_at=began_at, seconds=seconds, outcome=outcome)


async def _run(row: Row, run: Run) -> Outcome:
    try:
        try:
            return await row.run(run)
        finally:
            await run.end()
    except Exception:
        return Outcome(times=run.times, broken=[Broken("row", "client", traceback.format_exc())])
