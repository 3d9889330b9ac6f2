from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from aebert.compare.comparison import Comparison, Condition, Measured, Ratio, Settings
from aebert.errors import ConfigError, OutputError
from aebert.reporting.comparisons import check_format, comparison_tables, write_comparison
from aebert.reporting.printing import print_tables


def cell(target: str, p50: float, ratio: Ratio, joules: float | None = None) -> Condition:
    return Condition(
        target=target,
        threads=2,
        batch_size=4,
        length=32,
        runs=50,
        p50_ms=p50,
        p90_ms=1.5 * p50,
        p99_ms=2 * p50,
        mean_ms=p50 + 0.1,
        std_ms=1.25,
        throughput_per_s=4000 / p50,
        joules=joules,
        ratio=ratio,
    )


FOUND = Comparison(
    settings=Settings(lengths=(32,), batches=(4,), threads=(2,)),
    targets=(
        Measured(
            name="dense",
            form="torch eager",
            size_bytes=438_000_000,
            load_ms=912.0,
            peak_memory_bytes=700_000_000,
            baseline_memory_bytes=300_000_000,
        ),
        Measured(
            name="small.onnx",
            form="ONNX int8",
            size_bytes=59_000_000,
            load_ms=85.4,
            peak_memory_bytes=120_000_000,
            baseline_memory_bytes=46_000_000,
        ),
    ),
    cells=(
        cell("dense", 80.0, Ratio(median=1.0, low=1.0, high=1.0)),
        cell("small.onnx", 16.0, Ratio(median=5.012, low=4.87, high=5.1)),
    ),
    machine={"cpu": "Cortex-A76", "cores": 4, "versions": {"onnxruntime": "1.31.1"}},
    conditions={"frequency_mhz": [2400.0, 2400.4], "temperature_c": "not exposed", "energy": "not exposed"},
    warnings=("it is warm",),
)


def shown(found: Comparison) -> str:
    stream = io.StringIO()
    print_tables(*comparison_tables(found), file=stream)
    return stream.getvalue()


def row(text: str, *start: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.split()[: len(start)] == list(start))


def test_files_and_times() -> None:
    text = shown(FOUND)
    assert row(text, "dense", "torch") == ["dense", "torch", "eager", "438.0", "912", "700.0", "300.0"]
    assert row(text, "small.onnx") == ["small.onnx", "ONNX", "int8", "59.0", "85.4", "120.0", "46.0"]
    assert row(text, "2", "4", "32", "small.onnx")[4:] == [
        *("16.0", "24.0", "32.0", "16.1", "±", "1.2", "250", "5.01×", "4.87–5.10")
    ]
    assert "small.onnx is the smallest, with 59.0 MB of 10^6 bytes.\n" in text
    assert "times as fast compares with dense: the median over 50 requests" in text
    assert "Measured on: Cortex-A76, 4 cores, onnxruntime 1.31.1." in text
    assert "clock 2400–2400 MHz, temperature not exposed, energy: not exposed." in text
    assert text.endswith("warning: it is warm\n")
    assert "mJ" not in text


def test_energy_is_per_row_where_it_is_known() -> None:
    text = shown(replace(FOUND, cells=(cell("dense", 80.0, Ratio(median=1.0, low=None, high=None), joules=2.0),)))
    assert row(text, "2", "4", "32", "dense")[-3:] == ["500", "1.00×", "–"]  # 2 J for 4 rows


def test_json_holds_all(tmp_path: Path) -> None:
    write_comparison(FOUND, tmp_path / "a.json")
    stored = json.loads((tmp_path / "a.json").read_text())
    assert stored["cells"][1]["ratio"] == {"median": 5.012, "low": 4.87, "high": 5.1}
    assert stored["settings"]["lengths"] == [32]
    assert stored["warnings"] == ["it is warm"]


def test_csv_holds_the_times(tmp_path: Path) -> None:
    write_comparison(FOUND, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        _, small = csv.DictReader(file)
    assert (small["target"], small["p50_ms"], small["times_as_fast"], small["low"]) == (
        "small.onnx",
        "16.0",
        "5.012",
        "4.87",
    )
    assert small["joules"] == ""


def test_a_format_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--out must end in .json or .csv, got .*a\.txt"):
        check_format(tmp_path / "a.txt")


def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can't be written"):
        write_comparison(FOUND, tmp_path / "file" / "a.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
