from __future__ import annotations

import pytest

from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.search.budget import Budget, make_budget
from aebert.search.first import FIRST_TRIALS, first_marks, first_origins
from aebert.search.space import Range, SearchSpace, make_grid
from aebert.search.transfer import Source, laid_over

SHAPE = ModelShape(
    family="bert",
    hidden=8,
    head_size=2,
    ffn_per_layer=1,
    heads=(4, 4, 4),
    ffn=(16, 16, 16),
    head_params=(10,) * 3,
    ffn_params=(5,) * 3,
    head_macs=(10,) * 3,
    ffn_macs=(5,) * 3,
    fixed_params=0,
    fixed_macs=0,
    other_params=100,
)
GRID = make_grid(SearchSpace(source="", heads=Range(), ffn=Range(step=1)), SHAPE)
FULL = Architecture(SHAPE.heads, SHAPE.ffn)


def budget(target: float, kind: str = "sparsity") -> Budget:
    return make_budget(kind, target, 16, SHAPE, GRID)


def test_an_architecture_of_the_same_model_stays_as_it_is() -> None:
    mine = Architecture((1, 4, 0), (16, 3, 7))
    assert laid_over(mine, FULL, GRID) == mine


def test_other_depths_and_widths_keep_the_same_shares_at_the_same_relative_depth() -> None:
    two = Architecture((8, 8), (32, 32))
    assert laid_over(Architecture((8, 4), (0, 16)), two, GRID) == Architecture((4, 3, 2), (0, 4, 8))
    five = Architecture((2,) * 5, (4,) * 5)
    assert laid_over(Architecture((2, 0, 1, 0, 0), (4, 0, 2, 0, 1)), five, GRID) == Architecture((4, 2, 0), (16, 8, 4))
    assert laid_over(Architecture((1,), (1,)), Architecture((2,), (4,)), GRID) == Architecture((2, 2, 2), (4, 4, 4))


def test_what_meets_the_budget_exactly_comes_back_unchanged() -> None:
    mine = Architecture((4, 2, 0), (16, 8, 0))  # half of all parameters
    assert Source("other", FULL, (Architecture((4, 4, 0), (16, 16, 0)), mine)).propose(GRID, budget(0.5)) == mine


@pytest.mark.parametrize(("kind", "target"), [("sparsity", 0.25), ("macs", 0.25), ("params", 370.0)])
def test_the_nearest_in_cost_is_brought_onto_the_budget(kind: str, target: float) -> None:
    mild, hard = Architecture((4, 4, 0), (16, 16, 0)), Architecture((0, 0, 1), (0, 0, 4))
    found = Source("other", FULL, (mild, hard)).propose(GRID, budget(target, kind))
    costs = budget(target, kind)
    assert 0 <= costs.limit - costs.table.total(GRID.levels(found)) < 10
    assert (found.heads[:2], found.ffn[:2]) == ((4, 4), (16, 16))  # grown from the mild one
    least = Source("other", FULL, (mild, hard)).propose(GRID, budget(0.85))
    assert least.heads[2] + least.ffn[2] > 0  # grown from the hard one


def test_reports_name_other_studies_behind_the_methods_and_marks_do_not_run_out() -> None:
    class Trial:
        def __init__(self, origin: str) -> None:
            self.origin = origin

    trials = [Trial(one) for one in ("dense", "study:b", "uniform", "study:a", "study:b", "sampled")]
    assert first_origins(trials) == [*FIRST_TRIALS, "study:b", "study:a"]  # type: ignore[arg-type]
    few = [*range(len(FIRST_TRIALS)), 99]
    assert first_marks(trials, few)[-2:] == [("study:b", 99), ("study:a", 99)]  # type: ignore[arg-type]
