from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aebert.errors import ConfigError
from aebert.latency.curves import Blocks, Curve
from aebert.latency.table import LatencyTable, Measurement, TableShape
from aebert.latency.table_files import read_table, write_table
from aebert.latency.workload import Workload
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.search.budget import LatencyCosts, make_budget, project
from aebert.search.space import Range, SearchSpace, make_grid

SHAPE = ModelShape("bert", 32, 8, 1, (4, 4), (64, 64), (1,) * 2, (1,) * 2, (1,) * 2, (1,) * 2, 0, 0, 0)
SHORT = Blocks(1.0, Curve((1, 4), (0.5, 2.0)), Curve((16, 64), (0.25, 1.0)))
LONG = Blocks(3.0, Curve((1, 4), (1.5, 6.0)), Curve((16, 64), (0.75, 3.0)))
AT_16, AT_32 = Workload(16), Workload(32)


def held_out(heads: int, median_ms: float) -> Measurement:
    return Measurement(AT_16, Architecture((heads, 0), (0, 0)), median_ms, median_ms, median_ms, 5)


TABLE = LatencyTable(
    {"cpu": "Toy 1", "cores": 2},
    "int8",
    TableShape.of(SHAPE),
    {AT_16: SHORT, AT_32: LONG},
    # predicted 1.5, 2.0 and 3.0: off by +10 %, -10 %, +20 %
    held_out=(held_out(1, 1.65), held_out(2, 1.8), held_out(4, 3.6)),
)


def test_lengths_are_interpolated_and_others_are_not() -> None:
    whole = Architecture((4, 1), (64, 16))
    assert TABLE.predict(whole, AT_16) == 1.0 + 2.0 + 0.5 + 1.0 + 0.25
    assert TABLE.predict(whole, Workload(24)) == pytest.approx(2 * 4.75)  # half-way from 4.75 to three times that
    for setting in (Workload(8), Workload(33), Workload(16, threads=2), Workload(16, batch=4)):
        with pytest.raises(ConfigError, match=r"must cover .* measured at 16 tokens, batch 1, 1 thread\(s\); 32 tok"):
            TABLE.predict(whole, setting)


def test_errors_are_relative_to_the_prediction() -> None:
    accuracy = TABLE.accuracy()
    assert accuracy is not None
    assert accuracy.models == 3
    assert (accuracy.median, accuracy.max) == pytest.approx((0.1, 0.2))
    assert accuracy.under_p90 == pytest.approx(0.18)  # of -0.1, 0.1 and 0.2
    assert replace(TABLE, held_out=()).accuracy() is None
    assert TABLE.accuracy_at(AT_32) is None


def test_files_come_back_whole(tmp_path: Path) -> None:
    table = replace(TABLE, measured=(held_out(3, 2.5),), seconds=12.5, rejected=3, noisy=1)
    assert read_table(write_table(table, tmp_path / "t.json")) == table
    assert read_table(tmp_path / "t.json").digest == TABLE.digest
    assert replace(TABLE, prices={AT_16: LONG}).digest != TABLE.digest


def damage(values: dict[str, Any], how: str) -> Any:
    if how == "list":
        return [values]
    if how == "format":
        return {**values, "format": "aebert-latency-table-9"}
    if how == "form":
        return {**values, "form": "int3"}
    if how == "missing":
        return {key: value for key, value in values.items() if key != "shape"}
    if how == "falling":
        values["prices"][0]["heads"]["milliseconds"] = [2.0, 1.0]
    if how == "negative":
        values["prices"][0]["floor_ms"] = -1
    if how == "text":
        values["prices"][0]["floor_ms"] = "fast"
    if how == "empty":
        values["prices"] = []
    return values


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("list", "its format must be 'aebert-latency-table-1', got 'list'"),
        ("format", "its format must be 'aebert-latency-table-1', got 'aebert-latency-table-9'"),
        ("form", "its form must be float32 or int8, got 'int3'"),
        ("missing", "'shape' is missing"),
        ("falling", "a latency curve must have rising widths"),
        ("negative", "floor_ms must be a number ≥ 0, got -1"),
        ("text", "could not convert string to float"),
        ("empty", "it has no prices"),
    ],
)
def test_damaged_files_are_one_line(tmp_path: Path, how: str, message: str) -> None:
    path = write_table(TABLE, tmp_path / "t.json")
    path.write_text(json.dumps(damage(json.loads(path.read_text()), how)))
    with pytest.raises(ConfigError) as error:
        read_table(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cut_off_file_and_none_at_all_are_one_line(tmp_path: Path) -> None:
    path = write_table(TABLE, tmp_path / "t.json")
    path.write_text(path.read_text()[:99])
    with pytest.raises(ConfigError, match=r"t.json must be one that `aebert latency-table` wrote: .*column"):
        read_table(path)
    with pytest.raises(ConfigError, match=r"none.json can't be read: No such file"):
        read_table(tmp_path / "none.json")


def test_another_encoder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"its hidden is 32, the study's 48"):
        TABLE.check(TableShape.of(replace(SHAPE, hidden=48)))
    TABLE.check(TableShape.of(SHAPE))


@pytest.mark.parametrize("target", [1.3, 2.0, 3.05, 4.9, 6.9])
@pytest.mark.parametrize("margin", [0.0, 0.08])
def test_projections_keep_the_budget_and_fill_it(target: float, margin: float) -> None:
    grid = make_grid(SearchSpace(source="", ffn=Range(step=16)), SHAPE)
    budget = make_budget(
        "latency_ms", target, 16, SHAPE, grid, prices=LatencyCosts(TABLE.cost_table(AT_16, grid), margin)
    )
    for wish in ([0.5] * 4, [1, 0, 0.2, 0.9], [0, 0, 1, 1]):
        found = project(wish, grid, budget)  # type: ignore[arg-type]
        predicted = TABLE.predict(found, AT_16)
        assert predicted * (1 + margin) <= target + 1e-5
        assert predicted + 0.5 > target / (1 + margin)  # the dearest grid step is the first head, 0.5 ms
        assert budget.cost(grid.levels(found)) == pytest.approx(predicted, abs=1e-5)
