"""Pictures of published results as plain SVG: bars for a workload, lines for a curve. Pure: data to text."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

WIDTH, ROW, LEFT, RIGHT, TOP = 920, 26, 330, 190, 64
PLOT_HEIGHT, BOTTOM = 340, 60
FONT = 'font-family="system-ui, sans-serif"'
OURS, THEIRS, REDIS = "#1463a5", "#8a8f98", "#c8a13a"
LINES = ("#1463a5", "#b5432e", "#5a7d2a", "#7a4f9e", "#c8a13a", "#2c8c8c", "#8a8f98")


class Bar(NamedTuple):
    """One side: its own figure, and beside it what Redis spent for it (None: none)."""

    title: str
    value: float
    redis: float | None
    is_ours: bool
    note: str = ""


def bars_of(results: Sequence[dict[str, Any]]) -> list[Bar]:
    """The bars of one workload's results: ours, the median of its medians, then the rivals, least first."""
    ours = sorted(results, key=lambda each: float(each["ours"]))[len(results) // 2]
    rivals = [
        Bar(
            str(each["against_title"]),
            float(each["theirs"]),
            each["redis"]["theirs"],
            False,
            "refused" if each["verdict"] == "refused" else f"ratio {each['ratio']:.2f}",
        )
        for each in sorted(results, key=lambda each: float(each["theirs"]))
    ]
    return [Bar(str(ours["our_title"]), float(ours["ours"]), ours["redis"]["ours"], True), *rivals]


def bar_chart(title: str, unit: str, bars: Sequence[Bar], note: str) -> str:
    """Bars of one figure, ours first, with what Redis spent behind each."""
    longest = max(bar.value + max(0.0, bar.redis or 0.0) for bar in bars) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / longest
    height = TOP + ROW * len(bars) + 40
    parts = [_head(height, title, f"{unit}; light: Redis")]
    for place, bar in enumerate(bars):
        y, own = TOP + ROW * place, max(1.0, bar.value * scale)
        redis = max(0.0, bar.redis or 0.0) * scale
        parts.append(_text(LEFT - 8, y + 15, bar.title, "end", bold=bar.is_ours))
        parts.append(
            f'<rect x="{LEFT}" y="{y + 3}" width="{own:.1f}" height="17" fill="{OURS if bar.is_ours else THEIRS}"/>'
        )
        parts.append(f'<rect x="{LEFT + own:.1f}" y="{y + 3}" width="{redis:.1f}" height="17" fill="{REDIS}"/>')
        said = f"{short(bar.value)}  {bar.note}".strip()
        parts.append(_text(LEFT + own + redis + 6, y + 16, said, "start"))
    parts.append(_text(LEFT, height - 10, note, "start", size=10))
    return "\n".join([*parts, "</svg>\n"])


def line_chart(title: str, unit: str, series: dict[str, list[tuple[float, float]]], note: str) -> str:
    """Lines over a logarithmic x axis: name -> points (x above 0, y)."""
    xs = [math.log10(x) for points in series.values() for x, _ in points]
    top = max((y for points in series.values() for _, y in points), default=1.0) * 1.08 or 1.0
    first, last = min(xs), max(xs)
    left, right = 70, WIDTH - LEFT - 20

    def across(x: float) -> float:
        return left + (math.log10(x) - first) / ((last - first) or 1.0) * (right - left)

    def up(y: float) -> float:
        return TOP + PLOT_HEIGHT * (1 - y / top)

    parts = [_head(TOP + PLOT_HEIGHT + BOTTOM, title, unit)]
    for step in range(5):
        value = top * step / 4
        parts.append(f'<path d="M{left} {up(value):.1f}H{right}" stroke="#dddddd"/>')
        parts.append(_text(left - 6, up(value) + 4, short(value), "end", size=11))
    marks = sorted({x for points in series.values() for x, _ in points})
    parts += [_text(across(x), TOP + PLOT_HEIGHT + 18, f"{x:,.0f}", "middle", size=11) for x in marks]
    for place, (name, points) in enumerate(series.items()):
        colour = LINES[place % len(LINES)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in sorted(points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(f'<rect x="{right + 16}" y="{TOP + 18 * place}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(right + 32, TOP + 18 * place + 9, name, "start", size=11))
    parts.append(_text(left, TOP + PLOT_HEIGHT + BOTTOM - 10, note, "start", size=10))
    return "\n".join([*parts, "</svg>\n"])


def short(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _head(height: int, title: str, unit: str) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            _text(16, 26, title, "start", bold=True, size=15),
            _text(16, 46, unit, "start", size=12),
        ]
    )


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False, size: int = 12) -> str:
    style = f'text-anchor="{anchor}" font-size="{size}" fill="#222222" {FONT}' + ' font-weight="600"' * bold
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
