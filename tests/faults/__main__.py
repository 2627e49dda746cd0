"""`python -m tests.faults`: the marathon, one row after the other, round by round; and the table of what came of it.

Each round that ends is a line of `.faults/results.jsonl`, and `--resume` goes on behind them. A round is made again by
its seed: `--row NAME --seed S --rounds 1`. Exit code 1: something was broken.
"""

import argparse
import random
import resource
import sys
import time
from collections.abc import Sequence

from tests.faults.results import Round, append_round, figures, forget_rounds, read_rounds, table, write_report
from tests.faults.rounds import find_rows, run_round
from tests.faults.run import Row


def read_arguments(names: Sequence[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Run the rows of the fault table.")
    parser.add_argument("--row", action="append", choices=names, help="only this one; may be given again")
    parser.add_argument("--times", type=int, help="how many faults of each row, instead of the full number")
    parser.add_argument("--rounds", type=int, help="at most so many rounds of each row")
    parser.add_argument("--seed", type=int, help="of the first round; each further one has the next number")
    parser.add_argument("--seconds", type=float, help="begin no round of a row later than this after its first one")
    parser.add_argument("--short", action="store_true", help="rounds as in CI")
    parser.add_argument("--resume", action="store_true", help="go on; else the rows' earlier rounds are forgotten")
    parser.add_argument("--report", action="store_true", help="write the table into docs/reliability.md as well")
    parser.add_argument("--only-table", action="store_true", help="run nothing, show what there is")
    return parser.parse_args()


def marathon(row: Row, arguments: argparse.Namespace) -> None:
    """Rounds of one row until its faults were tried as often as they are to be."""
    wanted = row.full_times if arguments.times is None else arguments.times
    tried = sum(each.outcome.times for each in read_rounds() if each.row == row.name)
    seed = random.SystemRandom().randrange(1_000_000) if arguments.seed is None else arguments.seed
    began_at, rounds = time.monotonic(), 0
    while tried < wanted and rounds != arguments.rounds:
        if arguments.seconds is not None and time.monotonic() > began_at + arguments.seconds:
            break
        print(f"{row.name}: {tried:,} of {wanted:,}, seed {seed} …", flush=True)
        times = row.short_times if arguments.short else min(row.round_times, wanted - tried)
        ended = run_round(row, seed, times, is_short=arguments.short)
        append_round(ended)
        show(ended)
        tried += ended.outcome.times
        rounds, seed = rounds + 1, seed + 1


def show(ended: Round) -> None:
    """One round, in some lines."""
    outcome = ended.outcome
    recovery = max(outcome.recovery_seconds, default=0)
    print(
        f"  {outcome.times:,} times in {ended.seconds:.0f} s, {outcome.acknowledged:,} acknowledged, "
        f"{outcome.deliveries:,} deliveries, longest gap {outcome.longest_gap_seconds:.2f} s, "
        f"publishing again ≤ {recovery:.2f} s, {outcome.figures}"
    )
    for broken in outcome.broken[:20]:
        print(f"  BROKEN {broken.rule} ({broken.kind}): {broken.text[:2000]}")
    if len(outcome.broken) > 20:
        print(f"  … and {len(outcome.broken) - 20} more")
    sys.stdout.flush()


def main() -> int:
    """Run, then show the table."""
    rows = find_rows()
    arguments = read_arguments(list(rows))
    chosen = [rows[name] for name in arguments.row or rows]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if not arguments.only_table:
        if not arguments.resume:
            forget_rounds({row.name for row in chosen})
        for row in chosen:
            marathon(row, arguments)
    rounds = read_rounds()
    print(table(list(rows.values()), rounds), figures(list(rows.values()), rounds), sep="\n\n")
    if arguments.report:
        write_report(list(rows.values()), rounds)
    names = {row.name for row in chosen}
    return any(each.outcome.broken for each in rounds if each.row in names)


if __name__ == "__main__":
    sys.exit(main())
