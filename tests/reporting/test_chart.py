from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from aebert.pruning.architecture import Architecture
from aebert.reporting import chart
from aebert.reporting.chart import front_chart, front_legend, progress_chart
from aebert.reporting.report import Report
from aebert.search.first import FIRST_TRIALS, FirstTrial


def test_traces_hold_the_trials_and_finalists(report: Report) -> None:
    figure = front_chart(report)
    traces = {trace.name: trace for trace in figure.data}
    sampled = traces["trial"]
    assert (list(sampled.x), list(sampled.y)) == ([50.0, 75.0, 50.0, 62.5], [62.5, 37.5, 62.5, 25.0])
    assert [point[0] for point in sampled.customdata] == ["trial:2", "trial:3", "trial:4", "trial:5"]
    front = traces["Pareto front"]
    assert (list(front.x), list(front.y)) == ([0.0, 50.0, 75.0], [75.0, 62.5, 37.5])
    assert [shape.y0 for shape in figure.layout.shapes] == [75.0]
    assert not any("rows" in name for name in traces), "all are search rows"


def test_hover_tells_trial_score_heads_and_ffn(report: Report) -> None:
    hover = front_chart(report).data[0].customdata[0][1]
    assert hover.split("<br>") == [
        "<b>trial 2</b> (sampled)",
        "accuracy 62.5 on the search rows, loss 0.500",
        "50.0 % of parameters removed, 1.50 M parameters",
        "heads 4 2",
        "FFN 4 2",
    ]


def test_a_front_of_milliseconds_is_drawn_over_milliseconds(timed: Report) -> None:
    figure = front_chart(timed)
    traces = {trace.name: trace for trace in figure.data}
    front = traces["Pareto front"]
    assert (list(front.x), list(front.y)) == ([10.0, 7.0, 4.0], [75.0, 62.5, 56.25])
    assert figure.layout.xaxis.title.text == "predicted time of one request (ms)"
    assert "7.00 ms, 1.38 M parameters" in traces["trial"].customdata[0][1]


def test_estimates_and_first_trials_are_distinguished(raced: Report) -> None:
    traces = {trace.name: trace for trace in front_chart(raced).data}
    stopped = traces["stopped by a race, estimate"]
    assert (list(stopped.x), list(stopped.y)) == ([50.0], [37.5])
    assert "accuracy 37.5 on 2 of 8 search rows (estimated), loss 0.625" in stopped.customdata[0][1]
    trials = [point[0] for point in traces["trial"].customdata]
    assert trials == ["trial:3", "trial:5", "trial:6"]
    first = {name: trace for name, trace in traces.items() if name.startswith("first trial")}
    assert list(first) == ["first trial: uniform", "first trial: knapsack"]
    assert len({trace.marker.symbol for trace in first.values()}) == 2
    # the page's style sheet has a colour for each
    style = (Path(chart.__file__).parent / "page.css").read_text(encoding="utf-8")
    assert all(style.count(f"--{trace.meta['role']}:") == 2 for trace in traces.values())


def test_every_registered_first_trial_has_a_symbol_and_a_colour_in_both_themes() -> None:
    assert len(FIRST_TRIALS) <= len(set(chart._FIRST))
    style = (Path(chart.__file__).parent / "page.css").read_text(encoding="utf-8")
    for theme in style.split("@media")[:2]:
        colours = re.findall(r"--first-([\w-]+): (#[0-9a-f]{6})", theme)
        assert [symbol for symbol, _ in colours] == list(chart._FIRST)
        assert len(set(colours)) == len(colours)


def test_a_new_first_trial_is_drawn_at_once(raced: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = FirstTrial("mine alone", lambda *_: Architecture((1, 3), (4, 4)))
    monkeypatch.setattr(FIRST_TRIALS, "_values", {**FIRST_TRIALS._values, "mine": mine})
    trials = (replace(trial, origin="mine") if trial.origin == "knapsack" else trial for trial in raced.trials)
    traces = {trace.name: trace for trace in front_chart(replace(raced, trials=tuple(trials))).data}
    assert list(traces["first trial: mine"].y) == [56.25]


def test_architectures_of_other_studies_are_first_trials(raced: Report) -> None:
    origins = {1: "study:other", 2: "study:<i>"}
    trials = tuple(replace(trial, origin=origins.get(trial.number, trial.origin)) for trial in raced.trials)
    found = replace(raced, trials=trials)
    first = {trace.name: trace for trace in front_chart(found).data if trace.name.startswith("first trial")}
    assert list(first) == ["first trial: study:other", "first trial: study:&lt;i&gt;"]
    assert len({trace.marker.symbol for trace in first.values()}) == 2
    hover = first["first trial: study:&lt;i&gt;"].customdata[0][1]
    assert hover.startswith("<b>trial 2</b> (study:&lt;i&gt;)<br>")
    figure = progress_chart(found)
    assert figure is not None
    assert figure.data[0].customdata[2][1] == "study:&lt;i&gt;"


def test_progress_is_the_hypervolume_by_trial(raced: Report, report: Report) -> None:
    figure = progress_chart(raced)
    assert figure is not None
    (trace,) = figure.data
    assert list(trace.x) == [0, 1, 2, 3, 4, 5, 6]
    assert list(trace.y)[3] == 0.3125
    assert progress_chart(report) is None


def test_the_legend_names_what_is_drawn_and_nothing_else(raced: Report, trials_only: Report) -> None:
    names = [name for _, _, name in front_legend(raced)]
    assert names == [
        *("trial", "stopped by a race, estimate", "Pareto front"),
        *("first trial: uniform", "first trial: knapsack", "dense model"),
    ]
    assert "stopped by a race, estimate" not in [name for _, _, name in front_legend(trials_only)]
    assert front_chart(raced).layout.showlegend is False


def test_points_without_a_finite_score_are_left_out(report: Report) -> None:
    lost = replace(report.trials[5], metrics={"accuracy": math.nan})
    figure = front_chart(Report(report.info, (*report.trials[:5], lost)))
    assert len(figure.data[0].x) == 3
