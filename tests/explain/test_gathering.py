"""Constructed graphs, executed for real; times are made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from aebert.deployment.cpu import Cpu
from aebert.deployment.quantize import quantize_int8
from aebert.errors import ConfigError, ExportError
from aebert.explain import gathering as explain_files
from aebert.explain.causes import explain
from aebert.explain.facts import Facts
from aebert.explain.gathering import find_graph, gather
from aebert.explain.product_timing import TimedProduct

from .speed_graphs import graph

VNNI, AVX2 = Cpu("x86_64", ("avx512_vnni",)), Cpu("x86_64", ("avx2",))


class FakeClock:
    """Every file takes its own ms; products take their macs, and more where they are unaligned or int8 is slow."""

    def __init__(self, ms: Mapping[tuple[str, int], float], *, slow_odd: bool = False, int8_gain: float = 4.0) -> None:
        self.ms, self.slow_odd, self.int8_gain = ms, slow_odd, int8_gain
        self.seconds = 0.0
        self.products: list[TimedProduct] = []

    def model(self, path: Path, threads: int) -> Any:
        clock = self

        class Model:
            inputs = ("input_ids",)

            def logits(self, batch: Any) -> None:
                clock.seconds += clock.ms[path.stem, threads] / 1000

        return Model()

    def time(self, products: Sequence[TimedProduct], **_: Any) -> dict[TimedProduct, float]:
        self.products += products
        return {one: self._ms(one) for one in products}

    def _ms(self, one: TimedProduct) -> float:
        odd = self.slow_odd and (one.inner % 16 or one.columns % 16)
        return one.inner * one.columns / 1000 / (self.int8_gain if one.int8 else 1.0) * (3.0 if odd else 1.0)

    def now(self) -> float:
        return self.seconds

    def others_busy(self) -> float:
        return 0.0

    def cores(self) -> int:
        return 2


def measured(monkeypatch: pytest.MonkeyPatch, clock: FakeClock, dense: Path, small: Path, **options: Any) -> Facts:
    monkeypatch.setattr(explain_files, "OnnxModel", clock.model)
    monkeypatch.setattr(explain_files, "time_products", clock.time)
    return gather(dense, small, length=6, runs=5, meter=clock, **{"cpu": VNNI, **options})


Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return lambda name, widths, **how: graph(tmp_path / f"{name}.onnx", widths, **how)


def test_expectation_is_by_executed_products(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    dense, small = build("dense", [64, 64]), build("small", [32, 16])
    found = measured(monkeypatch, FakeClock({("dense", 1): 8.0, ("small", 1): 3.0}), dense, small)
    assert found.expected == pytest.approx(128 / 48)
    assert found.expected_by == "0.0 of 0.0 million multiply-accumulates"
    assert found.measured == pytest.approx(8 / 3)
    assert (found.dense.name, found.small.name) == ("dense.onnx", "small.onnx")
    assert explain(found).as_expected


def test_a_cost_tables_expectation_is_taken(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = build("dense", [64]), build("small", [32])
    found = measured(monkeypatch, FakeClock({("dense", 1): 2.0, ("small", 1): 1.0}), *paths, expected=1.5)
    assert (found.expected, found.expected_by) == (1.5, "a cost table")


def test_fusion_is_lost_where_the_runtime_executes_parts(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    dense, small = build("dense", [64, 64]), build("small", [16, 16], fused_norm=False)
    found = explain(measured(monkeypatch, FakeClock({("dense", 1): 8.0, ("small", 1): 5.0}), dense, small))
    assert found.causes[0].name == "lost fusion"
    assert "skip-layer-norm 0 of 2, dense 2 of 2" in found.causes[0].evidence


def test_what_export_kept_is_read_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    dense = graph(tmp_path / "models" / "dense.onnx", [64, 64])
    small = graph(tmp_path / "models" / "small.onnx", [16, 16], fused_norm=False)
    clock = FakeClock({("dense", 1): 8.0, ("small", 1): 5.0})
    (unknown,) = (
        one for one in explain(measured(monkeypatch, clock, dense, small)).causes if one.name == "lost fusion"
    )
    assert unknown.remedy.startswith("export it with `aebert export`")
    kept = {"float32": "plain", "fused_times_faster": {"float32": 0.875}}
    (tmp_path / "stages").mkdir()
    record = {"detail": {"deploy": {"fuse": "auto"}}, "result": {"kept": kept}}
    (tmp_path / "stages" / "export-small.json").write_text(json.dumps(record), encoding="utf-8")
    (known,) = (one for one in explain(measured(monkeypatch, clock, dense, small)).causes if one.name == "lost fusion")
    assert "against the fused one, which ran at 0.875 times the speed, and kept the faster" in known.remedy


def test_the_same_graph_fused_has_lost_nothing(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    dense, small = build("dense", [64, 64]), build("small", [16, 16])
    found = explain(measured(monkeypatch, FakeClock({("dense", 1): 8.0, ("small", 1): 5.0}), dense, small))
    assert "lost fusion" not in [cause.name for cause in found.causes]


def test_unaligned_widths_are_timed_against_the_next_aligned(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    dense, small = build("dense", [64, 64]), build("small", [33, 32])
    clock = FakeClock({("dense", 1): 12.0, ("small", 1): 12.0}, slow_odd=True)
    found = measured(monkeypatch, clock, dense, small)
    # 6 tokens; only the block of 33 neurons is odd: in and out
    assert [(one.inner, one.columns, one.aligned_inner, one.aligned_columns, one.count) for one in found.widths] == [
        (32, 33, 32, 48, 1),
        (33, 32, 48, 32, 1),
    ]
    assert {one.rows for one in clock.products} == {6}
    # 3 · 1.056 against 1.536 ms, twice
    assert found.widths[0].lost_ms == pytest.approx(1.632)
    assert "unaligned widths" in [cause.name for cause in explain(found).causes]


def test_aligned_widths_are_not_timed(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock({("dense", 1): 12.0, ("small", 1): 12.0}, slow_odd=True)
    found = measured(monkeypatch, clock, build("dense", [64]), build("small", [48]))
    assert (found.widths, clock.products, found.int8_gain) == ((), [], None)


def test_unaligned_widths_that_cost_nothing_are_no_cause(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock({("dense", 1): 12.0, ("small", 1): 12.0})
    found = explain(measured(monkeypatch, clock, build("dense", [64, 64]), build("small", [33, 32])))
    assert "unaligned widths" not in [cause.name for cause in found.causes]


def test_threads_are_measured_at_one_too(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    times = {("dense", 1): 20.0, ("dense", 4): 8.0, ("small", 1): 5.0, ("small", 4): 4.0}
    paths = build("dense", [64, 64]), build("small", [16, 16])
    found = measured(monkeypatch, FakeClock(times), *paths, threads=4)
    assert found.small.milliseconds == {1: pytest.approx(5.0), 4: pytest.approx(4.0)}
    assert "threads" in [cause.name for cause in explain(found).causes]


@pytest.mark.parametrize(("gain", "cpu", "named"), [(1.5, AVX2, True), (3.9, AVX2, False), (1.5, VNNI, False)])
def test_int8_is_timed_against_float32(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gain: float, cpu: Cpu, named: bool
) -> None:
    dense = build("dense", [64, 64])
    small = quantize_int8(build("half", [48, 32]), tmp_path / "small.onnx")
    clock = FakeClock({("dense", 1): 8.0, ("small", 1): 4.0}, int8_gain=gain)
    found = measured(monkeypatch, clock, dense, small, cpu=cpu)
    assert found.expected == pytest.approx(4 * 128 / 80)
    assert found.expected_by.endswith("and 4 int8 products in the place of one float32")
    assert found.int8_gain == pytest.approx(gain)
    assert ("int8 without dot products" in [cause.name for cause in explain(found).causes]) is named


def test_two_quantized_files_are_compared_by_products_alone(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = quantize_int8(build("whole", [64]), tmp_path / "dense.onnx")
    small = quantize_int8(build("half", [32]), tmp_path / "small.onnx")
    found = measured(monkeypatch, FakeClock({("dense", 1): 8.0, ("small", 1): 4.0}), dense, small, cpu=AVX2)
    assert (found.expected, found.int8_gain) == (2.0, None)


def test_a_folder_means_its_one_graph(build: Build, tmp_path: Path) -> None:
    path = build("model", [16])
    assert find_graph(path) == find_graph(tmp_path) == path
    build("other", [16])
    with pytest.raises(ConfigError, match=r"must hold one ONNX file, got model\.onnx, other\.onnx; name the file"):
        find_graph(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"must hold one ONNX file, got none"):
        find_graph(tmp_path / "empty")


def test_a_missing_file(build: Build, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"none\.onnx must be an ONNX file"):
        gather(build("dense", [16]), tmp_path / "none.onnx", length=4)


def test_two_real_files_end_to_end(build: Build) -> None:
    found = explain(gather(build("dense", [64, 64]), build("small", [16, 16]), length=4, threads=2, runs=3))
    assert found.expected == pytest.approx(4.0)
    assert found.lines()[1] == "expected 4.00× (0.0 of 0.0 million multiply-accumulates)"
