"""What rounds came to, kept as JSON lines so that a marathon can go on another day, and as a table."""

import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.machine import processor_model
from tests.faults.run import Outcome, Row

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = ROOT / ".faults" / "results.jsonl"
REPORT: Final = ROOT / "docs" / "reliability.md"
MARKS: Final = ("<!-- faults:begin -->", "<!-- faults:end -->")
IN_COLUMNS: Final = ("lost", "doubled", "out of order", "presence")


class Round(msgspec.Struct, kw_only=True):
    """One round that has ended. seed: makes it again. began_at: Unix seconds."""

    row: str
    seed: int
    began_at: float
    seconds: float
    outcome: Outcome


def read_rounds() -> list[Round]:
    """All that are kept, oldest first."""
    if not RESULTS.exists():
        return []
    return [msgspec.json.decode(line, type=Round) for line in RESULTS.read_bytes().splitlines()]


def append_round(ended: Round) -> None:
    """Keep one more; it is there when this returns."""
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("ab") as lines:
        lines.write(msgspec.json.encode(ended) + b"\n")


def forget_rounds(rows: Collection[str]) -> None:
    """Begin these rows anew."""
    kept = [each for each in read_rounds() if each.row not in rows]
    if RESULTS.exists():
        RESULTS.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in kept))


def table(rows: Sequence[Row], rounds: Sequence[Round]) -> str:
    """A line of Markdown for each row that was tried."""
    lines = [
        "| row | fault | tried | acknowledged | deliveries | lost | doubled | out of order | presence wrong "
        "| else broken | longest gap | publishing again, worst | seeds |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        own = [each for each in rounds if each.row == row.name]
        if own:
            lines.append("| " + " | ".join(_cells(row, own)) + " |")
    return "\n".join(lines)


def _cells(row: Row, rounds: Sequence[Round]) -> list[str]:
    outcomes = [each.outcome for each in rounds]
    kinds = [broken.kind for outcome in outcomes for broken in outcome.broken]
    recoveries = [seconds for outcome in outcomes for seconds in outcome.recovery_seconds]
    marked = [f"{each.seed}{' (broken)' if each.outcome.broken else ''}" for each in rounds]
    seeds = marked[0] if len(marked) == 1 else f"{marked[0]} … {marked[-1]}"
    broken = [text for text, each in zip(marked, rounds, strict=True) if each.outcome.broken]
    return [
        f"`{row.name}`",
        row.fault,
        f"{sum(outcome.times for outcome in outcomes):,} of {row.full_times:,}",
        f"{sum(outcome.acknowledged for outcome in outcomes):,}",
        f"{sum(outcome.deliveries for outcome in outcomes):,}",
        *(str(kinds.count(kind)) for kind in IN_COLUMNS),
        str(sum(kind not in IN_COLUMNS for kind in kinds)),
        f"{max(outcome.longest_gap_seconds for outcome in outcomes):.1f} s",
        f"{max(recoveries):.2f} s" if recoveries else "none",
        ", ".join(broken) if broken else seeds,
    ]


def figures(rows: Sequence[Row], rounds: Sequence[Round]) -> str:
    """A line of Markdown for each row that was tried: what must hold, and the worst of its own figures."""
    lines = []
    for row in rows:
        worst: dict[str, float] = {}
        for each in rounds:
            for name, value in each.outcome.figures.items() if each.row == row.name else ():
                worst[name] = max(value, worst.get(name, value))
        if worst:
            told = ", ".join(f"{name} {value:,.3g}" for name, value in worst.items())
            lines.append(f"- `{row.name}`: {row.done_when}. At most: {told}.")
    return "\n".join(lines)


def write_report(rows: Sequence[Row], rounds: Sequence[Round]) -> None:
    """The table between the marks of docs/reliability.md, with when and on what it was taken."""
    days = sorted({time.strftime("%Y-%m-%d", time.gmtime(each.began_at)) for each in rounds})
    hours = sum(each.seconds for each in rounds) / 3600
    taken = f"{days[0]} to {days[-1]}" if len(days) > 1 else days[0]
    machine = f"{processor_model()}, {os.cpu_count()} cores"
    begin, end = MARKS
    text = REPORT.read_text()
    before, after = text[: text.index(begin)], text[text.index(end) :]
    about = f"Taken on {taken}, {machine}, in {hours:.1f} h of rounds."
    REPORT.write_text(f"{before}{begin}\n{about}\n\n{table(rows, rounds)}\n\n{figures(rows, rounds)}\n{after}")
