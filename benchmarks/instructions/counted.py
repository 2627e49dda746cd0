"""What runs under callgrind: each hot path so many times, and the counts written down in between.

usage: python -m benchmarks.instructions.counted LIBRARY [PATH …]; without callgrind the paths are run and not counted.
"""

import ctypes
import gc
import sys
from collections.abc import Callable
from itertools import repeat
from typing import Any

WARM_UP_STEPS = 10  # caches and specialised bytecode (PEP 659) are as they will stay
STEPS = 25  # a path's figure is that of 2 * STEPS less that of STEPS: what a run costs besides is not in it


def run(step: Callable[[], object], steps: int) -> None:
    """Call a step so often."""
    for _ in repeat(None, steps):
        step()


def count_paths(counter: Any, names: list[str]) -> None:
    """Run the paths; their counts are written as `name/less` and `name/more`. One that can't run is named on stdout."""
    from benchmarks.instructions.hot_paths import PATHS

    gc.disable()  # when a collection comes depends on what ran before
    counter.begin_counting()
    for name in names or PATHS:
        try:
            step = PATHS[name]()
            run(step, WARM_UP_STEPS)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            continue
        for which, steps in (("less", STEPS), ("more", 2 * STEPS)):
            gc.collect()
            counter.forget_count()
            run(step, steps)
            counter.write_count(f"{name}/{which}".encode())


if __name__ == "__main__":
    count_paths(ctypes.CDLL(sys.argv[1]), sys.argv[2:])
