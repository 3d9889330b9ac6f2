from __future__ import annotations

import math
from dataclasses import replace

import pytest

from aebert.reporting.answer import best_file
from aebert.reporting.baselines import baseline_difference, baseline_note, has_baselines
from aebert.reporting.best import Wish
from aebert.reporting.classes import classes_table
from aebert.reporting.costs import finalist_cost
from aebert.reporting.files_chart import files_charts
from aebert.reporting.files_plot import files_figure
from aebert.reporting.finalists import finalists_table
from aebert.reporting.page import front_html
from aebert.reporting.report import Report
from aebert.reporting.rows import ClassRow, FileDifference
from aebert.reporting.tables import dense_finalist


def _with(report: Report, value: float, low: float, high: float) -> Report:
    """The finalist's int8 file scores by so much above the baseline's."""
    others = tuple(one for one in report.differences if (one.file, one.than) != ("first-1-layer int8", "trial-2 int8"))
    return replace(
        report, differences=(*others, FileDifference("trial-2 int8", "first-1-layer int8", value, low, high))
    )


@pytest.mark.parametrize(
    ("value", "low", "high", "says"),
    [
        (0.04, 0.02, 0.06, "trial-2 beats the first layer: +4.0 points (+2.0 to +6.0)."),
        (0.01, -0.01, 0.03, "trial-2 does not beat the first layer: +1.0 points (-1.0 to +3.0)."),
        (0.01, 0.0, 0.02, "trial-2 does not beat the first layer: +1.0 points (±0.0 to +2.0)."),
        (-0.04, -0.06, -0.02, "trial-2 LOSES to the first layer: -4.0 points (-6.0 to -2.0)."),
        (0.04, math.nan, math.nan, "Whether trial-2 beats the first layer can't be told: +4.0 points."),
    ],
)
def test_each_finalist_says_whether_it_beats_its_baseline(
    held_against: Report, value: float, low: float, high: float, says: str
) -> None:
    found = _with(held_against, value, low, high)
    assert next(baseline_note(found)) == says
    assert says in finalists_table(found).note


def test_it_is_the_shipped_files_that_are_compared(held_against: Report) -> None:
    small = held_against.finalists[1]
    found = baseline_difference(small, held_against)
    assert found is not None
    assert (found.value, found.low, found.high) == (0.04, 0.02, 0.06)  # int8, the other way round
    rows = tuple(replace(row, int8_report_metrics=None, int8_report_interval=None) for row in held_against.finalists)
    floats = replace(held_against, finalists=rows)
    found = baseline_difference(rows[1], floats)
    assert found is not None
    assert (found.value, found.low) == (0.04, -0.01)
    assert next(baseline_note(floats)).startswith("trial-2 does not beat the first layer")


def test_several_layers_are_counted(held_against: Report) -> None:
    dense, small, layer = held_against.finalists
    two = replace(held_against, finalists=(dense, small, replace(layer, layers=2)))
    assert next(baseline_note(two)).startswith("trial-2 beats the first 2 layers: ")


def test_a_baseline_that_costs_more_is_said_to(held_against: Report) -> None:
    dense, small, layer = held_against.finalists
    assert "Even one layer" not in "".join(baseline_note(held_against))
    smaller = replace(held_against, finalists=(dense, replace(small, sparsity=0.8), layer))
    within = replace(smaller, info=replace(smaller.info, step=0.31))  # what the grid can't tell apart
    assert "Even one layer" not in "".join(baseline_note(within))
    assert next(baseline_note(smaller)).endswith(
        " Even one layer costs more than it (50.0 % of parameters removed against 80.0 % of parameters removed), so "
        "the baseline is the dearer one."
    )


@pytest.mark.parametrize(
    ("score", "guess", "said"), [(0.66, 0.5, 0), (0.54, 0.54, 1), (math.nan, 0.5, 1), (0.3, 0.5, 1)]
)
def test_a_baseline_that_has_learned_nothing_is_said_to(
    held_against: Report, score: float, guess: float, said: int
) -> None:
    dense, small, layer = held_against.finalists
    found = replace(held_against, finalists=(dense, small, replace(layer, select_score=score, guess=guess)))
    lines = [line for line in baseline_note(found) if "NO BETTER THAN GUESSING" in line]
    assert len(lines) == said
    assert all(line.startswith("first-1-layer scores") for line in lines)


