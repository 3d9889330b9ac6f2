from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.config import BudgetConfig, budget_kinds
from aebert.errors import ConfigError
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.search.budget import LatencyCosts, cost_table
from aebert.search.kinds import KINDS, Basis
from aebert.search.record import TrialRecord
from aebert.search.space import Range, SearchSpace, make_grid
from aebert.search.table import linear_table
from aebert.sections import Share

SHAPE = ModelShape(
    family="bert",
    hidden=8,
    head_size=4,
    ffn_per_layer=1,
    heads=(3, 2),
    ffn=(5, 7),
    head_params=(30, 20),
    ffn_params=(7, 3),
    head_macs=(28, 19),
    ffn_macs=(6, 2),
    fixed_params=11,
    fixed_macs=5,
    other_params=90,
)
GRID = make_grid(SearchSpace(source="", ffn=Range()), SHAPE)
TRIAL = TrialRecord(
    number=1,
    origin="sampled",
    architecture=Architecture((1, 1), (5, 7)),
    budget=0.25,
    score=0.5,
    metrics={},
    loss=1.0,
    params=2_500_000,
    sparsity=0.25,
    macs=1,
    macs_removed=0.75,
    seconds=0.0,
)
NAMES = list(KINDS)


def test_every_kind_is_a_field_of_the_config_and_the_other_way_round() -> None:
    assert list(budget_kinds()) == NAMES == [KINDS[name].name for name in NAMES]
    for name, target in budget_kinds().items():
        assert (target == Share) == KINDS[name].is_share


@pytest.mark.parametrize("name", NAMES)
def test_the_config_takes_one_target_or_several_of_every_kind(name: str) -> None:
    low, high = (0.25, 0.5) if KINDS[name].is_share else (20, 40)
    assert BudgetConfig.model_validate({name: low}).targets == (low,)
    found = BudgetConfig.model_validate({name: [low, high]})
    assert (found.kind, found.targets) == (name, (low, high) if KINDS[name].is_share else (high, low))


def test_an_unknown_kind_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"unknown kind of budget 'sice_mb' \(did you mean 'size_mb'\?\); known: "):
        KINDS["sice_mb"]


@pytest.mark.parametrize("name", NAMES)
def test_the_share_that_goes_with_a_kind_is_counted(name: str) -> None:
    share = KINDS[KINDS[name].share]
    assert share.is_share
    assert share.counted is not None
    assert share.counted(TRIAL) == {"sparsity": 0.25, "macs": 0.75}[share.name]


def test_what_counting_tells_of_a_trial() -> None:
    counted = {name: kind.counted(TRIAL) for name, kind in ((name, KINDS[name]) for name in NAMES) if kind.counted}
    assert counted == {"sparsity": 0.25, "macs": 0.75, "zeros": 0.25, "params": 2_500_000}
    assert [name for name in NAMES if KINDS[name].is_of_file] == ["size_mb", "latency_ms"]
    assert [name for name in NAMES if KINDS[name].is_size] == ["size_mb"]


@pytest.mark.parametrize("name", NAMES)
def test_a_table_is_counted_unless_prices_come_from_elsewhere(name: str) -> None:
    kind, basis = KINDS[name], Basis(shape=SHAPE, grid=GRID, length=16)
    prices = LatencyCosts(linear_table("ns", 9, np.array([5, 5, 1, 1]), GRID))
    if kind.is_priced:
        assert cost_table(kind, basis, prices) is prices.table
    else:
        assert cost_table(kind, basis).total(GRID.last) > cost_table(kind, basis).total(0 * GRID.last)
    with pytest.raises(ValueError, match=f"can't be counted, and only there: {name}"):
        cost_table(kind, basis, None if kind.is_priced else prices)


@given(st.sampled_from(NAMES), st.integers(1, 10**9), st.integers(1, 10**10), st.sampled_from([0.0, 0.07, 0.5]))
def test_the_hardest_target_of_a_cost_is_met_by_it_and_hardly_by_a_dearer_one(
    name: str, total: int, more: int, margin: float
) -> None:
    kind, dense = KINDS[name], total + more
    target = kind.hardest(total, dense, margin)
    limit = kind.limit(target, dense, margin)
    grain = dense / 100_000 if kind.is_share else max(kind.scale / 1000, 1)
    assert total <= limit <= total + grain + 1


@given(st.sampled_from(NAMES), st.integers(1, 10**9), st.integers(0, 10**9))
def test_a_cost_meets_the_targets_whose_limit_it_keeps(name: str, total: int, more: int) -> None:
    kind, dense = KINDS[name], total + more
    cost = kind.cost(total, dense)
    assert kind.meets(cost, cost)
    harder = cost + 0.001 if kind.is_share else 0.999 * cost
    assert not kind.meets(cost, harder)
    assert kind.limit(harder, dense) <= total


def test_a_step_is_in_the_unit_of_targets() -> None:
    steps = {name: KINDS[name].step(250_000, 10**6) for name in NAMES}
    assert steps == {**dict.fromkeys(NAMES, 0.25), "params": 250_000}


def test_a_margin_makes_the_limit_of_milliseconds_lower() -> None:
    latency = KINDS["latency_ms"]
    assert latency.limit(12, 10**9) == 12_000_000
    assert latency.limit(12, 10**9, margin=0.5) == 8_000_000
    assert latency.hardest(8_000_001, 10**9, margin=0.5) == 12.001


@pytest.mark.parametrize(
    ("name", "target", "text"),
    [
        ("sparsity", 0.3, "30 %"),
        ("macs", 0.125, "12.5 %"),
        ("params", 11e6, "11M params"),
        ("params", 15_500_000.0, "15.5M params"),
        ("params", 25_600.0, "25.6K params"),
        ("params", 512.0, "512 params"),
        ("size_mb", 20.0, "20 MB"),
        ("size_mb", 0.045, "0.045 MB"),
        ("latency_ms", 8.4, "8.4 ms"),
    ],
)
def test_a_target_is_written_in_its_unit(name: str, target: float, text: str) -> None:
    assert KINDS[name].text(target) == text


def test_titles_and_axes_name_the_unit() -> None:
    assert [KINDS[name].title() for name in NAMES] == [
        *("parameters removed", "MACs removed", "weights zero", "params (M)", "size (MB)", "predicted (ms)")
    ]
    assert KINDS["latency_ms"].title(estimated=True) == "estimated (ms)"
    assert KINDS["macs"].axis(16) == "MACs of the encoder removed (%), counted at 16 tokens"
    assert KINDS["latency_ms"].axis(16) == "predicted time of one request (ms)"
    assert KINDS["latency_ms"].axis(16, estimated=True) == "estimated time of one request (ms)"


def test_int8_changes_the_size_alone() -> None:
    basis = Basis(shape=SHAPE, grid=GRID, length=16)
    for name in NAMES:
        table = KINDS[name].table
        if table is not None:
            same = np.array_equal(table(basis).entries, table(replace(basis, int8=False)).entries)
            assert same == (name != "size_mb")
