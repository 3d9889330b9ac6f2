from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aebert.pruning.architecture import Architecture
from aebert.reporting.report import Report
from aebert.reporting.repricing import Repricing, budgets_table, repriced_table, write_repriced_csv
from aebert.search.kinds import KINDS
from aebert.search.record import Origin, StudyInfo, TrialRecord


def trial(number: int, heads: tuple[int, int], ffn: tuple[int, int], score: float, **more: Any) -> TrialRecord:
    removed = 1 - (sum(heads) * 16 + sum(ffn)) / 256
    values = {"params": 100_000 * (1 + number), "sparsity": removed, "macs": 1, "macs_removed": removed, "seconds": 1.0}
    origin: Origin = "dense" if number == 0 else "sampled"
    budget = None if number == 0 else 0.5
    return TrialRecord(
        number=number,
        origin=origin,
        architecture=Architecture(heads, ffn),
        budget=budget,
        score=score,
        metrics={"accuracy": score},
        loss=0.5,
        **{**values, **more},
    )


TRIALS = (
    trial(0, (4, 4), (64, 64), 0.90, cost=7.0),
    trial(1, (2, 2), (64, 64), 0.85, cost=5.0),
    trial(2, (4, 4), (0, 0), 0.84, cost=5.0),  # beaten by trial 1
    trial(3, (1, 0), (16, 32), 0.80, cost=2.25),
    trial(4, (0, 0), (0, 0), 0.50, cost=1.0),
    trial(5, (0, 0), (0, 16), 0.99, cost=1.25, stopped_at=10),  # its score is an estimate
)


def prices(kind: str = "latency_ms", *, estimated: bool = False) -> Repricing:
    info = StudyInfo(
        name="toy",
        task="reviews",
        model="tiny",
        metric="accuracy",
        budget_kind=kind,
        targets=(0.5,),
        length=16,
        sampler="tpe",
        seed=0,
        trials=6,
        search_rows=100,
        estimated=estimated,
    )
    counted = KINDS[kind].counted
    trials = TRIALS if counted is None else tuple(replace(each, cost=counted(each)) for each in TRIALS)
    return Repricing(Report(info, trials), "predicted ms on Toy 1\nassumed: nothing")


def test_tables_show_what_meets_which_budget() -> None:
    front, best = repriced_table(prices()), budgets_table(prices(), [5, 0.5])
    assert [column.title for column in front.columns[:4]] == ["trial", "predicted (ms)", "params (M)", "accuracy"]
    assert [row[1].text for row in front.rows] == ["7.00", "5.00", "2.25", "1.00"]
    assert front.note.endswith("\npredicted (ms): predicted ms on Toy 1\nassumed: nothing.")
    assert [[cell.text for cell in row] for row in best.rows] == [
        ["5 ms", "1", "5.00", "0.20", "85.0"],
        ["0.5 ms", "none meets it", "–", "–", "–"],
    ]
    assert best.note == "cheapest candidate scored: predicted 1.00 ms."


def test_a_share_is_that_which_is_removed() -> None:
    front, best = repriced_table(prices("macs")), budgets_table(prices("macs"), [0.25])
    assert front.columns[1].title == "MACs removed"
    assert [row[1].text for row in front.rows] == ["0.0 %", "25.0 %", "50.0 %", "75.0 %", "100.0 %"]
    assert [cell.text for cell in best.rows[0][:3]] == ["25 %", "1", "25.0 %"]
    assert best.note == ""


def test_parameters_are_one_column() -> None:
    front, best = repriced_table(prices("params")), budgets_table(prices("params"), [250_000])
    assert [column.title for column in front.columns[:3]] == ["trial", "params (M)", "accuracy"]
    assert [cell.text for cell in best.rows[0]] == ["250K params", "0 dense", "0.10", "90.0"]


def test_all_candidates_are_written(tmp_path: Path) -> None:
    path = write_repriced_csv(prices(), tmp_path / "out.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [row["latency_ms"] for row in rows] == ["7.0", "5.0", "5.0", "2.25", "1.0", "1.25"]
    assert [row["on_front"] for row in rows] == ["True", "True", "False", "True", "True", "False"]
    assert rows[3]["ffn"] == "16 32"


@pytest.mark.parametrize(("kind", "column"), [("macs", "macs_left"), ("sparsity", "parameters_left")])
def test_of_a_share_what_is_left_is_written(tmp_path: Path, kind: str, column: str) -> None:
    path = write_repriced_csv(prices(kind), tmp_path / "out.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [float(row[column]) for row in rows[:2]] == [1.0, 0.75]


def test_no_estimate_is_printed_or_written_without_the_word(tmp_path: Path) -> None:
    estimated = prices(estimated=True)
    front, best = repriced_table(estimated), budgets_table(estimated, [12.5])
    assert front.title == "Front of toy by estimated latency_ms"
    assert front.columns[1].title == best.columns[2].title == "estimated (ms)"
    assert best.note == "cheapest candidate scored: estimated 1.00 ms."
    text = write_repriced_csv(estimated, tmp_path / "out.csv").read_text(encoding="utf-8")
    assert text.startswith("trial,estimated_latency_ms,score,")
