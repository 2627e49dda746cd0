"""docs/benchmarks/: the page with all tables, and a picture for each workload and curve, from results.json alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.pictures import bar_chart, bars_of, line_chart
from benchmarks.report import PUBLISHED, figure

MOST_LINES = 6
HEAD = """# Benchmarks

Made by `make bench-full`; [benchmarks/README.md](../../benchmarks/README.md) says how. Ours and the peer ran in turn on
one core each; the ratio is that of the medians of all pairs, the spread the least and greatest of one pair. A row whose
spread was too wide says *refused*: no figure of it counts. Redis' CPU stands apart. Every run is in
[results.json](results.json).
"""


def write_page(results: Sequence[dict[str, Any]], folder: Path = PUBLISHED) -> None:
    """Write README.md and the pictures of all results."""
    parts = [HEAD]
    for name, rows in _by(results, "workload").items():
        title = str(rows[0]["meaning"])
        chart = bar_chart(title, str(rows[0]["figure"]), bars_of(rows), _note(rows[-1]))
        (folder / f"{name}.svg").write_text(chart)
        parts += [f"## {name}\n\n![{title}]({name}.svg)\n", _table(rows)]
    for number, (curve, rows) in enumerate(_by_curve(results).items(), 1):
        chart = line_chart(curve, str(rows[0]["figure"]), _series(rows), _note(rows[-1]))
        (folder / f"curve-{number}.svg").write_text(chart)
        parts.append(f"![{curve}](curve-{number}.svg)\n")
    parts.append(_conditions(results))
    (folder / "README.md").write_text("\n".join(parts))


def _by(results: Sequence[dict[str, Any]], key: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in results:
        found.setdefault(str(each[key]), []).append(each)
    return found


def _by_curve(results: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Results by the curve of which they are points; curves of one point are none."""
    named = [each | {"curve_name": each["curve"][0]} for each in results if each["curve"]]
    return {name: rows for name, rows in _by(named, "curve_name").items() if len({row["curve"][1] for row in rows}) > 1}


def _series(rows: Sequence[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Ours, and the rivals that have more than one point and are not ours under another load: the `MOST_LINES`
    cheapest at the last one, as more lines can't be told apart (the tables have all)."""
    series: dict[str, dict[float, float]] = {"Roomcast": {}}
    for row in rows:
        x = float(row["curve"][1])
        series["Roomcast"][x] = float(row["ours"])
        if not str(row["against"]).startswith("roomcast"):
            series.setdefault(str(row["against_title"]), {})[x] = float(row["theirs"])
    ours, rivals = series.pop("Roomcast"), {name: points for name, points in series.items() if len(points) > 1}
    cheapest = sorted(rivals, key=lambda name: rivals[name][max(rivals[name])])[:MOST_LINES]
    return {name: sorted(points.items()) for name, points in [("Roomcast", ours), *((n, rivals[n]) for n in cheapest)]}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"| against | ours, {rows[0]['figure']} | theirs | ratio | spread | Redis, ours / theirs | goal | |",
        "|---|--:|--:|--:|---|---|---|---|",
    ]
    for row in rows:
        least, most = row["spread"]
        goal = "" if row["goal"] is None else f"≤ {row['goal']:g}"
        redis = " / ".join("-" if value is None else figure(value) for value in row["redis"].values())
        lines.append(
            f"| {row['against_title']} | {figure(row['ours'])} | {figure(row['theirs'])} | {row['ratio']:.3f} "
            f"| {least:.3f}-{most:.3f} | {redis} | {goal} | {row['verdict']} |"
        )
    return "\n".join(lines) + "\n"


def _note(row: dict[str, Any]) -> str:
    taken = row["conditions"]
    return f"{taken['processor']}, {taken['system']}, commit {taken['commit']}, {str(taken['date'])[:10]}"


def _conditions(results: Sequence[dict[str, Any]]) -> str:
    """Machine and versions, once for each day and commit on which something was measured."""
    seen: dict[str, str] = {}
    for row in results:
        taken = row["conditions"]
        said = ", ".join(f"{name} {value}" for name, value in taken.items() if name != "date")
        seen.setdefault(said, str(taken["date"])[:10])
    return "## Machine and versions\n\n" + "\n".join(f"- {day}: {said}" for said, day in seen.items()) + "\n"
