"""`python -m tests.simulation --help`: play random histories; the first wrong one is printed, shortened."""

import argparse
import sys
import time

from tests.simulation.play import find_failure


def main() -> int:
    """0 if all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--histories", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first history; the next ones count on")
    chosen = parser.parse_args()
    began_at = time.perf_counter()
    failure = find_failure(range(chosen.seed, chosen.seed + chosen.histories))
    took = f"{time.perf_counter() - began_at:.1f} s"
    print(failure or f"{chosen.histories} histories from seed {chosen.seed} on: all well, {took}")
    return failure is not None


if __name__ == "__main__":
    sys.exit(main())
