from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aebert.errors import ConfigError, StudyError
from aebert.latency.curves import Blocks, Curve
from aebert.latency.devices import load_device
from aebert.latency.estimates import EstimatedPrices
from aebert.latency.references import bert_shape
from aebert.latency.table import LatencyTable, TableShape
from aebert.latency.table_files import write_table
from aebert.latency.workload import Workload
from aebert.pruning.architecture import Architecture
from aebert.reporting.report import Report
from aebert.reporting.repricing import Repricing
from aebert.search.record import Origin, StudyInfo, TrialRecord
from aebert.studies.repricing import counted_prices, latency_prices, parse_budgets, reprice, size_prices

INFO = StudyInfo(
    name="toy",
    task="reviews",
    model="tiny",
    metric="accuracy",
    budget_kind="sparsity",
    targets=(0.5,),
    length=16,
    sampler="tpe",
    seed=0,
    trials=6,
    search_rows=100,
)
# 1 ms, 0.5 ms a head, 0.25 ms per 16 neurons: 7 ms for the dense model
BLOCKS = Blocks(floor_ms=1.0, heads=Curve((1, 4), (0.5, 2.0)), ffn=Curve((16, 64), (0.25, 1.0)))
TABLE = LatencyTable(
    machine={"cpu": "Toy 1"},
    form="float32",
    shape=TableShape(family="bert", hidden=32, head_size=8, heads=(4, 4), ffn=(64, 64)),
    prices={Workload(16): BLOCKS},
)
AT_16 = Workload(16)


def trial(number: int, heads: tuple[int, int], ffn: tuple[int, int], score: float, **more: Any) -> TrialRecord:
    removed = 1 - (sum(heads) * 16 + sum(ffn)) / 256
    values = {"params": 100 * (1 + number), "sparsity": removed, "macs": 1, "macs_removed": removed, "seconds": 1.0}
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
    trial(0, (4, 4), (64, 64), 0.90),  # 1 + 4 + 2 = 7 ms
    trial(1, (2, 2), (64, 64), 0.85),  # 1 + 2 + 2 = 5 ms
    trial(2, (4, 4), (0, 0), 0.84),  # 1 + 4 = 5 ms: beaten by trial 1
    trial(3, (1, 0), (16, 32), 0.80),  # 1 + 0.5 + 0.75 = 2.25 ms; 64 of 256 are left
    trial(4, (0, 0), (0, 0), 0.50),  # 1 ms
    trial(5, (0, 0), (0, 16), 0.99, stopped_at=10),  # its score is an estimate
)
REPORT = Report(replace(INFO, step=0.1), TRIALS)


def costs(prices: Repricing) -> dict[int, float | None]:
    return {each.number: each.cost for each in prices.report.trials}


def front(prices: Repricing) -> list[int]:
    return [each.number for each in prices.report.front]


# --- arithmetic -----------------------------------------------------------------------------------------------------


def test_every_candidate_gets_its_price_and_the_front_follows_it() -> None:
    prices = latency_prices(REPORT, TABLE, AT_16)
    assert costs(prices) == {0: 7.0, 1: 5.0, 2: 5.0, 3: 2.25, 4: 1.0, 5: 1.25}
    assert front(prices) == [0, 1, 3, 4]
    assert prices.about == "predicted ms on Toy 1, float32, 16 tokens, batch 1, 1 thread(s)"
    assert not prices.report.info.estimated


def test_an_estimate_prices_the_same_candidates(board: Callable[..., Path]) -> None:
    # 2 ms, 1 ms a block, 1 ms a head, 0.05 ms a neuron
    source = EstimatedPrices(device=load_device(str(board())), shape=bert_shape(32, 2, 4, 64), form="int8")
    prices = latency_prices(REPORT, source, AT_16)
    assert costs(prices) == pytest.approx({0: 20.4, 1: 16.4, 2: 12.0, 3: 8.4, 4: 2.0, 5: 3.8})
    assert front(prices) == [0, 1, 2, 3, 4]
    assert prices.report.info.estimated
    assert prices.about.splitlines()[0].startswith("an estimate, not a measurement: toy-board (estimate), 16 tokens")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("params", [100, 200, 300, 400]), ("macs", [0, 0.25, 0.5, 0.75]), ("sparsity", [0, 0.25, 0.5, 0.75])],
)
def test_other_costs_are_counted(kind: str, expected: list[float]) -> None:
    assert list(costs(counted_prices(REPORT, kind)).values())[:4] == expected


