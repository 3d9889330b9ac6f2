from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from aebert.reporting import plot
from aebert.reporting.pictures import write_pictures
from aebert.reporting.plot import front_figure
from aebert.reporting.report import Report
from aebert.search.first import FIRST_TRIALS


def _marks(report: Report) -> dict[str, Any]:
    """Every drawn thing with a name, as its places [points, (x, y)]."""
    axes = front_figure(report).axes[0]
    scattered = {str(item.get_gid()): np.asarray(item.get_offsets()) for item in axes.collections if item.get_gid()}
    return {**scattered, **{str(line.get_gid()): np.asarray(line.get_xydata()) for line in axes.lines}}


def test_every_trial_is_one_point_at_its_place(report: Report) -> None:
    marks = _marks(report)
    assert sum(len(marks[name]) for name in ("trials", "uniform", "dense")) == len(report.trials)
    assert marks["dense"].tolist() == [[0.0, 75.0]]
    assert marks["uniform"].tolist() == [[50.0, 50.0]]
    assert marks["trials"].tolist() == [[50.0, 62.5], [75.0, 37.5], [50.0, 62.5], [62.5, 25.0]]
    assert marks["front"].tolist() == [[0.0, 75.0], [50.0, 62.5], [75.0, 37.5]]


def test_a_front_of_milliseconds_is_drawn_over_milliseconds(timed: Report) -> None:
    marks = _marks(timed)
    assert marks["front"].tolist() == [[10.0, 75.0], [7.0, 62.5], [4.0, 56.25]]
    assert front_figure(timed).axes[0].get_xlabel() == "predicted time of one request (ms)"
    estimated = replace(timed, info=replace(timed.info, estimated=True))
    assert front_figure(estimated).axes[0].get_xlabel() == "estimated time of one request (ms)"


def test_estimates_and_first_trials_are_distinguished(raced: Report) -> None:
    marks = _marks(raced)
    assert marks["stopped"].tolist() == [[50.0, 37.5]]
    assert marks["trials"].tolist() == [[50.0, 62.5], [75.0, 50.0], [75.0, 25.0]]
    assert (marks["uniform"].tolist(), marks["knapsack"].tolist()) == ([[50.0, 50.0]], [[50.0, 56.25]])
    assert "magnitude" not in marks
    assert marks["front"].tolist() == [[0.0, 75.0], [50.0, 62.5], [75.0, 50.0]]
    labels = {text.get_text() for text in front_figure(raced).legends[0].get_texts()}
    assert {"stopped by a race (estimate)", "first trial: knapsack (search rows)"} < labels


def test_architectures_of_other_studies_are_first_trials_with_marks_of_their_own(raced: Report) -> None:
    origins = {1: "study:other", 2: "study:$x^$"}
    trials = tuple(replace(trial, origin=origins.get(trial.number, trial.origin)) for trial in raced.trials)
    found = replace(raced, trials=trials)
    marks = _marks(found)
    assert marks["study:other"].tolist() == [[50.0, 50.0]]
    assert marks["study:$x^$"].tolist() == [[50.0, 56.25]]
    figure = front_figure(found)
    figure.canvas.draw()
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert "first trial: study:other (search rows)" in labels


def test_every_registered_first_trial_has_a_marker_and_a_colour_of_its_own() -> None:
    assert len(FIRST_TRIALS) <= len(plot._FIRST)
    for part in zip(*plot._FIRST, strict=True):
        assert len(set(part)) == len(part)


def test_words_name_units_and_rows(report: Report) -> None:
    figure = front_figure(report)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "parameters of the encoder removed (%)"
    assert axes.get_ylabel() == "accuracy × 100 (points)"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"trial (search rows)", "first trial: uniform (search rows)", "Pareto front (search rows)"} < set(labels)
    macs = replace(report, info=replace(report.info, budget_kind="macs"))
    assert front_figure(macs).axes[0].get_xlabel() == "MACs of the encoder removed (%), counted at 16 tokens"


def test_the_legend_is_outside_the_data(report: Report) -> None:
    figure = front_figure(report)
    figure.canvas.draw()
    assert figure.legends[0].get_window_extent().y1 < figure.axes[0].get_window_extent().y0


def test_trials_without_a_finite_score_are_counted(report: Report) -> None:
    lost = replace(report.trials[5], metrics={"accuracy": math.nan})
    figure = front_figure(Report(report.info, (*report.trials[:5], lost)))
    assert "1 trials without a finite score are not drawn" in figure.axes[0].get_title(loc="left")


def test_png_is_an_image_of_the_stated_size(report: Report, tmp_path: Path) -> None:
    write_pictures(front_figure(report), tmp_path / "front", "Front")
    pixels = imread(tmp_path / "front.png")
    assert pixels.shape[:2] == (800, 1200)
    assert pixels[..., :3].std() > 0.05  # something is drawn
    assert {file.name for file in tmp_path.iterdir()} == {"front.png", "front.svg"}


def test_signs_in_names_neither_break_nor_warn(report: Report, tmp_path: Path) -> None:
    named = replace(report, info=replace(report.info, name="$\\frac{$", model="模型", metric="accuracy"))
    write_pictures(front_figure(named), tmp_path / "front", named.info.name)
    assert (tmp_path / "front.png").stat().st_size > 10_000


@pytest.mark.parametrize("count", [0, 1])
def test_a_study_that_has_hardly_begun_can_be_drawn(report: Report, tmp_path: Path, count: int) -> None:
    write_pictures(front_figure(Report(report.info, report.trials[:count])), tmp_path / "front", "Front")
    assert imread(tmp_path / "front.png").shape[:2] == (800, 1200)


def test_the_level_of_the_dense_model_is_on_the_search_rows(report: Report) -> None:
    assert set(_marks(report)["dense level"][:, 1]) == {75.0}
    assert "dense level" not in _marks(replace(report, trials=report.trials[1:]))


def test_the_search_is_drawn_alone(report: Report, trials_only: Report) -> None:
    """What was fine-tuned is on other rows, and has a picture of its own."""
    assert _marks(report).keys() == _marks(trials_only).keys()
