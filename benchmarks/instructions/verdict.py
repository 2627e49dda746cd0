"""What two counts say: which paths became dearer, and whether that was meant."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from benchmarks.instructions.callgrind import Counts

ALLOWED_RATIO: Final = 1.05
_MEANT: Final = re.compile(r"^Costs-more: *(?P<path>[^;\n]+?) *;", re.MULTILINE)


@dataclass(frozen=True)
class Change:
    """A path's instructions before and now; None: it does not run there, and `problem` says why."""

    path: str
    before: float | None
    now: float | None
    problem: str = ""
    is_meant: bool = False

    @property
    def ratio(self) -> float | None:
        """Now against before; None where one of them is missing."""
        return None if self.before is None or self.now is None else self.now / self.before

    @property
    def fails(self) -> bool:
        """Whether it is more than 5 % worse and nobody said why, or does not run in the tree of now."""
        return self.now is None or (self.ratio is not None and self.ratio > ALLOWED_RATIO and not self.is_meant)

    def line(self) -> str:
        """One line for people."""
        before, now = ("-" if count is None else f"{count:,.0f}" for count in (self.before, self.now))
        shown = "   new" if self.ratio is None else f"{self.ratio:6.3f}"
        verdict = "FAILS" if self.fails else "meant" if self.is_meant else ""
        return f"{self.path:24} {before:>12} {now:>12} {shown} {verdict}{self.problem}".rstrip()


def changes(now: Counts, before: Counts, meant: Collection[str]) -> list[Change]:
    """The paths of now, each beside what it was before."""
    return [
        Change(
            path,
            before.by_path.get(path),
            now.by_path.get(path),
            now.problems.get(path, "") or before.problems.get(path, ""),
            path in meant,
        )
        for path in [*now.by_path, *now.problems]
    ]


def meant_in(messages: str) -> set[str]:
    """The paths that commit messages say to cost more on purpose: lines as `Costs-more: join; it checks the state`."""
    return {found["path"] for found in _MEANT.finditer(messages)}


def report(every: list[Change]) -> str:
    """All changes as a table, and the sentence that counts."""
    lines = [f"{'instructions of':24} {'before':>12} {'now':>12}  ratio", *(change.line() for change in every)]
    failing = [change for change in every if change.fails]
    for change in failing:
        how = "does not run" if change.ratio is None else f"costs {change.ratio - 1:.1%} more"
        lines.append(
            f"{change.path} {how}. Make it cheaper, or say in the commit's message why it may:"
            f' "Costs-more: {change.path}; <reason>".'
        )
    if not failing:
        lines.append(f"Nothing costs over {ALLOWED_RATIO - 1:.0%} more.")
    return "\n".join(lines)