def test_what_macs_were_counted_at_is_said() -> None:
    assert counted_prices(REPORT, "macs").about == "counted at 16 tokens"
    assert counted_prices(REPORT, "params").about == "counted"
    with pytest.raises(ValueError, match="size_mb must be a kind of budget that a trial's counts tell"):
        counted_prices(REPORT, "size_mb")


def test_sizes_are_counted_from_the_shape_of_the_dense_model() -> None:
    shape = bert_shape(32, 2, 4, 64, other_params=100_000)
    sizes = costs(size_prices(REPORT, shape, "float32"))
    # 4 bytes for each weight of trial 1's removed heads: 2 · 2 · (8 · (4 · 32 + 3)), and no node less
    assert sizes[0] == pytest.approx((sizes[1] or 0) + 4 * 4 * 8 * 131 / 1e6)
    assert (costs(size_prices(REPORT, shape, "int8"))[0] or 0) < (sizes[0] or 0)
    with pytest.raises(StudyError, match="sizes of study 'toy' can't be counted: its folder has no dense model"):
        size_prices(REPORT, None, "int8")


def test_a_source_for_another_encoder_is_refused() -> None:
    other = replace(TABLE, shape=TableShape(family="bert", hidden=32, head_size=8, heads=(4, 4, 4), ffn=(64, 64, 64)))
    with pytest.raises(ConfigError, match=r"are of heads \[4, 4, 4\] and ffn .*, the study has heads \[4, 4\] and"):
        latency_prices(REPORT, other, AT_16)


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


# --- folders --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tiny_model: Any, tmp_path: Path) -> Path:
    """A study's folder of which only the dense model's config was copied."""
    tiny_model("bert", labels=2).config.save_pretrained(tmp_path / "study" / "dense")
    return tmp_path / "study"


def test_one_option_takes_tables_and_estimated_devices(
    folder: Path, tmp_path: Path, board: Callable[..., Path]
) -> None:
    table = str(write_table(TABLE, tmp_path / "table.json"))
    measured = reprice(REPORT, folder, table, [], AT_16, "float32")["latency_ms"]
    assert (costs(measured)[0], measured.report.info.estimated) == (7.0, False)
    estimated = reprice(REPORT, folder, str(board()), ["latency_ms"], AT_16)["latency_ms"]
    assert estimated.report.info.estimated
    assert costs(estimated)[0] == pytest.approx(20.4)
    slower = reprice(REPORT, folder, str(board()), [], AT_16, "float32")["latency_ms"]
    assert costs(slower)[0] == pytest.approx(34.8)


def test_the_form_of_a_table_is_its_own(folder: Path, tmp_path: Path) -> None:
    table = str(write_table(TABLE, tmp_path / "table.json"))
    assert "latency_ms" in reprice(REPORT, folder, table, [], AT_16)
    with pytest.raises(ConfigError, match=r"^latency table must be of the int8 files that are asked for, it is of flo"):
        reprice(REPORT, folder, table, [], AT_16, "int8")


def test_the_table_of_the_study_is_the_default(folder: Path, tmp_path: Path) -> None:
    write_table(TABLE, folder / "latency-table.json")
    assert costs(reprice(REPORT, folder, None, ["latency_ms"], AT_16)["latency_ms"])[0] == 7.0
    write_table(replace(TABLE, shape=replace(TABLE.shape, hidden=48)), tmp_path / "other.json")
    (folder / "config.yaml").write_text(f"search: {{budget: {{device: {tmp_path / 'other.json'}}}}}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"its hidden is 48, the study's 32"):
        reprice(REPORT, folder, None, ["latency_ms"], AT_16)


def test_a_size_is_that_of_the_asked_form(folder: Path) -> None:
    small, large, shipped = (
        costs(reprice(REPORT, folder, None, ["size_mb"], AT_16, form)["size_mb"])[0]
        for form in ("int8", "float32", None)
    )
    assert small is not None
    assert large is not None
    assert small == shipped
    assert small < large


def test_an_estimate_needs_the_dense_models_shape(tmp_path: Path, board: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"^device 'toy-board' can be estimated only for a dense model"):
        reprice(REPORT, tmp_path, str(board()), [], AT_16)


@pytest.mark.parametrize("device", [None, "this"])
def test_milliseconds_need_a_device(tmp_path: Path, device: str | None) -> None:
    with pytest.raises(ConfigError, match=r"^latency_ms needs --device TABLE\.json or a device with an estimate, "):
        reprice(REPORT, tmp_path, device, ["latency_ms"], AT_16)
