from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aebert.config import BudgetConfig
from aebert.latency.curves import Blocks, Curve
from aebert.latency.devices import load_device
from aebert.latency.estimates import EstimatedPrices
from aebert.latency.references import bert_shape
from aebert.latency.table import LatencyTable, TableShape
from aebert.latency.workload import Workload
from aebert.profiling.machine import machine_facts
from aebert.run.prices import describe_device, margin_of, prices_of, settings_of
from aebert.search.budget import make_budget
from aebert.search.space import load_space, make_grid

SHAPE = bert_shape(32, 2, 4, 64)
BLOCKS = Blocks(floor_ms=1.0, heads=Curve((1, 4), (0.5, 2.0)), ffn=Curve((16, 64), (0.25, 1.0)))
Estimated = Callable[..., EstimatedPrices]


@pytest.fixture
def estimated(board: Callable[..., Path]) -> Estimated:
    return lambda **values: EstimatedPrices(device=load_device(str(board(**values))), shape=SHAPE, form="int8")


def budget(**more: object) -> BudgetConfig:
    return BudgetConfig.model_validate({"latency_ms": 12, "length": 16, **more})


def table(**machine: object) -> LatencyTable:
    facts = {**machine_facts(), "cpu": "Toy 1", **machine}
    return LatencyTable(machine=facts, form="int8", shape=TableShape.of(SHAPE), prices={Workload(16): BLOCKS})


def test_an_estimate_has_no_margin_unless_one_is_asked_for(estimated: Estimated) -> None:
    assert margin_of(estimated(), budget()) == 0.0
    assert margin_of(estimated(), budget(margin=0.5)) == 0.5


def test_what_milliseconds_are_of(estimated: Estimated) -> None:
    assert describe_device(estimated(), budget()) == "toy-board (estimate), 16 tokens, batch 1"
    assert describe_device(estimated(), budget(margin=0.5)) == "toy-board (estimate), 16 tokens, batch 1, margin 50.0 %"
    assert describe_device(table(), budget()) == "Toy 1, int8, 16 tokens, batch 1, 1 thread(s), margin 0.0 %"


def test_a_budget_is_counted_with_the_estimate(estimated: Estimated) -> None:
    grid = make_grid(load_space("fine-grid"), SHAPE)
    found = make_budget("latency_ms", 12, 16, SHAPE, grid, prices=prices_of(estimated(), budget(margin=0.5), grid))
    assert (found.limit, found.dense) == (8_000_000, 20_400_000)
    assert found.cost(grid.last) == 20.4


def test_trials_depend_on_the_estimator_of_the_device(estimated: Estimated) -> None:
    values = {"latency_ms": [12.0], "length": 16, "batch": 1, "threads": 1, "device": "a.yaml", "margin": None}
    before, after = (settings_of(each, values, budget()) for each in (estimated(), estimated(fixed_us=1000)))
    assert before == {
        "latency_ms": [12.0],
        "length": 16,
        "batch": 1,
        "threads": 1,
        "margin": 0.0,
        "estimate": before["estimate"],
    }
    assert {key for key in before if before[key] != after[key]} == {"estimate"}
    assert "table" in settings_of(table(), values, budget())
    assert settings_of(None, {"sparsity": [0.5], "device": "this"}, budget()) == {"sparsity": [0.5]}
