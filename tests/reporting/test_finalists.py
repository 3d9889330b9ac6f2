from __future__ import annotations

import math
from dataclasses import replace

from aebert.reporting.finalists import finalists_table
from aebert.reporting.fronts import front_table
from aebert.reporting.report import Report
from aebert.reporting.rows import Behind
from aebert.reporting.tables import Table


def _text(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_finalist_rows(report: Report) -> None:
    dense, small = _text(finalists_table(report))
    assert dense == ["dense", "–", "0.0 %", "2.00", "75.0", "75.0", "80.0", "70.0–90.0", "–", "–", "–"]
    scores = ["62.5", "70.0", "78.0", "68.0–88.0", "-2.0", "77.0", "67.0–87.0"]
    assert small == ["trial-2 *", "2", "50.0 %", "1.50", *scores]
    assert "100 report rows" in finalists_table(report).note


def test_the_note_says_why_another_than_the_best_is_chosen(report: Report, timed: Report) -> None:
    dense, small = report.finalists
    assert finalists_table(report).note.startswith(
        "* marks the model to use at each budget, the one that scores best on the select rows.\n"
    )
    tied = replace(small, behind=Behind("trial-9", 0.008, -0.004, 0.02))
    best = replace(small, name="trial-9", chosen=False)
    assert finalists_table(replace(report, finalists=(dense, tied, best))).note.startswith(
        "* marks the model to use at each budget, the first that was picked of those that the select rows can't tell "
        "from the best there.\n"
        "trial-2 is chosen: the select rows can't tell trial-9 from it (+0.8 points, -0.4 to +2.0), and it was picked "
        "first.\n"
    )
    unsure = replace(tied, behind=Behind("trial-9", 0.008, math.nan, math.nan))
    note = finalists_table(replace(timed, finalists=(dense, unsure, best))).note.splitlines()
    assert note[0].endswith("best there, before those that miss the budget.")
    assert note[1].endswith("can't tell trial-9 from it (+0.8 points), and it was picked first.")


def test_the_note_says_what_was_reached_in_steps(report: Report) -> None:
    dense, small = report.finalists
    found = replace(report, finalists=(dense, replace(small, steps=3)))
    said = "trial-2 was reached in 3 steps, each cut, repaired and trained for an equal part of the epochs.\n"
    assert said in finalists_table(found).note
    assert "reached in" not in finalists_table(report).note


def test_finalists_of_a_latency_budget_are_predicted_and_measured(timed: Report) -> None:
    table = finalists_table(timed)
    titles = [column.title for column in table.columns]
    assert (titles[2], titles[-2:]) == ("predicted (ms)", ["measured (ms)", "budget"])
    dense, small = _text(table)
    assert (dense[2], small[2], small[-2:]) == ("10.0", "7.00", ["7.20", "7.5 ms met"])
    lost = replace(timed, trials=timed.trials[:2])
    assert [row[2] for row in _text(finalists_table(lost))] == ["10.0", "–"]


def test_an_estimated_budget_is_called_so_and_is_not_confirmed(timed: Report) -> None:
    device = "toy-board (estimate), 16 tokens, batch 1"
    rows = tuple(replace(row, measured_ms=None) for row in timed.finalists)
    found = replace(timed, info=replace(timed.info, device=device, estimated=True), finalists=rows)
    front, finalists = front_table(found), finalists_table(found)
    assert "estimated (ms)" in [column.title for column in front.columns]
    assert f"estimated (ms) is an estimate, not a measurement, of one request on {device}.\n" in front.note
    assert "estimated (ms)" in [column.title for column in finalists.columns]
    assert finalists.note.endswith(
        f"estimated (ms) is an estimate, not a measurement, of one request of the shipped file on {device}. "
        "The budget is not confirmed by measurement."
    )


def test_a_table_of_another_machine_predicts(timed: Report) -> None:
    finalists = finalists_table(
        replace(timed, finalists=tuple(replace(row, measured_ms=None) for row in timed.finalists))
    )
    assert "predicted (ms)" in [column.title for column in finalists.columns]
    assert finalists.note.endswith(
        "predicted (ms) is the median of one request of the shipped file on Toy 1, int8. "
        "Nothing was measured, since this machine is not that device."
    )
