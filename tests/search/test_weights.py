"""Spaces, budgets and first trials where a block is a matrix and a unit is one of its weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.config import RunConfig
from aebert.errors import BudgetError, ConfigError
from aebert.models.shape import MatrixShape, ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import Importance
from aebert.search.budget import Budget, make_budget, project
from aebert.search.first import FIRST_TRIALS, first_methods
from aebert.search.space import Grid, SearchSpace, WeightRange, make_grid
from aebert.sections import check

PHYSICAL = ModelShape(
    family="bert",
    hidden=8,
    head_size=4,
    ffn_per_layer=1,
    heads=(2, 2),
    ffn=(20, 20),
    head_params=(140,) * 2,
    ffn_params=(17,) * 2,
    head_macs=(128,) * 2,
    ffn_macs=(16,) * 2,
    fixed_params=48,
    fixed_macs=0,
    other_params=99,
)
SHAPE = MatrixShape(
    family="bert",
    hidden=8,
    head_size=4,
    ffn_per_layer=2,
    heads=(64,) * 8,
    ffn=(160,) * 4,
    head_params=(1,) * 8,
    ffn_params=(1,) * 4,
    head_macs=(0,) * 8,
    ffn_macs=(0,) * 4,
    fixed_params=0,
    fixed_macs=0,
    other_params=0,
    physical=PHYSICAL,
)
TOTAL = 8 * 64 + 4 * 160


def _grid(**values: object) -> Grid:
    return make_grid(SearchSpace.model_validate({"source": "", **values}), SHAPE)


def _kept(architecture: Architecture) -> int:
    return sum(architecture.heads) + sum(architecture.ffn)


@given(
    st.lists(st.floats(0, 1), min_size=12, max_size=12),
    st.floats(0.01, 0.99),
    st.integers(1, 200),
    st.sampled_from(["block", "layer"]),
)
def test_the_ratio_is_met_to_the_weight_whatever_is_proposed(
    wishes: list[float], target: float, levels: int, per: str
) -> None:
    grid = _grid(per=per, weights={"levels": levels})
    budget = make_budget("zeros", target, 16, SHAPE, grid)
    found = project(np.array(wishes[: len(grid.names)]), grid, budget)
    found.check(SHAPE)
    assert TOTAL - _kept(found) == TOTAL - budget.limit == int(np.ceil(round(TOTAL * target, 9)))
    assert budget.kind.meets(budget.spent(found, grid), target)


def test_one_ratio_per_layer_is_the_same_for_its_six_matrices() -> None:
    grid = _grid(per="layer", weights={"levels": 16})
    assert grid.names == ("layer.0", "layer.1")
    budget = make_budget("zeros", 0.5, 16, SHAPE, grid)
    found = project(np.array([0.25, 0.75]), grid, budget)
    assert found == Architecture((16,) * 4 + (48,) * 4, (40, 40, 120, 120))
    assert _grid().names[6:10] == ("attention.1.2", "attention.1.3", "ffn.0.0", "ffn.0.1")


def test_a_min_of_units_is_the_same_share_of_weights() -> None:
    grid = _grid(heads={"min": "all"}, ffn={"min": 5, "step": 1})
    assert grid.low.tolist() == [64] * 8 + [40] * 4
    grid = _grid(heads={"min": 1}, weights={"min": 0.1, "levels": 4})
    assert grid.low.tolist() == [32] * 8 + [16] * 4
    assert grid.step.tolist() == [8] * 8 + [36] * 4


def test_a_ratio_beyond_the_space_is_one_line() -> None:
    with pytest.raises(
        BudgetError, match=r"zeros 0\.95 asks to remove more than the 0\.89583 that the search space can"
    ):
        make_budget("zeros", 0.95, 16, SHAPE, _grid(weights={"min": 0.1}))


def _half(**values: object) -> tuple[Grid, Budget]:
    grid = _grid(**values)
    return grid, make_budget("zeros", 0.5, 16, SHAPE, grid)


class _Magnitudes:
    block_errors: tuple[np.ndarray, ...] = ()

    def __init__(self, scores: list[np.ndarray]) -> None:
        self._scores = Importance(tuple(scores[:8]), tuple(scores[8:]))

    def importance(self, criterion: str) -> Importance:
        return {"magnitude": self._scores}[criterion]


@pytest.mark.parametrize("per", ["block", "layer"])
def test_magnitude_is_one_threshold_on_all_weights(per: str) -> None:
    rng = np.random.default_rng(0)
    scores = [rng.exponential(1 + block % 3, full) for block, full in enumerate((*SHAPE.heads, *SHAPE.ffn))]
    grid, budget = _half(per=per)
    found = FIRST_TRIALS["magnitude"].propose(_Magnitudes(scores), grid, budget)
    limit = np.sort(np.concatenate(scores))[-TOTAL // 2]
    assert [*found.heads, *found.ffn] == [int((one >= limit).sum()) for one in scores]
    assert _kept(found) == TOTAL // 2


def test_of_equal_weights_the_first_are_kept() -> None:
    grid, budget = _half()
    found = FIRST_TRIALS["magnitude"].propose(_Magnitudes([np.ones(64)] * 8 + [np.ones(160)] * 4), grid, budget)
    assert found == Architecture((64,) * 8, (TOTAL // 2 - 8 * 64, 0, 0, 0))
    grid, budget = _half(weights=WeightRange(min=0.25).model_dump())
    bounded = FIRST_TRIALS["magnitude"].propose(_Magnitudes([np.ones(64)] * 8 + [np.ones(160)] * 4), grid, budget)
    assert min(bounded.ffn) >= 40
    assert _kept(bounded) == TOTAL // 2


def test_first_trials_that_need_units_are_not_asked() -> None:
    config = check(RunConfig, {"name": "toy", "search": {"trials": 3}, "pruning": {"method": "x"}}, "test")
    assert first_methods(config, has_library=False, has_units=False) == ("uniform", "magnitude")
    asked = config.model_copy(update={"search": config.search.model_copy(update={"first": ("fisher",)})})
    with pytest.raises(ConfigError, match="fisher ranks heads and neurons, not single weights; leave it out"):
        first_methods(asked, has_library=False, has_units=False)
