from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aebert.compare import comparison
from aebert.compare.remote import Host
from aebert.errors import ConfigError, StudyError
from aebert.latency.curves import Blocks, Curve
from aebert.latency.table import LatencyTable, TableShape
from aebert.latency.table_files import write_table
from aebert.latency.workload import Workload
from aebert.pruning.architecture import Architecture
from aebert.reporting.report import Report
from aebert.reporting.rows import FinalistRow, ProfileRow
from aebert.search.record import StudyInfo
from aebert.studies.device_times import device_times

AT_16 = Workload(16)
INFO = StudyInfo("toy", "reviews", "tiny", "accuracy", "sparsity", (0.5,), 16, "tpe", 0, 6, 100)
MODELS = {
    "dense": Architecture((4, 4), (64, 64)),
    "trial-1": Architecture((2, 2), (64, 0)),
    "first-1-layer": Architecture((4,), (64,)),
}


def finalist(name: str) -> FinalistRow:
    layers = 1 if name.startswith("first") else None
    return FinalistRow(name, None, MODELS[name], None, 0.0, 0.0, 1, None, 0.5, layers=layers)


def profile(name: str, kind: str) -> ProfileRow:
    return ProfileRow(name, kind, 1000, 1.0, 1.0, 1.0, 1000.0)


REPORT = Report(
    INFO,
    (),
    finalists=tuple(map(finalist, MODELS)),
    profiles=tuple(profile(name, kind) for name in MODELS for kind in ("float32", "int8")),
)


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], str]:
    """The path of a table: 1 ms, 0.5 ms a head, 0.25 ms per 16 neurons; 7 ms for the dense model."""

    def write(form: Any) -> str:
        blocks = Blocks(floor_ms=1.0, heads=Curve((1, 4), (0.5, 2.0)), ffn=Curve((16, 64), (0.25, 1.0)))
        shape = TableShape(family="bert", hidden=32, head_size=8, heads=(4, 4), ffn=(64, 64))
        path = tmp_path / "board.json"
        write_table(LatencyTable({"cpu": "Toy 1"}, form, shape, {AT_16: blocks}), path)
        return str(path)

    return write


def test_a_table_predicts_what_ships(table: Callable[[str], str], tmp_path: Path) -> None:
    times = device_times(REPORT, tmp_path, table("int8"), AT_16)
    assert times is not None
    # the second layer of a baseline is gone: 1 + 2 + 1
    assert times.ms == {"dense int8": 7.0, "trial-1 int8": 4.0, "first-1-layer int8": 4.0}
    assert times.about == "int8 files, predicted for Toy 1, int8, 16 tokens, batch 1, 1 thread(s)"


def test_a_model_that_ships_in_another_form_has_no_predicted_time(table: Callable[[str], str], tmp_path: Path) -> None:
    mixed = replace(REPORT, profiles=(*REPORT.profiles[:2], profile("trial-1", "float32")))
    times = device_times(mixed, tmp_path, table("int8"), AT_16)
    assert times is not None
    assert set(times.ms) == {"dense int8"}


def test_a_table_of_other_files_or_requests_is_refused(table: Callable[[str], str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="float32"):
        device_times(REPORT, tmp_path, table("float32"), AT_16)
    with pytest.raises(ConfigError, match="12 tokens"):
        device_times(REPORT, tmp_path, table("int8"), Workload(12))


def test_this_machine_has_the_times_of_the_end_of_the_run(tmp_path: Path) -> None:
    assert device_times(REPORT, tmp_path, "this", AT_16) is None


def test_an_estimate_needs_the_dense_model(board: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can be estimated only for a dense model that is at hand"):
        device_times(REPORT, tmp_path, str(board()), AT_16)


def test_a_host_measures_the_files_themselves(
    tmp_path: Path, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way but ssh: the runner measures here."""
    (tmp_path / "models").mkdir()
    for name in ("dense", "dense.int8", "trial-1.int8"):
        (tmp_path / "models" / f"{name}.onnx").write_bytes(classifier.read_bytes())
    asked: list[tuple[Host | None, comparison.Settings]] = []
    real = comparison.compare

    def here(targets: Any, settings: comparison.Settings, *, host: Host | None, progress: Any) -> Any:
        asked.append((host, settings))
        return real(targets, replace(settings, runs=2, warmup=0), progress=progress)

    monkeypatch.setattr(comparison, "compare", here)
    device = tmp_path / "board.yaml"
    device.write_text(f"host: me@board\npython: {sys.executable}\nthreads: 2\n", encoding="utf-8")
    shipped = replace(REPORT, profiles=REPORT.profiles[:4])
    times = device_times(shipped, tmp_path, str(device), AT_16)
    assert times is not None
    assert set(times.ms) == {"dense float32", "dense int8", "trial-1 int8"}
    assert all(ms > 0 for ms in times.ms.values())
    assert times.about == "the median request, measured on me@board: 16 tokens, batch 1, 2 thread(s)"
    ((host, settings),) = asked
    assert host is not None
    assert (host.address, host.python) == ("me@board", sys.executable)
    assert (settings.lengths, settings.batches, settings.threads) == ((16,), (1,), (2,))

    (tmp_path / "models" / "trial-1.int8.onnx").unlink()
    with pytest.raises(StudyError, match=r"trial-1\.int8\.onnx must be there to be measured on a host"):
        device_times(shipped, tmp_path, str(device), AT_16)
