from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aebert.errors import ConfigError, StudyError
from aebert.latency.curves import Blocks, Curve
from aebert.latency.devices import load_device
from aebert.latency.references import bert_shape
from aebert.latency.sources import EstimatedPrices
from aebert.latency.table import LatencyTable, TableShape
from aebert.latency.workload import Workload
from aebert.pruning.architecture import Architecture
from aebert.reporting.report import Report
from aebert.reporting.repricing import (
    best_within,
    budgets_table,
    counted_prices,
    estimated_prices,
    latency_prices,
    parse_budgets,
    repriced_front,
    repriced_table,
    write_repriced_csv,
)
from aebert.search.record import Origin, StudyInfo, TrialRecord

INFO = StudyInfo("toy", "reviews", "tiny", "accuracy", "sparsity", (0.5,), 16, "tpe", 0, 6, 100)
# 1 ms, 0.5 ms a head, 0.25 ms per 16 neurons
BLOCKS = Blocks(1.0, Curve((1, 4), (0.5, 2.0)), Curve((16, 64), (0.25, 1.0)))
TABLE = LatencyTable({"cpu": "Toy 1"}, "int8", TableShape("bert", 32, 8, (4, 4), (64, 64)), {Workload(16): BLOCKS})


def trial(number: int, heads: tuple[int, int], ffn: tuple[int, int], score: float, **more: Any) -> TrialRecord:
    removed = 1 - (sum(heads) * 16 + sum(ffn)) / 256
    values = {"params": 100 * (1 + number), "sparsity": removed, "macs": 1, "macs_removed": removed, "seconds": 1.0}
    origin: Origin = "dense" if number == 0 else "sampled"
    budget = None if number == 0 else 0.5
    return TrialRecord(
        number, origin, Architecture(heads, ffn), budget, score, {"accuracy": score}, 0.5, **{**values, **more}
    )


TRIALS = (
    trial(0, (4, 4), (64, 64), 0.90),  # 1 + 4 + 2 = 7 ms
    trial(1, (2, 2), (64, 64), 0.85),  # 1 + 2 + 2 = 5 ms
    trial(2, (4, 4), (0, 0), 0.84),  # 1 + 4 = 5 ms: beaten by trial 1
    trial(3, (1, 0), (16, 32), 0.80),  # 1 + 0.5 + 0.75 = 2.25 ms
    trial(4, (0, 0), (0, 0), 0.50),  # 1 ms
    trial(5, (0, 0), (0, 16), 0.99, stopped_at=10),  # an estimate
)
REPORT = Report(INFO, TRIALS)


def test_every_candidate_gets_its_price_and_the_front_follows_it() -> None:
    prices = latency_prices(REPORT, TABLE, Workload(16))
    assert dict(prices.spent) == {0: 7.0, 1: 5.0, 2: 5.0, 3: 2.25, 4: 1.0, 5: 1.25}
    assert [each.number for each in repriced_front(TRIALS, prices)] == [0, 1, 3, 4]
    assert prices.about == "predicted ms on Toy 1, int8, 16 tokens, batch 1, 1 thread(s)"


@pytest.mark.parametrize(("target", "best"), [(8, 0), (6.9, 1), (5, 1), (4.99, 3), (2.25, 3), (1, 4), (0.5, None)])
def test_the_best_within_a_budget(target: float, best: int | None) -> None:
    found = best_within(TRIALS, latency_prices(REPORT, TABLE, Workload(16)), target)
    assert (found and found.number) == best


def test_other_costs_are_counted() -> None:
    removed = counted_prices(REPORT, "macs", None, int8=True)
    found = best_within(TRIALS, removed, 0.25)
    assert found is not None
    assert found.number == 1  # 192 of 256 left
    assert dict(counted_prices(REPORT, "params", None, int8=True).spent)[3] == 400.0
    with pytest.raises(StudyError, match="sizes of study 'toy' can't be told: its folder has no dense model"):
        counted_prices(REPORT, "size_mb", None, int8=True)


