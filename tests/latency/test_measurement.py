from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from aebert.deployment.session import Feed
from aebert.errors import ConfigError
from aebert.latency.measurement import TablePlan, measure_table
from aebert.latency.workload import Workload
from aebert.pruning.slicing import Selection, extract
from aebert.sections import digest

INPUTS = ("input_ids", "token_type_ids", "attention_mask")


class SimulatedDevice:
    """A clock that files move on as their graphs say: a floor, and so much per column of their matrices."""

    def __init__(self) -> None:
        self.time, self.generator = 0.0, np.random.default_rng(0)

    def now(self) -> float:
        return self.time

    def others_busy(self) -> float:
        return 0.0

    def cores(self) -> int:
        return 2

    def load(self, path: Path, threads: int) -> Callable[[Feed], object]:
        columns = sum(
            sum(tensor.dims)
            for tensor in onnx.load(path).graph.initializer
            if tensor.name.startswith("val_") and len(tensor.dims) == 2
        )

        def answer(request: Feed) -> None:
            tokens = request["input_ids"].size
            milliseconds = (2.0 + 0.01 * columns * tokens / 16) / threads
            self.time += milliseconds * self.generator.normal(1, 0.03) / 1000

        return answer


def test_a_simulated_device_is_predicted(tiny_model: Any) -> None:
    device = SimulatedDevice()
    plan = TablePlan("float32", (Workload(16), Workload(32), Workload(16, batch=2, threads=2)), runs=9, held_out=6)
    table = measure_table(tiny_model("bert"), INPUTS, plan, load=device.load, meter=device)
    accuracy = table.accuracy()
    assert accuracy is not None
    assert accuracy.models == 6 * 3
    assert accuracy.median < 0.05
    # 2 ms and the 32 columns and rows of two hidden layers aside, which no pruning removes
    assert table.prices[Workload(16)].floor_ms == pytest.approx(
        2 * table.prices[Workload(length=16, batch=2, threads=2)].floor_ms, rel=0.6
    )
    assert {each.workload for each in table.measured} == set(plan.workloads)
    assert not {each.architecture for each in table.measured} & {each.architecture for each in table.held_out}
    assert (table.rejected, table.noisy) == (0, 0)


def test_lengths_beyond_the_model_are_refused_before_any_export(tiny_model: Any) -> None:
    with pytest.raises(ConfigError, match="length of a latency table must be at most the model's 64, got 65"):
        measure_table(tiny_model("bert"), INPUTS, TablePlan("int8", (Workload(16), Workload(65))))
    dense = tiny_model("roberta")  # its padding id is 0, so positions start at 1
    small = extract(dense, Selection(((0,), (1, 2)), ((3,), (4,))))
    for model in (dense, small):
        with pytest.raises(ConfigError, match="length of a latency table must be at most the model's 63, got 64"):
            measure_table(model, INPUTS, TablePlan("int8", (Workload(64),)))


def test_studies_of_version_0_2_keep_the_table_that_they_measured() -> None:
    plan = TablePlan("int8", (Workload(32),), held_out=12)
    of_0_2 = "TablePlan(form='int8', settings=(Setting(length=32, batch=1, threads=1),), runs=21, held_out=12)"
    assert plan.digest == digest(of_0_2)


def test_a_plan_without_workloads_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs workloads and at least 3 runs"):
        TablePlan("int8", ())
