from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aebert.reporting.files import files_table
from aebert.reporting.files_chart import FADED, files_charts
from aebert.reporting.files_plot import files_figure
from aebert.reporting.report import Report
from aebert.reporting.rows import FileDifference


@pytest.fixture
def answered(held_against: Report) -> Report:
    """The finalist ships; the baseline is slower and worse than it."""
    _, *others = held_against.differences
    dense, small, layer = held_against.profiles
    narrow = FileDifference("trial-2 int8", "dense float32", 0.0, -0.005, 0.005)
    profiles = (dense, small, replace(layer, p50_ms=9.0))
    return replace(held_against, differences=(narrow, *others), profiles=profiles)


def test_each_file_has_a_verdict(answered: Report) -> None:
    table = files_table(answered)
    place = [column.title for column in table.columns].index("verdict")
    assert [(row[0].text, row[place].text) for row in table.rows] == [
        ("dense float32", "score tied with trial-2 int8"),
        ("trial-2 int8", "ship this"),
        ("first-1-layer int8", "baseline, slower and no better than trial-2 int8"),
    ]
    assert [cell.text for cell in table.rows[1]][1:6] == ["77.0", "67.0–87.0", "±0.0", "-0.5 to +0.5", "3.00"]
    assert "on the 100 report rows" in table.note


def test_older_studies_say_that_ties_are_not_known(report: Report) -> None:
    assert "so ties are not known" in files_table(report).note


def test_the_chart_fades_what_is_beaten_and_marks_ties(answered: Report) -> None:
    charts = files_charts(answered)
    assert list(charts) == ["ms", "mb", "macs", "removed"]
    drawn = {
        text.strip(): (trace.meta["role"], trace.opacity, x, y)
        for trace in charts["ms"][1].data
        for text, x, y in zip(trace.text, trace.x, trace.y, strict=True)
    }
    assert drawn == {
        "dense float32 ≈": ("ink", 1.0, 12.0, 80.0),
        "trial-2": ("ship", 1.0, 3.0, 77.0),
        "first-1-layer": ("muted", FADED, 9.0, 73.0),
    }
    # as large as the finalist, which scores more
    assert charts["mb"][1].layout.xaxis.title.text == "size of the file (MB of 10^6 bytes)"
    assert [shape.y0 for shape in charts["ms"][1].layout.shapes] == [80.0]
    (ship,) = [trace for trace in charts["ms"][1].data if trace.meta["role"] == "ship"]
    assert (list(ship.error_y.array), list(ship.error_y.arrayminus)) == ([pytest.approx(10)], [pytest.approx(10)])
    assert "±0.0 points vs dense (-0.5 to +0.5)" in ship.customdata[0][1]


def test_names_are_escaped(answered: Report) -> None:
    dense, small, layer = answered.profiles
    rows = (answered.finalists[0], replace(answered.finalists[1], name="<b>"), answered.finalists[2])
    found = replace(answered, finalists=rows, profiles=(dense, replace(small, name="<b>"), layer))
    texts = [text for trace in files_charts(found)["ms"][1].data for text in trace.text]
    assert any("&lt;b&gt;" in text for text in texts)
    assert not any("<b>" in text for text in texts)


def test_an_axis_whose_costs_are_not_known_is_left_out(answered: Report, trials_only: Report) -> None:
    assert list(files_charts(replace(answered, trials=answered.trials[1:]))) == ["ms", "mb", "removed"]
    assert files_charts(trials_only) == {}


def test_the_picture_shows_the_same(answered: Report) -> None:
    figure = files_figure(answered)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["dense float32 ≈", "trial-2", "first-1-layer"]
    points = [np.asarray(line.get_xydata())[0].tolist() for line in axes.lines if line.get_marker() in ("*", "D", "s")]
    assert sorted(points) == [[3.0, 77.0], [9.0, 73.0], [12.0, 80.0]]
    assert "ship: trial-2 int8" in axes.get_title(loc="left")
    assert files_figure(answered, "removed").axes[0].get_xlabel() == "parameters of the encoder removed (%)"
