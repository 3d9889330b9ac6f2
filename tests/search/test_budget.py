from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aebert.errors import BudgetError
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import cost
from aebert.search.budget import Budget, BudgetKind, make_budget, project
from aebert.search.space import Grid, Range, SearchSpace, make_grid

UNITS = st.integers(1, 5000)


@st.composite
def shapes(draw: st.DrawFn) -> ModelShape:
    """1-6 layers of uneven blocks with uneven costs; up to 4 FFNs per layer as in MobileBERT."""
    layers, per_layer = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    per_block = st.tuples(*[UNITS] * layers), st.tuples(*[UNITS] * (layers * per_layer))
    return ModelShape(
        family="bert",
        hidden=64,
        head_size=draw(st.integers(1, 64)),
        ffn_per_layer=per_layer,
        heads=draw(st.tuples(*[st.integers(1, 16)] * layers)),
        ffn=draw(st.tuples(*[st.integers(1, 300)] * (layers * per_layer))),
        head_params=draw(per_block[0]),
        ffn_params=draw(per_block[1]),
        head_macs=draw(per_block[0]),
        ffn_macs=draw(per_block[1]),
        fixed_params=draw(st.integers(0, 10_000)),
        fixed_macs=draw(st.integers(0, 10_000)),
        other_params=draw(st.integers(0, 10_000)),
    )


@dataclass(frozen=True)
class Case:
    """A model, a grid on it, and a kind of budget with a length."""

    shape: ModelShape
    grid: Grid
    kind: BudgetKind
    length: int

    def cost(self, architecture: Architecture) -> int:
        counted = cost(architecture, self.shape, self.length)
        return counted.encoder_params if self.kind == "sparsity" else counted.macs

    @property
    def dense(self) -> int:
        return self.cost(Architecture.dense(self.shape))

    @property
    def reachable(self) -> float:
        """The largest share that can be removed."""
        return 1 - self.cost(self.architecture(self.grid.low)) / self.dense

    def architecture(self, widths: np.ndarray) -> Architecture:
        units = [int(width) for width in widths]
        return Architecture(tuple(units[: self.shape.layers]), tuple(units[self.shape.layers :]))

    def larger(self, architecture: Architecture) -> list[Architecture]:
        """The architectures with one block a grid step wider."""
        widths = np.array([*architecture.heads, *architecture.ffn])
        found = []
        for block, width in enumerate(widths):
            if width < self.grid.full[block]:
                wider = widths.copy()
                wider[block] = min(width + self.grid.step[block], self.grid.full[block])
                found.append(self.architecture(wider))
        return found


def ranges(most: int, steps: int) -> st.SearchStrategy[Range]:
    low = st.one_of(st.integers(0, most), st.just("all"))
    return st.builds(Range, min=low, step=st.integers(1, steps))


@st.composite
def cases(draw: st.DrawFn, per: str | None = None) -> Case:
    shape = draw(shapes())
    space = SearchSpace(
        source="drawn",
        heads=draw(ranges(min(shape.heads), 5)),
        ffn=draw(ranges(min(shape.ffn), 70)),
        per=per or draw(st.sampled_from(["block", "layer"])),  # type: ignore[arg-type]
    )
    kind: BudgetKind = draw(st.sampled_from(["sparsity", "macs"]))
    return Case(shape, make_grid(space, shape), kind, draw(st.integers(1, 512)))


def targets(case: Case) -> st.SearchStrategy[float]:
    return st.integers(0, int(case.reachable * 10_000)).map(lambda share: share / 10_000)


def budget_of(case: Case, target: float) -> Budget:
    return make_budget(case.kind, target, case.length, case.shape, case.grid)


