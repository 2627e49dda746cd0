import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.pictures import Bar, bar_chart, line_chart
from benchmarks.published import write_page
from benchmarks.report import is_published, publish
from benchmarks.workload import Workload
from tests.benchmarks.sides import outcome, workload

TAKEN = {"processor": "a <processor>", "system": "Linux", "commit": "abc", "date": "2026-11-24T00:00:00+00:00"}
SVG = "{http://www.w3.org/2000/svg}"


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - made here


def test_bars_are_as_long_as_their_figures_and_redis_stands_behind_them() -> None:
    chart = parsed(bar_chart("a & b", "µs", [Bar("we", 2.0, 1.0, True), Bar("<they>", 4.0, None, False)], "note"))
    widths = [float(each.attrib["width"]) for each in chart.iter(f"{SVG}rect")][1:]
    assert widths[0] == widths[1] * 2
    assert widths[2] == widths[0] * 2
    assert widths[3] == 0
    assert "<they>" in [each.text for each in chart.iter(f"{SVG}text")]


def test_a_curve_has_a_line_for_each_series_and_a_mark_for_each_x() -> None:
    chart = parsed(line_chart("t", "µs", {"we": [(1.0, 2.0), (100.0, 3.0)], "they": [(1.0, 4.0)]}, ""))
    assert len(list(chart.iter(f"{SVG}polyline"))) == 2
    assert {"1", "100"} <= {each.text for each in chart.iter(f"{SVG}text")}


def test_results_are_published_one_by_one_and_a_new_one_replaces_the_old(tmp_path: Path) -> None:
    publish(outcome([4.0] * 5, [10.0] * 5), TAKEN, tmp_path)
    results = publish(outcome([3.0] * 5, [10.0] * 5), TAKEN, tmp_path)
    assert [each["ours"] for each in results] == [3.0]
    some = workload()
    assert is_published(some, some.rivals[0], tmp_path)
    publish(outcome([3.0, 9.0], [10.0, 10.0]), TAKEN, tmp_path)  # refused: to be measured again
    assert not is_published(some, some.rivals[0], tmp_path)
    publish(outcome([3.0] * 5, [10.0] * 5), TAKEN, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())[0]["runs"]["ours"][4]["deliveries"]["count"] == 1000


def test_the_page_shows_each_workload_its_picture_and_the_conditions(tmp_path: Path) -> None:
    results: list[dict[str, Any]] = publish(outcome([4.0] * 5, [10.0] * 5), TAKEN, tmp_path)
    assert isinstance(outcome([1.0], [1.0]).workload, Workload)
    write_page(results, tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "![something](some.svg)" in page
    assert "| the peer | 4 | 10 | 0.400 | 0.400-0.400 |" in page
    assert "2026-11-24: processor a <processor>, system Linux, commit abc" in page
    parsed((tmp_path / "some.svg").read_text())
