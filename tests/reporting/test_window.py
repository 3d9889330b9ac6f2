from __future__ import annotations

from dataclasses import replace

import pytest

from aebert.reporting.chart import front_chart
from aebert.reporting.page import front_html
from aebert.reporting.plot import front_figure
from aebert.reporting.report import Report
from aebert.reporting.window import below, score_floor


@pytest.fixture
def collapsed(raced: Report) -> Report:
    """The front lies between 75 and 74 points; two trials have collapsed to 50, and one has come down to 71.5."""
    scores = (0.75, 0.5, 0.715, 0.745, 0.5, 0.74, 0.73)
    pairs = zip(raced.trials, scores, strict=True)
    trials = (replace(trial, score=score, metrics={"accuracy": score}) for trial, score in pairs)
    return replace(raced, trials=tuple(trials))


def test_collapsed_trials_do_not_press_the_front_flat(collapsed: Report) -> None:
    # the span of one point counts as two; 1.5 times that below 74
    assert score_floor(collapsed) == pytest.approx(71.0)
    assert below(collapsed, 71.0) == 2
    axes = front_figure(collapsed).axes[0]
    assert axes.get_ylim()[0] == pytest.approx(71.0)
    assert "2 trials below 71.0 are not drawn" in axes.get_title(loc="left")
    assert front_chart(collapsed).layout.yaxis.autorangeoptions.minallowed == pytest.approx(71.0)
    assert "2 trials below 71.0 are further down" in front_html(collapsed)


def test_nothing_is_cut_where_all_can_be_seen(raced: Report, report: Report) -> None:
    for whole in (raced, report, Report(raced.info, ())):
        assert score_floor(whole) is None
        assert "not drawn" not in front_figure(whole).axes[0].get_title(loc="left")
        assert front_chart(whole).layout.yaxis.autorangeoptions.minallowed is None
