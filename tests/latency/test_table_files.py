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
from aebert.pruning.architecture import Architecture

AT_16 = Workload(16)
TABLE = LatencyTable(
    machine={"cpu": "Toy 1", "cores": 2},
    form="int8",
    shape=TableShape(family="bert", hidden=32, head_size=8, heads=(4, 4), ffn=(64, 64)),
    prices={AT_16: Blocks(floor_ms=1.0, heads=Curve((1, 4), (0.5, 2.0)), ffn=Curve((16, 64), (0.25, 1.0)))},
    held_out=(
        Measurement(
            workload=AT_16, architecture=Architecture((1, 0), (0, 0)), median_ms=1.65, p10_ms=1.6, p90_ms=1.7, runs=5
        ),
    ),
)


def test_files_come_back_whole(tmp_path: Path) -> None:
    table = replace(TABLE, measured=TABLE.held_out, seconds=12.5, rejected=3, noisy=1)
    assert read_table(write_table(table, tmp_path / "t.json")) == table
    assert read_table(tmp_path / "t.json").digest == TABLE.digest


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
