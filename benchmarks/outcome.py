"""What pairs of runs say: medians, their ratio, its spread, and whether that is narrow enough to be believed."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.workload import Figure, Rival, Workload, figure_of

# From the least to the greatest ratio of a pair, as a part of the ratio of the medians. Single runs differ by 10 % on a
# virtual machine; of a wider spread nobody can say what caused it.
MOST_SPREAD = 0.35
NODE = "node"


@dataclass(frozen=True)
class Outcome:
    """A workload's runs of ours and of a rival, in the order of the pairs, as the load generator printed them (at least
    one each). attempts: how often all pairs were run until the spread was narrow enough, or it was given up."""

    workload: Workload
    rival: Rival
    ours: Sequence[dict[str, Any]]
    theirs: Sequence[dict[str, Any]]
    attempts: int = 1

    def median(self, runs: Sequence[dict[str, Any]], group: str = NODE) -> float | None:
        """The median figure of a group of processes; None: it has none (Redis where none is used)."""
        figures = [figure_of(self.workload.figure, run).get(group) for run in runs]
        known = [figure for figure in figures if figure is not None]
        return statistics.median(known) if known else None

    @property
    def our_median(self) -> float:
        """Our own, of node and workers."""
        return self.median(self.ours) or 0.0

    @property
    def their_median(self) -> float:
        """The rival's own, without Redis."""
        return self.median(self.theirs) or 0.0

    @property
    def ratio(self) -> float:
        """Of the medians: one disturbed run does not move it."""
        return self.our_median / self.their_median if self.their_median else float("inf")

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest ratio of one pair."""
        figure = self.workload.figure
        pairs = zip(self.ours, self.theirs, strict=True)
        ratios = [figure_of(figure, ours)[NODE] / (figure_of(figure, theirs)[NODE] or 1e-9) for ours, theirs in pairs]
        return min(ratios), max(ratios)

    @property
    def is_believable(self) -> bool:
        """Whether the spread is narrow enough; else no figure of it counts."""
        least, most = self.spread
        return most - least <= MOST_SPREAD * self.ratio

    @property
    def reached(self) -> bool | None:
        """Whether the goal is met; it bounds the ratio, or for memory our figure itself. None: there is no goal, or
        nothing to believe."""
        if self.rival.goal is None or not self.is_believable:
            return None
        figure = self.our_median if self.workload.figure is Figure.MEMORY else self.ratio
        return figure <= self.rival.goal