def preferences(case: Case) -> st.SearchStrategy[np.ndarray]:
    """Shares of 0..1 and beyond, with many equal and extreme ones."""
    share = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0, -3.0, 2.0, float("inf"), -float("inf")]))
    return st.lists(share, min_size=len(case.grid.names), max_size=len(case.grid.names)).map(np.array)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_fills_the_budget_and_never_passes_it(data: st.DataObject) -> None:
    case = data.draw(cases())
    target = data.draw(targets(case))
    found = project(data.draw(preferences(case)), case.grid, budget_of(case, target))
    found.check(case.shape)
    limit = case.dense * (1 - target)
    assert case.cost(found) <= limit + 1e-6
    left = limit - case.cost(found)
    for wider in case.larger(found):  # so the gap is below one grid step of whatever can grow
        assert case.cost(wider) - case.cost(found) > left - 1e-6


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_width_is_on_the_grid(data: st.DataObject) -> None:
    case = data.draw(cases())
    found = project(data.draw(preferences(case)), case.grid, budget_of(case, data.draw(targets(case))))
    for width, low, step, full in zip(
        (*found.heads, *found.ffn), case.grid.low, case.grid.step, case.grid.full, strict=True
    ):
        assert width == full or width in range(low, full, step)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_full_architectures_come_back_unchanged(data: st.DataObject) -> None:
    case = data.draw(cases(per="block"))
    budget = budget_of(case, data.draw(targets(case)))
    # widen random blocks until none can be wider: any architecture that fills a budget is made so
    order = data.draw(st.permutations(range(len(case.grid.names))))
    widths = case.grid.low.copy()
    for block in order:
        for width in (
            *range(case.grid.low[block], case.grid.full[block], case.grid.step[block]),
            case.grid.full[block],
        ):
            wider = np.where(np.arange(len(widths)) == block, width, widths)
            widths = wider if case.cost(case.architecture(wider)) <= budget.limit else widths
    filled = case.architecture(widths)
    span = np.maximum(case.grid.full - case.grid.low, 1)
    assert project((widths - case.grid.low) / span, case.grid, budget) == filled


@pytest.mark.parametrize("kind", ["sparsity", "macs"])
def test_agrees_with_all_architectures_of_a_tiny_grid(kind: BudgetKind) -> None:
    shape = ModelShape("bert", 8, 4, 1, (3, 2), (5, 7), (30, 20), (7, 3), (28, 19), (6, 4), 11, 5, 0)
    grid = make_grid(SearchSpace(source="", heads=Range(), ffn=Range(min=1, step=2)), shape)
    case = Case(shape, grid, kind, length=3)
    # hand-written: 5 = 1 + 2 * 2 is reached by steps, and so is 7
    every = [
        Architecture((a, b), (c, d)) for a, b, c, d in itertools.product(range(4), range(3), (1, 3, 5), (1, 3, 5, 7))
    ]
    assert len(every) == 144
    budget = budget_of(case, 0.0)
    rng = np.random.default_rng(0)
    for architecture in every:
        own = replace(budget, limit=case.cost(architecture))
        ratios = np.array([*architecture.heads, *architecture.ffn]) - grid.low
        assert project(ratios / (grid.full - grid.low), grid, own) == architecture
        maximal = [
            other
            for other in every
            if case.cost(other) <= own.limit and all(case.cost(wider) > own.limit for wider in case.larger(other))
        ]
        assert project(rng.random(4), grid, own) in maximal


def test_scales_by_one_number_and_fills_where_rounding_took_most() -> None:
    # two FFNs of 10 neurons that cost 1 each, nothing else; half of 20 may stay
    shape = ModelShape("bert", 8, 4, 1, (1, 1), (10, 10), (1, 1), (1, 1), (1, 1), (1, 1), 0, 0, 0)
    grid = make_grid(SearchSpace(source="", heads=Range(min="all"), ffn=Range()), shape)
    budget = make_budget("sparsity", 0.5, 1, shape, grid)  # 22 units, 11 stay, 2 of them heads: 9 neurons
    # wish 8 : 4 costs 12, scaled by 3/4 it is 6 : 3
    assert project(np.array([0.0, 0.0, 0.8, 0.4]), grid, budget).ffn == (6, 3)
    # wish 5 : 0 leaves 4, scaled towards dense by s it is 5 + 5 s : 10 s, so s = 4/15: 6.33 : 2.67, and the second,
    # which lost 0.67 to rounding, gets the last neuron
    assert project(np.array([0.0, 0.0, 0.5, 0.0]), grid, budget).ffn == (6, 3)
    assert project(np.array([0.0, 0.0, 0.5, 0.5]), grid, budget).ffn == (5, 4)  # of equals the first


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_higher_target_never_allows_more(data: st.DataObject) -> None:
    case = data.draw(cases())
    low, high = sorted(data.draw(st.tuples(targets(case), targets(case))))
    wish = data.draw(preferences(case))
    loose, tight = budget_of(case, low), budget_of(case, high)
    assert loose.limit >= tight.limit
    if tight.limit == loose.limit:
        assert project(wish, case.grid, tight) == project(wish, case.grid, loose)
    widest_step = max((loose.unit_costs * np.minimum(case.grid.step, case.grid.full)).tolist())
    assert case.cost(project(wish, case.grid, tight)) < case.cost(project(wish, case.grid, loose)) + widest_step