def test_the_table_has_a_row_and_a_column_for_baselines_only_where_there_are_some(
    report: Report, held_against: Report
) -> None:
    assert not has_baselines(report)
    before, after = finalists_table(report), finalists_table(held_against)
    assert "vs layers" not in [column.title for column in before.columns]
    assert "first-N-layers" not in before.note
    assert [column.title for column in after.columns] == [*[column.title for column in before.columns], "vs layers"]
    dense, small, layer = ([cell.text for cell in row] for row in after.rows)
    assert [dense[-1], small[-1], layer[-1]] == ["–", "+4.0", "–"]
    scores = ["–", "66.0", "74.0", "64.0–84.0", "-6.0", "73.0", "63.0–83.0", "–"]
    assert layer == ["first-1-layer", "–", "50.0 %", "1.50", *scores]


def test_a_baseline_is_never_the_answer_unless_asked_for(held_against: Report) -> None:
    wish = Wish(max_loss=20.0)
    found = best_file(held_against, wish)
    assert found.file is not None
    assert (found.file.name, found.file.kind) == ("trial-2", "int8")
    assert "first-1-layer" not in "".join(found.lines)
    asked = best_file(held_against, replace(wish, baselines=True))
    assert asked.file is not None
    assert asked.file.name == "first-1-layer"  # it is faster


def test_a_baseline_is_not_the_dense_model(held_against: Report) -> None:
    dense, small, layer = held_against.finalists
    found = dense_finalist((layer, small, dense))
    assert found is dense
    assert (layer.is_baseline, layer.is_finalist, small.is_finalist, dense.is_baseline) == (True, False, True, False)


def test_what_a_baseline_costs_in_megabytes_is_its_own(held_against: Report) -> None:
    info = replace(held_against.info, budget_kind="size_mb", targets=(1.7,))
    trials = tuple(replace(trial, cost=trial.params / 1e6) for trial in held_against.trials)
    dense, small, layer = held_against.finalists
    found = replace(held_against, info=info, trials=trials, finalists=(dense, small, replace(layer, cost=1.4)))
    assert [finalist_cost(row, found) for row in found.finalists] == [2.0, 1.5, 1.4]
    assert "Even one layer" not in "".join(baseline_note(found))
    dearer = replace(found, finalists=(dense, small, replace(layer, cost=1.6)))
    assert "(1.60 MB against 1.50 MB)" in "".join(baseline_note(dearer))


def test_pictures_tell_baselines_from_finalists(held_against: Report) -> None:
    _, chart = files_charts(held_against)["ms"]
    hollow = [trace for trace in chart.data if trace.marker.symbol == "square-open"]
    assert [text.strip() for trace in hollow for text in trace.text] == ["first-1-layer"]
    assert [list(trace.y) for trace in hollow] == [[73.0]]
    labels = [text.get_text() for text in files_figure(held_against).axes[0].texts]
    assert "first-1-layer" in labels


def test_the_page_calls_a_baseline_one(report: Report, held_against: Report) -> None:
    page = front_html(held_against)
    assert "first-1-layer (baseline, fine-tuned)" in page
    assert "trial-2 beats the first layer: +4.0 points (+2.0 to +6.0)." in page
    assert "baseline, fine-tuned" not in front_html(report)


def test_classes_are_those_of_what_may_ship(held_against: Report) -> None:
    classes = tuple(
        ClassRow(name, kind, "good", 0.5, 0.5, f1, 10)
        for name, kind, f1 in (
            ("dense", "float32", 0.8),
            ("trial-2", "int8", 0.7),
            ("first-1-layer", "int8", 0.1),
        )
    )
    table = classes_table(replace(held_against, classes=classes))
    assert table.note.startswith("good loses most: 10.0 points of F1 in the trial-2 int8 file.")


def test_a_report_with_baselines_can_be_read_again(held_against: Report) -> None:
    assert Report.from_dict(held_against.to_dict()) == held_against
    values = held_against.to_dict()
    for row in values["finalists"]:
        del (
            row["layers"],
            row["cost"],
            row["baseline"],
            row["steps"],
            row["guess"],
        )  # as a version without baselines wrote it
    before = Report.from_dict(values)
    assert not has_baselines(before)
