from __future__ import annotations

import math
from dataclasses import replace

import pytest

from aebert.reporting.report import Report
from aebert.reporting.rows import FileDifference
from aebert.reporting.shipping import cost_axes, files_of
from aebert.reporting.side_by_side import (
    Contender,
    Gap,
    SideBySide,
    area,
    independent,
    markdown,
    side_by_side_tables,
)
from aebert.reporting.side_by_side_plot import side_by_side_figure

MS = cost_axes(16)[0]


@pytest.fixture
def pair(report: Report) -> SideBySide:
    """Two studies; in the second the small file is faster and scores one point more."""
    dense, small = report.profiles
    better = replace(report, profiles=(dense, replace(small, p50_ms=2.0, report_score=0.78)))
    first, second = (Contender(name, one, tuple(files_of(one))) for name, one in (("a", report), ("b", better)))
    gaps = (
        Gap("a", FileDifference("trial-2 int8", "dense float32", -0.03, -0.06, 0.0), paired=True),
        Gap("b", FileDifference("dense float32", "dense float32", 0.0, 0.0, 0.0), paired=True),
        Gap("b", independent(second.files[1], first.files[0]), paired=False),
    )
    return SideBySide((first, second), gaps)


def test_independent_scores_have_wider_intervals(report: Report) -> None:
    dense, small = files_of(report)
    found = independent(small, dense)
    assert found.value == pytest.approx(-0.03)
    # both intervals are 10 points on either side
    assert found.low == pytest.approx(-0.03 - math.sqrt(0.02))
    assert found.high == pytest.approx(-0.03 + math.sqrt(0.02))
    assert math.isnan(independent(replace(small, interval=None), dense).low)


def test_the_area_below_a_front_is_counted_in_strips(report: Report) -> None:
    dense, small = files_of(report)  # 12 ms and 80.0, 3 ms and 77.0
    assert area([dense], MS, 12.0) == 0.0
    assert area([dense, small], MS, 12.0) == pytest.approx(0.77 * 0.75)
    assert area([dense], MS, 24.0) == pytest.approx(0.80 * 0.5)
    assert area([dense, small], MS, 24.0) == pytest.approx(0.80 * 0.5 + 0.77 * (9 / 24))
    # what others dominate adds nothing
    worse = replace(small, score=0.7)
    assert area([dense, small, worse], MS, 24.0) == area([dense, small], MS, 24.0)


def test_files_stand_with_their_distance_from_the_reference(pair: SideBySide) -> None:
    files, areas = side_by_side_tables(pair)
    assert pair.reference.file == "dense float32", "files were not compared, so the highest score"
    shown = [[cell.text for cell in row] for row in files.rows]
    assert [row[:2] for row in shown] == [
        ["a", "dense float32 *"],
        ["a", "trial-2 int8"],
        ["b", "dense float32 *"],
        ["b", "trial-2 int8"],
    ]
    assert [row[4] for row in shown] == ["–", "-3.0", "±0.0", "-2.0"]
    assert [row[5] for row in shown] == ["reference", "-6.0 to ±0.0", "±0.0 to ±0.0", "-16.9 to +11.5 (unpaired)"]
    # the faster and better one beats its like in the other study
    assert [row[-1] for row in shown] == ["yes", "", "yes", "yes"]
    assert "NOT PAIRED: b. Its report rows differ" in files.note
    assert [[cell.text for cell in row] for row in areas.rows] == [
        ["a", "2", "0.5775", "0.6256", "1"],
        ["b", "2", "0.6500", "0.6338", "2"],
    ]


def test_what_makes_studies_unlike_is_said(pair: SideBySide) -> None:
    first, second = pair.contenders
    assert "tasks" not in side_by_side_tables(pair)[0].note
    info = replace(second.report.info, task="other", length=99)
    other = replace(second, report=replace(second.report, info=info, machine={"threads": 4}))
    note = side_by_side_tables(replace(pair, contenders=(first, other)))[0].note
    assert "different tasks (other, sst2)" in note
    assert "different lengths (16, 99 tokens)" in note
    assert "under different conditions (threads)" in note


def test_markdown_is_a_table_with_whole_cells(pair: SideBySide) -> None:
    first, _ = pair.contenders
    named = replace(pair, contenders=(replace(first, name="a|b"), pair.contenders[1]))
    lines = markdown(side_by_side_tables(named)[0]).splitlines()
    assert lines[0] == "**Files side by side**"
    assert lines[2].startswith("| study | file | accuracy | 95 % |")
    assert lines[3].startswith("| --- | --- | --: | --: |")
    assert lines[4].startswith(r"| a\|b | dense float32 * | 80.0 |")
    assert {line.replace(r"\|", "").count("|") for line in lines[2:8]} == {11}


def test_the_picture_has_a_front_for_each_study(pair: SideBySide) -> None:
    figure = side_by_side_figure(pair)
    fronts = {line.get_gid(): line.get_xydata() for line in figure.axes[0].lines if line.get_gid()}
    assert {name: places.tolist() for name, places in fronts.items()} == {  # type: ignore[union-attr]
        "a": [[3.0, 77.0], [12.0, 80.0]],
        "b": [[2.0, 78.0], [12.0, 80.0]],
    }
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