def test_tables_show_what_meets_which_budget() -> None:
    prices = latency_prices(REPORT, TABLE, Workload(16))
    front, best = repriced_table(REPORT, prices), budgets_table(REPORT, prices, [5, 0.5])
    assert [row[1].text for row in front.rows] == ["7.00", "5.00", "2.25", "1.00"]
    assert [[cell.text for cell in row[:3]] for row in best.rows] == [
        ["5 ms", "1", "5.00"],
        ["0.5 ms", "none meets it", "–"],
    ]
    assert best.note == "cheapest candidate scored: 1.00 ms."


def test_all_candidates_are_written(tmp_path: Path) -> None:
    path = write_repriced_csv(REPORT, latency_prices(REPORT, TABLE, Workload(16)), tmp_path / "out.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [row["latency_ms"] for row in rows] == ["7.0", "5.0", "5.0", "2.25", "1.0", "1.25"]
    assert [row["on_front"] for row in rows] == ["True", "True", "False", "True", "True", "False"]
    assert rows[3]["ffn"] == "16 32"


def test_a_table_of_another_encoder_is_refused() -> None:
    other = replace(TABLE, shape=TableShape("bert", 32, 8, (4, 4, 4), (64, 64, 64)))
    with pytest.raises(ConfigError, match=r"its blocks are heads \[4, 4, 4\] .* the study's \[4, 4\]"):
        latency_prices(REPORT, other, Workload(16))


def test_budgets_are_read() -> None:
    assert parse_budgets(["latency_ms=8", "macs=0.5", "latency_ms=6.5"]) == {"latency_ms": [8.0, 6.5], "macs": [0.5]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency=8", r"--budget takes KIND=VALUE with one of .*, got 'latency=8' \(did you mean 'latency_ms'\?\)"),
        ("latency_ms", r"--budget latency_ms must be a number above 0, got 'latency_ms'"),
        ("latency_ms=-1", r"must be a number above 0, got 'latency_ms=-1'"),
        ("macs=50", r"--budget macs must be a share in 0..1, got 'macs=50'"),
    ],
)
def test_bad_budgets_are_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_budgets([text])


@pytest.fixture
def estimated(board: Callable[..., Path]) -> EstimatedPrices:
    return EstimatedPrices(load_device(str(board())), bert_shape(32, 2, 4, 64), "int8")


def test_an_estimate_prices_the_same_candidates(estimated: EstimatedPrices) -> None:
    # 2 ms, 1 ms a block, 1 ms a head, 0.05 ms a neuron
    prices = estimated_prices(REPORT, estimated, Workload(16))
    assert dict(prices.spent) == pytest.approx({0: 20.4, 1: 16.4, 2: 12.0, 3: 8.4, 4: 2.0, 5: 3.8})
    assert [each.number for each in repriced_front(TRIALS, prices)] == [0, 1, 2, 3, 4]
    found = best_within(TRIALS, prices, 12.5)
    assert found is not None
    assert found.number == 2


def test_no_estimate_is_printed_or_written_without_the_word(estimated: EstimatedPrices, tmp_path: Path) -> None:
    prices = estimated_prices(REPORT, estimated, Workload(16))
    front, best = repriced_table(REPORT, prices), budgets_table(REPORT, prices, [12.5])
    assert front.title == "Front of toy by estimated latency_ms"
    assert [table.columns[place].title for table, place in ((front, 1), (best, 2))] == ["estimated ms", "estimated ms"]
    for part in (
        "an estimate, not a measurement: toy-board (estimate), 16 tokens, batch 1, int8, roofline",
        "error against the one published time -50 % (`aebert devices show` lists them)",
        "assumed: it never throttles",
    ):
        assert part in front.note
    assert best.note == "cheapest candidate scored: 2.00 estimated ms."
    text = write_repriced_csv(REPORT, prices, tmp_path / "out.csv").read_text(encoding="utf-8")
    assert text.startswith("trial,estimated_latency_ms,score,")
