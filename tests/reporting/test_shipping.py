from __future__ import annotations

import math
from dataclasses import replace

from aebert.reporting.report import Report
from aebert.reporting.rows import FileDifference
from aebert.reporting.shipping import answer_of, beaten_by, cost_axes, files_of, is_tied

AXES = {axis.key: axis for axis in cost_axes(16)}


def test_the_files_are_those_of_the_dense_model_and_what_ships_of_the_others(held_against: Report) -> None:
    files = files_of(held_against)
    assert [one.file for one in files] == ["dense float32", "trial-2 int8", "first-1-layer int8"]
    assert [one.is_dense for one in files] == [True, False, False]
    dense, small, layer = files
    assert (dense.interval, small.interval, layer.interval) == ((0.7, 0.9), (0.67, 0.87), (0.63, 0.83))
    assert small.from_dense == FileDifference("trial-2 int8", "dense float32", -0.03, -0.06, 0.0)
    assert (dense.macs, small.macs) == (1000, 500)
    assert [AXES[key].cost(small) for key in ("ms", "mb", "macs", "removed")] == [3.0, 1.5, 500 / 1e6, 50.0]


def test_files_without_a_score_are_left_out(report: Report) -> None:
    dense, small = report.profiles
    for lost in (None, math.nan):
        found = replace(report, profiles=(dense, replace(small, report_score=lost)))
        assert [one.file for one in files_of(found)] == ["dense float32"]
    assert files_of(replace(report, profiles=())) == []


def test_what_is_cheaper_and_no_worse_beats(held_against: Report) -> None:
    dense, small, layer = files = files_of(held_against)
    assert [beaten_by(one, files, AXES["ms"]) for one in files] == [None, None, None]
    better = replace(layer, score=0.77)
    found = [dense, small, better]
    assert beaten_by(small, found, AXES["ms"]) == better
    assert beaten_by(better, found, AXES["ms"]) is None
    # as many parameters removed: only a higher score beats there
    assert beaten_by(small, found, AXES["removed"]) is None
    best = replace(layer, score=0.78)
    assert beaten_by(small, [dense, small, best], AXES["removed"]) == best


def test_where_a_cost_is_not_known_nothing_is_beaten(held_against: Report) -> None:
    blind = files_of(replace(held_against, trials=held_against.trials[1:]))
    assert all(AXES["macs"].cost(one) is None for one in blind)
    assert all(beaten_by(one, blind, AXES["macs"]) is None for one in blind)


def test_the_answer_is_that_of_the_command(held_against: Report, report: Report) -> None:
    narrow = FileDifference("trial-2 int8", "dense float32", 0.0, -0.005, 0.005)
    found = replace(held_against, differences=(narrow, *held_against.differences[1:]))
    best = answer_of(found, files_of(found))
    assert best is not None
    assert best.file == "trial-2 int8"
    lossy = answer_of(held_against, files_of(held_against))
    assert lossy is not None
    assert lossy.file == "dense float32", "the others may lose 6 points and more"
    assert answer_of(report, files_of(report)) is None, "files were not compared"


def test_ties_are_of_paired_differences(held_against: Report, report: Report) -> None:
    dense, small, layer = files_of(held_against)
    assert is_tied(small, dense, held_against), "0 is the upper end of the interval"
    assert not is_tied(layer, small, held_against)
    before, after = files_of(report)
    assert not is_tied(before, after, report), "not compared"
    unknown = FileDifference("trial-2 int8", "dense float32", 0.0, math.nan, math.nan)
    assert not is_tied(small, dense, replace(held_against, differences=(unknown,)))
