"""A search limited by milliseconds, from a table measured on this machine to finalists confirmed on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def _budget(latency_ms: float, **more: Any) -> str:
    return f"search.budget={json.dumps({'latency_ms': latency_ms, 'length': 12} | more)}"


@pytest.fixture
def table(aebert: Any, workspace: Path) -> dict[str, Any]:
    done = aebert(
        *("latency-table", "reviews.yaml", "--out", "tables/here.json", "--lengths", "12"),
        *("--runs", "5", "--held-out", "4"),
    )
    assert done.code == 0, done.err
    assert "here.json: measured in" in done.out
    assert "Latency table of" in done.out
    found: dict[str, Any] = json.loads((workspace / "tables/here.json").read_text())
    return found


@pytest.mark.slow
def test_a_table_limits_a_search_and_prices_another_study(aebert: Any, table: dict[str, Any], workspace: Path) -> None:
    assert len(table["held_out"]) == 4
    (point,) = table["prices"]
    floor, dense = (
        point["floor_ms"],
        point["floor_ms"] + 2 * (point["heads"]["milliseconds"][-1] + point["ffn"]["milliseconds"][-1]),
    )

    low = aebert("run", "reviews.yaml", "--set", _budget(floor / 2, device="tables/here.json", margin=0))
    assert low.code == 2
    assert low.err.count("\n") == 1
    assert "ms are embeddings and the rest outside the blocks" in low.err

    target = floor + 0.6 * (dense - floor)
    done = aebert("run", "reviews.yaml", "--set", _budget(target, device="tables/here.json", margin=0))
    assert done.code == 0, done.err
    shown = aebert("show", "reviews").out
    assert " met" in shown or "NOT met" in shown
    summary = json.loads((workspace / "results/reviews/summary.json").read_text())
    assert summary["info"]["device"].endswith("12 tokens, batch 1, 1 thread(s), margin 0.0 %")
    assert all(trial["cost"] <= target for trial in summary["trials"] if trial["origin"] != "dense")
    rows = [row for row in summary["finalists"] if row["trial"] is not None]
    assert all(row["measured_ms"] > 0 and row["predicted_ms"] <= target for row in rows)

    # the table is of plain graphs; which graph ships is decided by the clock
    forms = [form for name, form in summary["forms"].items() if name != "dense"]
    other = [f for f in forms if f["kept"]["int8_source"] == "fused" or f["quantization"]["tried"][0]["excluded"]]
    assert ("These have another form, so that only what was measured counts: trial-" in shown) == bool(other)

    again = aebert(
        "pareto", "reviews", "--device", "tables/here.json", "--length", "12", "--budget", f"latency_ms={dense * 2}"
    )
    assert again.code == 0, again.err
    assert "Front of reviews by latency_ms" in again.out
    assert (workspace / "results/reviews/repriced-latency_ms.csv").is_file()


@pytest.mark.slow
def test_a_table_of_this_device_is_measured_once_before_anything_else(aebert: Any, workspace: Path) -> None:
    low = aebert("search", "reviews.yaml", "--set", _budget(1e-6, margin=0))
    assert low.code == 2
    assert "budget must be reachable: latency_ms 1e-06 is below" in low.err
    assert not (workspace / "results/reviews/study.db").exists()
    written = (workspace / "results/reviews/latency-table.json").read_bytes()
    aebert("search", "reviews.yaml", "--set", _budget(2e-6, margin=0))
    assert (workspace / "results/reviews/latency-table.json").read_bytes() == written


@pytest.mark.slow
def test_a_device_that_is_not_at_hand_limits_a_search_by_its_estimate(
    aebert: Any, board: Callable[..., Path], workspace: Path
) -> None:
    # a request takes 2 ms, and the dense model 20.4 (see `board`)
    budget = ("--set", _budget(12, device="toy-board.yaml", length=16), "--set", "deploy.fuse=never")
    board()
    done = aebert("run", "reviews.yaml", *budget)
    assert done.code == 0, done.err
    shown = aebert("show", "reviews").out
    assert "estimate, not a measurement, of one request of the shipped file on toy-board (estimate), 16 to" in shown
    assert "The budget is not confirmed by measurement." in " ".join(shown.split())
    assert "predicted (ms)" not in shown
    summary = json.loads((workspace / "results/reviews/summary.json").read_text())
    assert summary["info"]["device"] == "toy-board (estimate), 16 tokens, batch 1"
    costs = {trial["origin"]: trial["cost"] for trial in summary["trials"]}
    assert costs.pop("dense") == pytest.approx(20.4)
    assert all(cost <= 12 for cost in costs.values())
    assert all(row["measured_ms"] is None for row in summary["finalists"])
    assert not (workspace / "results/reviews/latency-table.json").exists()

    for device in ((), ("--device", "toy-board.yaml")):  # by default the study's own
        again = aebert("pareto", "reviews", *device, "--budget", "latency_ms=8.4")
        assert again.code == 0, again.err
        assert "estimated (ms)" in again.out
        assert "error against the one published time -50 %" in again.out
    slower = aebert("pareto", "reviews", "--device", "toy-board.yaml", "--form", "float32")
    assert "16 tokens, batch 1, float32, roofline" in " ".join(slower.out.split())
    written = (workspace / "results/reviews/repriced-latency_ms.csv").read_text(encoding="utf-8").splitlines()
    assert written[0].startswith("trial,estimated_latency_ms,")
    assert float(written[1].split(",")[1]) == pytest.approx(34.8)  # the dense model

    board(clock_ghz=2)
    refused = aebert("search", "reviews.yaml", *budget)
    assert refused.code == 2
    assert "was made with other settings: search.budget.estimate was" in refused.err


def test_a_device_that_cannot_price_is_one_line_before_any_work(
    aebert: Any, board: Callable[..., Path], workspace: Path
) -> None:
    board(efficiency={"float32": 1})
    (workspace / "pi.yaml").write_text("host: pi@board", encoding="utf-8")
    for device, message in (
        ("toy-board.yaml", "device toy-board: efficiency must have int8, got only float32; the files are int8: choose"),
        ("pi.yaml", "device 'pi' must be a latency table, since it is measured on pi@board: run `aebert latency-table"),
        ("raspbery-pi-5", "device 'raspbery-pi-5' does not exist (did you mean 'raspberry-pi-5'?)"),
    ):
        done = aebert("search", "reviews.yaml", "--set", _budget(12, device=device))
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert message in done.err


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"latency_ms": 5, "device": "nowhere.json"}, "latency table nowhere.json can't be read: No such file"),
        ({"sparsity": 0.5, "threads": 2}, "threads belong to a latency_ms budget, got sparsity"),
        ({"latency_ms": 0}, "greater than 0"),
    ],
)
def test_bad_budgets_are_one_line(aebert: Any, budget: dict[str, Any], message: str) -> None:
    done = aebert("search", "reviews.yaml", "--set", f"search.budget={json.dumps(budget)}")
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("lengths", ["", "16,x", "0", "16,16"])
def test_bad_lengths_are_one_line(aebert: Any, lengths: str) -> None:
    done = aebert("latency-table", "reviews.yaml", "--out", "t.json", "--lengths", lengths)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--lengths takes different whole numbers above 0" in done.err
