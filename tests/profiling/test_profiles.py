from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aebert.errors import ConfigError, ExportError
from aebert.profiling import profiles
from aebert.profiling.memory import Footprint
from aebert.profiling.profiles import Lengths, profile_files, speedup, times_by_length


class FakeMachine:
    """A quiet machine on which every file needs a time of its own per token."""

    def __init__(self, ms_per_token: dict[str, float]) -> None:
        self.seconds = 0.0
        self.ms_per_token = ms_per_token
        self.asked: list[tuple[str, int]] = []
        self.footprints: list[tuple[str, int, int, int]] = []

    def session(self, path: Path, threads: int) -> Any:
        machine = self

        class Session:
            def logits(self, batch: Any) -> None:
                tokens = batch["input_ids"].size
                machine.asked.append((path.stem, tokens))
                machine.seconds += tokens * machine.ms_per_token[path.stem] / 1000

        return Session()

    def footprint(self, path: Path, *, threads: int, batch: int, length: int) -> Footprint:
        self.footprints.append((path.stem, threads, batch, length))
        return Footprint(peak_memory_bytes=200, baseline_memory_bytes=50, load_ms=7.0)

    def now(self) -> float:
        return self.seconds

    def others_busy(self) -> float:
        return 0.0

    def cores(self) -> int:
        return 2


def requests(*shapes: tuple[int, int]) -> list[dict[str, Any]]:
    return [{name: np.ones(shape, dtype=np.int64) for name in ("input_ids", "attention_mask")} for shape in shapes]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    machine = FakeMachine({"dense": 2.0, "small": 0.5})
    monkeypatch.setattr(profiles, "open_model", machine.session)
    monkeypatch.setattr(profiles, "measure_memory", machine.footprint)
    return machine


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name, size in (("dense", 300), ("small", 80)):
        (tmp_path / f"{name}.onnx").write_bytes(bytes(size))
    return {"Dense": tmp_path / "dense.onnx", "Small": tmp_path / "small.onnx"}


def test_a_profile_by_hand(machine: FakeMachine, files: dict[str, Path]) -> None:
    batches = requests((2, 5), (2, 10), (2, 15), (2, 20), (2, 30))
    dense, small = profile_files(files, batches, threads=3, warmup=2, runs=5, meter=machine)
    # 10, 20, 30, 40 and 60 tokens at 2 ms each: 20, 40, 60, 80, 120 ms
    assert sorted(dense.samples_ms) == pytest.approx([20, 40, 60, 80, 120])
    assert dense.p50_ms == pytest.approx(60)
    assert dense.p90_ms == pytest.approx(104)  # 80 + 0.6 * 40
    assert dense.p99_ms == pytest.approx(118.4)  # 80 + 0.96 * 40
    assert dense.throughput_per_s == pytest.approx(10 / 0.32)
    assert dense.lengths == Lengths(min=5, median=15.0, p90=26.0, max=30)
    assert (dense.name, dense.size_bytes, dense.threads, dense.batch_size) == ("Dense", 300, 3, 2)
    assert (dense.warmup, dense.runs, dense.load_ms, dense.peak_memory_bytes) == (2, 5, 7.0, 200)
    assert (small.name, small.size_bytes) == ("Small", 80)
    assert small.p50_ms == pytest.approx(15)
    assert dense.speedup.median == 1.0
    assert small.speedup.median == pytest.approx(4.0)
    assert dense.quiet
    assert (dense.busy_samples_rejected, dense.busy_samples_kept) == (0, 0)


def test_warm_up_starts_with_the_largest_request_which_memory_is_measured_on(
    machine: FakeMachine, files: dict[str, Path]
) -> None:
    profile_files(files, requests((1, 5), (1, 30), (1, 10)), threads=1, warmup=1, runs=3, meter=machine)
    assert machine.asked[:2] == [("dense", 30), ("small", 30)]
    assert machine.footprints == [("dense", 1, 1, 30), ("small", 1, 1, 30)]
    assert sorted(machine.asked[2:]) == [(name, n) for name in ("dense", "small") for n in (5, 10, 30)]


def test_no_warm_up(machine: FakeMachine, files: dict[str, Path]) -> None:
    profile_files(files, requests((1, 5)), threads=1, warmup=0, runs=4, meter=machine)
    assert len(machine.asked) == 8


def test_json_has_no_samples_and_no_folders(machine: FakeMachine, files: dict[str, Path], tmp_path: Path) -> None:
    (dense, _) = profile_files(files, requests((1, 5)), threads=1, warmup=0, runs=10, meter=machine)
    text = json.dumps(dense.to_dict())
    assert "samples_ms" not in text
    assert str(tmp_path) not in text
    assert json.loads(text)["path"] == "dense.onnx"
    assert json.loads(text)["quiet"] is True
    assert json.loads(text)["speedup"] == {"median": 1.0, "p10": 1.0, "p90": 1.0}


def test_speedup_is_paired() -> None:
    # ratios 2, 4, 3, 1, 5: the ratio of the medians would be 30 / 10 = 3 too, but without the spread
    result = speedup([20, 40, 30, 10, 50], [10, 10, 10, 10, 10])
    assert (result.p10, result.median, result.p90) == pytest.approx((1.4, 3.0, 4.6))
    # ratios 1, 1/4, 4: the ratio of the medians would be 1/2
    assert speedup([1, 2, 4], [1, 8, 1]).median == 1.0


def test_nothing_to_measure(files: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="needs files and requests, got 0 and 1"):
        profile_files({}, requests((1, 5)), threads=1, warmup=0, runs=10)
    with pytest.raises(ConfigError, match="needs files and requests, got 2 and 0"):
        profile_files(files, [], threads=1, warmup=0, runs=10)


def test_real_files_are_measured(classifier: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(classifier, tmp_path / "copy.onnx"))
    first, second = profile_files(
        {"one": classifier, "two": copy}, requests((1, 5), (1, 9)), threads=1, warmup=2, runs=12
    )
    for profile in (first, second):
        assert 0 < profile.p50_ms <= profile.p90_ms <= profile.p99_ms
        assert len(profile.samples_ms) == profile.runs == 12
        assert profile.peak_memory_bytes > profile.baseline_memory_bytes > 10_000_000
        assert profile.load_ms > 0
    assert second.speedup.p10 <= second.speedup.median <= second.speedup.p90


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"gone\.onnx .* there is none"):
        profile_files({"gone": tmp_path / "gone.onnx"}, requests((1, 5)), threads=1, warmup=0, runs=10)


def test_times_by_length_are_of_neighbouring_lengths() -> None:
    lengths = [9, 3, 5, 3, 7, 3, 8, 3, 6, 4]
    found = times_by_length(lengths, [10.0 * length for length in lengths])
    assert [(one.shortest, one.longest, one.runs, one.p50_ms) for one in found] == [
        (3, 3, 4, 30.0),
        (4, 5, 2, 45.0),
        (6, 7, 2, 65.0),
        (8, 8, 1, 80.0),
        (9, 9, 1, 90.0),
    ]
    assert [one.runs for one in times_by_length([12] * 7, [1.0] * 7)] == [7]
    assert times_by_length([], []) == ()
