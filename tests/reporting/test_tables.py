from __future__ import annotations

from dataclasses import replace

from aebert.pruning.architecture import Architecture
from aebert.reporting.report import Report
from aebert.reporting.tables import (
    Table,
    chosen,
    finalists_grid,
    front_grid,
    full_architecture,
    layer_totals,
    profiles_grid,
    scored_on,
)


def _text(grid: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in grid.rows]


def test_front_rows(report: Report) -> None:
    grid = front_grid(report)
    titles = ["trial", "budget", "parameters removed", "params (M)", "accuracy", "95 %", "loss"]
    assert [column.title for column in grid.columns] == [*titles, "vs dense", "vs uniform", "heads", "FFN"]
    assert _text(grid) == [
        ["0 dense", "–", "0.0 %", "2.00", "75.0", "–", "0.250", "±0.0", "–", "██", "██"],
        ["2", "50 %", "50.0 %", "1.50", "62.5", "–", "0.500", "-12.5", "+12.5", "█▄", "▄▂"],
        ["3", "75 %", "75.0 %", "1.25", "37.5", "–", "2.000", "-37.5", "–", "·▂", "█·"],
    ]
    assert [row[0].key for row in grid.rows] == ["trial:0", "trial:2", "trial:3"]


def test_the_front_of_milliseconds_lists_milliseconds(timed: Report) -> None:
    grid = front_grid(timed)
    assert [column.title for column in grid.columns][:5] == [
        "trial",
        "budget",
        "predicted (ms)",
        "params (M)",
        "accuracy",
    ]
    assert [row[:3] for row in _text(grid)] == [
        ["0 dense", "–", "10.0"],
        ["2", "7.5 ms", "7.00"],
        ["3", "7.5 ms", "4.00"],
    ]
    # a study that recorded no costs keeps its front over MACs
    old = replace(timed, trials=tuple(replace(trial, cost=None) for trial in timed.trials))
    assert front_grid(old).columns[2].title == "MACs removed"
    assert [row[:3] for row in _text(front_grid(old))] == [["0 dense", "–", "0.0 %"], ["2", "7.5 ms", "62.5 %"]]


def test_finalists_of_a_latency_budget_are_predicted_and_measured(timed: Report) -> None:
    grid = finalists_grid(timed)
    titles = [column.title for column in grid.columns]
    assert (titles[2], titles[-2:]) == ("predicted (ms)", ["measured (ms)", "budget"])
    dense, small = _text(grid)
    assert (dense[2], small[2], small[-2:]) == ("10.0", "7.00", ["7.20", "7.5 ms met"])
    lost = replace(timed, trials=timed.trials[:2])
    assert [row[2] for row in _text(finalists_grid(lost))] == ["10.0", "–"]


def test_a_cost_that_is_the_number_of_parameters_stands_there_once(report: Report) -> None:
    limited = replace(report, info=replace(report.info, budget_kind="params", targets=(1.5e6,)))
    for grid in (front_grid(limited), finalists_grid(limited)):
        assert [column.title for column in grid.columns].count("params (M)") == 1
    assert [row[2] for row in _text(front_grid(limited))] == ["2.00", "1.50", "1.25"]


def test_front_of_a_study_limited_in_macs_says_so(report: Report) -> None:
    limited = replace(report, info=replace(report.info, budget_kind="macs"))
    assert front_grid(limited).columns[2].title == "MACs removed"


def test_scores_have_their_intervals(raced: Report) -> None:
    # a sixteenth times 2.093, the 97.5 % point of Student's t with 19 degrees of freedom, is 13.08 points
    shown = {row[0].text: row[5].text for row in front_grid(raced).rows}
    assert shown == {"0 dense": "61.9–88.1", "3": "49.4–75.6", "5 neighbour": "36.9–63.1"}
    by_loss = replace(raced, trials=tuple(replace(trial, score=-trial.loss) for trial in raced.trials))
    # the error is that of the loss, and the metric is shown
    assert {row[5].text for row in front_grid(by_loss).rows} == {"–"}


def test_finalist_rows(report: Report) -> None:
    dense, small = _text(finalists_grid(report))
    assert dense == ["dense", "–", "0.0 %", "2.00", "75.0", "75.0", "80.0", "70.0–90.0", "–", "–", "–"]
    scores = ["62.5", "70.0", "78.0", "68.0–88.0", "-2.0", "77.0", "67.0–87.0"]
    assert small == ["trial-2 *", "2", "50.0 %", "1.50", *scores]
    assert "100 report rows" in finalists_grid(report).note


def test_profile_rows(report: Report) -> None:
    grid = profiles_grid(report)
    assert _text(grid) == [
        ["dense", "float32", "8.0", "12.0", "13.0", "15.0", "80.0", "100.0", "–", "–", "80.0"],
        ["trial-2", "int8", "1.5", "3.00", "3.50", "4.00", "320", "–", "4.00×", "3.90–4.10", "77.0"],
    ]
    assert grid.note.endswith("Measured on: 1 thread(s).")


def test_a_score_that_is_not_the_metric_is_told(report: Report) -> None:
    assert scored_on(report) == "accuracy × 100 on the 8 search rows, before fine-tuning"
    by_loss = replace(report, trials=tuple(replace(trial, score=-trial.loss) for trial in report.trials))
    assert "the search maximized another score (the negative loss)" in scored_on(by_loss)
    # the score shown stays the headline metric
    assert _text(front_grid(by_loss))[0][4] == "75.0"


def test_several_ffn_blocks_of_a_layer_are_summed() -> None:
    assert layer_totals(Architecture((4, 2), (1, 2, 3, 4, 5, 6))) == (6, 15)
    assert layer_totals(Architecture((4, 2), (7, 8))) == (7, 8)


def test_full_architecture_is_the_dense_model_s(report: Report) -> None:
    assert full_architecture(report) == report.trials[0].architecture
    assert full_architecture(replace(report, trials=report.trials[1:])) == report.finalists[0].architecture
    assert full_architecture(Report(report.info, report.trials[1:])) is None


def test_chosen_is_the_marked_finalist(report: Report) -> None:
    assert chosen(report.finalists) is report.finalists[1]
    assert chosen(report.finalists[:1]) is None


def test_an_estimated_budget_is_called_so_and_is_not_confirmed(timed: Report) -> None:
    device = "toy-board (estimate), 16 tokens, batch 1"
    rows = tuple(replace(row, measured_ms=None) for row in timed.finalists)
    found = replace(timed, info=replace(timed.info, device=device, estimated=True), finalists=rows)
    front, finalists = front_grid(found), finalists_grid(found)
    assert "estimated (ms)" in [column.title for column in front.columns]
    assert f"ms: estimate, not a measurement, of one request on {device}.\n" in front.note
    assert "estimated (ms)" in [column.title for column in finalists.columns]
    assert finalists.note.endswith(
        f"ms: estimate, not a measurement, of one request of the shipped file on {device}. "
        "The budget is not confirmed by measurement."
    )


def test_a_table_of_another_machine_predicts(timed: Report) -> None:
    finalists = finalists_grid(
        replace(timed, finalists=tuple(replace(row, measured_ms=None) for row in timed.finalists))
    )
    assert "predicted (ms)" in [column.title for column in finalists.columns]
    assert finalists.note.endswith(
        "ms: median of one request of the shipped file on Toy 1, int8. Not measured: this machine is not that device."
    )
