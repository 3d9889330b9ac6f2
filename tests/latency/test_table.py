from __future__ import annotations

from dataclasses import replace

import pytest

from aebert.errors import ConfigError
from aebert.latency.curves import Blocks, Curve
from aebert.latency.table import LatencyTable, Measurement, TableShape
from aebert.latency.workload import Workload
from aebert.models.shape import ModelShape
from aebert.profiling.machine import machine_facts
from aebert.pruning.architecture import Architecture
from aebert.search.budget import LatencyCosts, make_budget, project
from aebert.search.space import Range, SearchSpace, make_grid

SHAPE = ModelShape(
    family="bert",
    hidden=32,
    head_size=8,
    ffn_per_layer=1,
    heads=(4, 4),
    ffn=(64, 64),
    head_params=(1,) * 2,
    ffn_params=(1,) * 2,
    head_macs=(1,) * 2,
    ffn_macs=(1,) * 2,
    fixed_params=0,
    fixed_macs=0,
    other_params=0,
)
SHORT = Blocks(floor_ms=1.0, heads=Curve((1, 4), (0.5, 2.0)), ffn=Curve((16, 64), (0.25, 1.0)))
LONG = Blocks(floor_ms=3.0, heads=Curve((1, 4), (1.5, 6.0)), ffn=Curve((16, 64), (0.75, 3.0)))
AT_16, AT_32 = Workload(16), Workload(32)


def held_out(heads: int, median_ms: float) -> Measurement:
    return Measurement(
        workload=AT_16,
        architecture=Architecture((heads, 0), (0, 0)),
        median_ms=median_ms,
        p10_ms=median_ms,
        p90_ms=median_ms,
        runs=5,
    )


TABLE = LatencyTable(
    machine={"cpu": "Toy 1", "cores": 2},
    form="int8",
    shape=TableShape.of(SHAPE),
    prices={AT_16: SHORT, AT_32: LONG},
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


def test_the_digest_is_of_the_prices() -> None:
    assert replace(TABLE, held_out=(), machine={}).digest == TABLE.digest
    assert replace(TABLE, prices={AT_16: LONG}).digest != TABLE.digest


def test_another_encoder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"its hidden is 32, the study's 48"):
        TABLE.check(replace(SHAPE, hidden=48), "int8", AT_16)
    TABLE.check(SHAPE, "int8", AT_16)


def test_another_form_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        TABLE.check(SHAPE, "float32", AT_16)
    assert str(caught.value) == (
        "latency table must be of the float32 files that are asked for, it is of int8 ones: ask for those "
        "(deploy.int8, --form) or measure another table"
    )


def test_a_margin_covers_nine_of_ten_held_out_models() -> None:
    assert TABLE.margin(AT_16) == TABLE.margin(AT_32) == 0.18  # of -0.1, 0.1 and 0.2; lengths are alike
    assert TABLE.margin(Workload(16, threads=2)) == 0.0  # nothing is known there


def test_its_words() -> None:
    assert TABLE.describe(AT_16) == "Toy 1, int8, 16 tokens, batch 1, 1 thread(s)"
    assert TABLE.remarks(AT_16) == (
        "predicted ms on Toy 1, int8, 16 tokens, batch 1, 1 thread(s); median error 10.0 % of 3 models",
    )
    assert replace(TABLE, held_out=()).remarks(AT_16) == ("predicted ms on " + TABLE.describe(AT_16),)


def test_it_was_measured_here_on_the_same_processor_with_as_many_cores() -> None:
    here = machine_facts()
    assert replace(TABLE, machine=here).measured_here()
    for other in ({"cpu": "Toy 1"}, {"cores": 1000}, {"architecture": "toy"}):
        assert not replace(TABLE, machine={**here, **other}).measured_here()


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
