"""A search limited by milliseconds, from a table measured on this machine to finalists confirmed on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def _budget(latency_ms: float, **more: Any) -> str:
    return f"search.budget={json.dumps({'latency_ms': latency_ms, 'length': 12, **more})}"


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
    assert " met" in done.out or "NOT met" in done.out
    summary = json.loads((workspace / "results/reviews/summary.json").read_text())
    assert summary["info"]["device"].endswith("12 tokens, batch 1, 1 thread(s), margin 0.0 %")
    assert all(trial["cost"] <= target for trial in summary["trials"] if trial["origin"] != "dense")
    rows = [row for row in summary["finalists"] if row["trial"] is not None]
    assert all(row["measured_ms"] > 0 and row["predicted_ms"] <= target for row in rows)

    # the table is of plain graphs; which graph ships is decided by the clock
    forms = [form for name, form in summary["forms"].items() if name != "dense"]
    other = [f for f in forms if f["kept"]["int8_source"] == "fused" or f["quantization"]["tried"][0]["excluded"]]
    assert ("Of another form, so that only measured counts: trial-" in done.out) == bool(other)

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


@pytest.mark.parametrize("lengths", ["", "16,x", "0"])
def test_bad_lengths_are_one_line(aebert: Any, lengths: str) -> None:
    done = aebert("latency-table", "reviews.yaml", "--out", "t.json", "--lengths", lengths)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--lengths takes whole numbers above 0" in done.err