def test_preferences_beyond_0_and_1_are_clipped() -> None:
    shape = ModelShape("bert", 8, 4, 1, (4,), (40,), (30,), (7,), (28,), (6,), 11, 5, 0)
    grid = make_grid(SearchSpace(source="", ffn=Range(step=4)), shape)
    budget = make_budget("sparsity", 0.5, 1, shape, grid)
    inside, outside = np.array([0.0, 1.0]), np.array([-7.0, 3.0])
    assert project(outside, grid, budget) == project(inside, grid, budget)
    assert project(inside, grid, budget) != project(inside[::-1], grid, budget)


@pytest.mark.parametrize("wrong", [[0.5, float("nan")], [0.5], [0.5, 0.5, 0.5], [[0.5, 0.5]]])
def test_preferences_must_be_one_number_per_name(wrong: list[float]) -> None:
    shape = ModelShape("bert", 8, 4, 1, (4,), (40,), (30,), (7,), (28,), (6,), 11, 5, 0)
    grid = make_grid(SearchSpace(source=""), shape)
    with pytest.raises(ValueError, match=r"preferences must be 2 numbers, got \["):
        project(np.array(wrong), grid, make_budget("sparsity", 0.5, 1, shape, grid))


def test_limits_are_exact_in_decimal() -> None:
    """0.9 as a float is a little more than nine tenths: of 10 units 1 may stay. No tolerance is added to it."""
    shape = ModelShape("bert", 8, 4, 1, (1,), (9,), (1,), (1,), (1,), (1,), 0, 0, 0)
    grid = make_grid(SearchSpace(source="", ffn=Range()), shape)
    assert make_budget("sparsity", 0.9, 1, shape, grid).limit == 1
    large = replace(shape, ffn=(10**10 - 1,))  # 10^10 units
    grid = make_grid(SearchSpace(source="", ffn=Range()), large)
    assert make_budget("sparsity", 0.3, 1, large, grid).limit == 7 * 10**9
    assert make_budget("sparsity", 0.30000000001, 1, large, grid).limit == 7 * 10**9 - 1  # 0.1 units less


def test_the_smallest_architecture_is_reachable_and_no_more() -> None:
    # 100 units, 25 of them fixed
    shape = ModelShape("bert", 8, 4, 1, (25,), (50,), (1,), (1,), (1,), (1,), 25, 25, 0)
    grid = make_grid(SearchSpace(source="", ffn=Range(step=7)), shape)
    budget = make_budget("sparsity", 0.75, 1, shape, grid)
    assert (budget.limit, budget.fixed) == (25, 25)
    assert project(np.array([1.0, 1.0]), grid, budget) == Architecture((0,), (0,))
    with pytest.raises(BudgetError) as caught:
        make_budget("sparsity", 0.7501, 1, shape, grid)
    assert str(caught.value) == (
        "budget must be reachable: sparsity 0.7501 asks to remove more than the 0.75000 that the search space can; "
        "lower search.budget or the space's min"
    )


@settings(max_examples=60, deadline=None)
@given(cases())
def test_the_share_that_the_error_names_is_reachable(case: Case) -> None:
    if case.reachable > 0.9999:
        return
    with pytest.raises(BudgetError, match=f"budget must be reachable: {case.kind} 0.99999 asks") as caught:
        budget_of(case, 0.99999)
    named = re.search(r"more than the (0\.\d{5}) that", str(caught.value))
    assert named is not None
    assert case.reachable - 2e-5 < float(named[1]) <= case.reachable + 1e-12
    assert project(np.zeros(len(case.grid.names)), case.grid, budget_of(case, float(named[1])))


def test_macs_depend_on_the_length() -> None:
    """Per head 2 * 4 * length of scores besides 28; per neuron 6: at length 100 heads are what costs."""
    shape = ModelShape("bert", 8, 4, 1, (4,), (40,), (30,), (7,), (28,), (6,), 11, 5, 0)
    grid = make_grid(SearchSpace(source="", ffn=Range()), shape)
    budget = make_budget("macs", 0.5, 100, shape, grid)
    assert budget.unit_costs.tolist() == [82_800, 600]
    assert budget.fixed == 500
    assert budget.limit == (4 * 82_800 + 40 * 600 + 500) // 2
