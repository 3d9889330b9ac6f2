from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aebert.summary import reprice

from aebert.errors import ConfigError, StudyError
from aebert.latency.curves import Blocks, Curve
from aebert.latency.table import LatencyTable, TableShape
from aebert.latency.table_files import write_table
from aebert.latency.workload import Workload
from aebert.pruning.architecture import Architecture
from aebert.reporting.report import Report
from aebert.search.record import StudyInfo, TrialRecord

INFO = StudyInfo("toy", "reviews", "tiny", "accuracy", "sparsity", (0.5,), 16, "tpe", 0, 1, 100)
DENSE = TrialRecord(
    0, "dense", Architecture((4, 4), (64, 64)), None, 0.9, {"accuracy": 0.9}, 0.5, 100, 0.0, 1, 0.0, 1.0
)
REPORT = Report(INFO, (DENSE,))
WAY = (None, 1, 1)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """1 ms, 0.5 ms a head, 0.25 ms per 16 neurons: 7 ms for the dense model."""
    blocks = Blocks(1.0, Curve((1, 4), (0.5, 2.0)), Curve((16, 64), (0.25, 1.0)))
    shape = TableShape("bert", 32, 8, (4, 4), (64, 64))
    return write_table(
        LatencyTable({"cpu": "Toy 1"}, "float32", shape, {Workload(16): blocks}), tmp_path / "table.json"
    )


@pytest.fixture
def folder(tiny_model: Any, tmp_path: Path) -> Path:
    """A study's folder of which only the dense model's config was copied."""
    tiny_model("bert", labels=2).config.save_pretrained(tmp_path / "study" / "dense")
    return tmp_path / "study"


def test_one_option_takes_tables_and_estimated_devices(folder: Path, table: Path, board: Callable[..., Path]) -> None:
    measured = reprice(REPORT, folder, str(table), [], WAY)["latency_ms"]
    assert (dict(measured.spent), measured.estimated) == ({0: 7.0}, False)
    estimated = reprice(REPORT, folder, str(board()), ["latency_ms"], WAY)["latency_ms"]
    assert estimated.estimated
    assert estimated.spent[0] == pytest.approx(20.4)
    slower = reprice(REPORT, folder, str(board()), [], WAY, "float32")["latency_ms"]
    assert slower.spent[0] == pytest.approx(34.8)


def test_the_form_of_a_table_is_its_own(folder: Path, table: Path) -> None:
    assert "latency_ms" in reprice(REPORT, folder, str(table), [], WAY, "float32")
    with pytest.raises(ConfigError, match=r"^--form must be that of the latency table, float32, got int8; leave it"):
        reprice(REPORT, folder, str(table), [], WAY, "int8")


def test_a_size_is_that_of_the_asked_form(folder: Path) -> None:
    small, large = (reprice(REPORT, folder, None, ["size_mb"], WAY, form)["size_mb"] for form in ("int8", "float32"))
    assert small.spent[0] < large.spent[0]


def test_an_estimate_needs_the_dense_models_shape(tmp_path: Path, board: Callable[..., Path]) -> None:
    with pytest.raises(StudyError, match=r"^study 'toy' can't be estimated: its folder has no dense model"):
        reprice(REPORT, tmp_path, str(board()), [], WAY)


@pytest.mark.parametrize("device", [None, "this"])
def test_milliseconds_need_a_device(tmp_path: Path, device: str | None) -> None:
    with pytest.raises(ConfigError, match=r"^latency_ms needs --device TABLE\.json or a device with an estimate, "):
        reprice(REPORT, tmp_path, device, ["latency_ms"], WAY)
