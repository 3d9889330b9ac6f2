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
from aebert.pruning.cost import block_bytes, cost, fixed_bytes
from aebert.search.budget import Budget, make_budget, project
from aebert.search.kinds import KINDS
from aebert.search.space import Grid, Range, SearchSpace, load_space, make_grid
from aebert.search.table import measured_table

# MiniLM-L6 by its shape
MINILM = ModelShape(
    family="bert",
    hidden=384,
    head_size=32,
    ffn_per_layer=1,
    heads=(12,) * 6,
    ffn=(1536,) * 6,
    head_params=(49248,) * 6,
    ffn_params=(769,) * 6,
    head_macs=(49152,) * 6,
    ffn_macs=(768,) * 6,
    fixed_params=13824,
    fixed_macs=0,
    other_params=12067202,
)
ONE_LAYER = ModelShape(
    family="bert",
    hidden=8,
    head_size=4,
    ffn_per_layer=1,
    heads=(4,),
    ffn=(40,),
    head_params=(30,),
    ffn_params=(7,),
    head_macs=(28,),
    ffn_macs=(6,),
    fixed_params=11,
    fixed_macs=5,
    other_params=0,
)
UNITS = st.integers(2, 5000)
# milliseconds come from a table: see tests/latency/test_table.py
COUNTED = tuple(name for name in KINDS if not KINDS[name].is_priced and name != "zeros")  # for these: test_weights.py


@st.composite
def shapes(draw: st.DrawFn) -> ModelShape:
    """1-6 layers of uneven blocks with uneven costs; up to 4 FFNs per layer as in MobileBERT."""
    layers, per_layer = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    head_macs, ffn_macs = draw(st.tuples(*[UNITS] * layers)), draw(st.tuples(*[UNITS] * (layers * per_layer)))
    biases, fixed_macs = draw(st.integers(1, 100)), draw(st.integers(0, 10_000))
    return ModelShape(
        family="bert",
        hidden=64,
        head_size=draw(st.integers(1, 64)),
        ffn_per_layer=per_layer,
        heads=draw(st.tuples(*[st.integers(1, 16)] * layers)),
        ffn=draw(st.tuples(*[st.integers(1, 300)] * (layers * per_layer))),
        head_params=tuple(macs + biases for macs in head_macs),
        ffn_params=tuple(macs + 1 for macs in ffn_macs),
        head_macs=head_macs,
        ffn_macs=ffn_macs,
        fixed_params=fixed_macs + draw(st.integers(0, 10_000)),
        fixed_macs=fixed_macs,
        other_params=draw(st.integers(0, 10_000)),
    )


@dataclass(frozen=True)
class Case:
    """A model, a grid on it, and a kind of budget; or prices of its own, by block and width, if given."""

    shape: ModelShape
    grid: Grid
    kind: str
    length: int
    prices: tuple[dict[int, int], ...] | None = None

    def cost(self, architecture: Architecture) -> int:
        widths = (*architecture.heads, *architecture.ffn)
        if self.prices is not None:
            return 7 + sum(prices[width] for prices, width in zip(self.prices, widths, strict=True))
        if self.kind == "size_mb":
            blocks = [block_bytes(self.shape, block, width, int8=True) for block, width in enumerate(widths)]
            return fixed_bytes(self.shape, int8=True) + sum(blocks)
        counted = cost(architecture, self.shape, self.length)
        return {"sparsity": counted.encoder_params, "macs": counted.macs, "params": counted.params}[self.kind]

    @property
    def smallest(self) -> int:
        return self.cost(self.architecture(self.grid.low))

    @property
    def dense(self) -> int:
        return self.cost(self.architecture(self.grid.full))

    def budget(self, limit: int) -> Budget:
        """One that allows a cost of `limit`; targets in decimal don't reach every one of them."""
        if self.prices is not None:
            rows = [list(prices.values()) for prices in self.prices]
            return Budget(
                kind=KINDS["params"],
                target=limit,
                limit=limit,
                table=measured_table("ns", 7, rows, self.grid),
                dense=self.dense,
            )
        made = make_budget(self.kind, self.mildest, self.length, self.shape, self.grid)
        return replace(made, limit=limit)

    @property
    def mildest(self) -> float:
        """A target that only the dense model, or nearly, fails."""
        return {"sparsity": 1e-12, "macs": 1e-12, "params": self.dense - 1, "size_mb": (self.dense - 1) / 1e6}[
            self.kind
        ]

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

    def widths(self, block: int) -> list[int]:
        low, step, full = (int(of[block]) for of in (self.grid.low, self.grid.step, self.grid.full))
        return sorted({*range(low, full, step), full})


def ranges(most: int, steps: int) -> st.SearchStrategy[Range]:
    low = st.one_of(st.integers(0, most), st.just("all"))
    return st.builds(Range, min=low, step=st.integers(1, steps))


@st.composite
def cases(draw: st.DrawFn, per: str | None = None) -> Case:
    """Half of them with random prices, many of whose steps are free; in the others something can be pruned."""
    shape = draw(shapes())
    space = SearchSpace(
        source="drawn",
        heads=draw(ranges(min(shape.heads), 5)),
        ffn=draw(ranges(min(shape.ffn), 70)),
        per=per or draw(st.sampled_from(["block", "layer"])),  # type: ignore[arg-type]
    )
    grid = make_grid(space, shape)
    case = Case(shape, grid, draw(st.sampled_from(COUNTED)), draw(st.integers(1, 512)))
    if draw(st.booleans()) or case.smallest == case.dense:
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        case = replace(case, prices=tuple(random_prices(case.widths(block), rng) for block in range(len(grid.full))))
    return case


def random_prices(widths: list[int], rng: np.random.Generator) -> dict[int, int]:
    """Not linear, not falling, two thirds of the steps free."""
    steps = rng.integers(0, 50, len(widths)) * (rng.random(len(widths)) < 1 / 3)
    return dict(zip(widths, np.cumsum(steps).tolist(), strict=True))


def limits(case: Case) -> st.SearchStrategy[int]:
    return st.integers(case.smallest, case.dense)


def preferences(case: Case) -> st.SearchStrategy[np.ndarray]:
    """Shares of 0..1 and beyond, with many equal and extreme ones."""
    share = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0, -3.0, 2.0, float("inf"), -float("inf")]))
    return st.lists(share, min_size=len(case.grid.names), max_size=len(case.grid.names)).map(np.array)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_fills_the_budget_and_never_passes_it(data: st.DataObject) -> None:
    case = data.draw(cases())
    limit = data.draw(limits(case))
    found = project(data.draw(preferences(case)), case.grid, case.budget(limit))
    found.check(case.shape)
    assert case.cost(found) <= limit
    for wider in case.larger(found):  # so the gap is below one grid step of whatever can grow
        assert case.cost(wider) > limit
    for block, width in enumerate((*found.heads, *found.ffn)):
        assert width in case.widths(block)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_architectures_that_fill_a_budget_come_back_unchanged(data: st.DataObject) -> None:
    case = data.draw(cases(per="block"))
    budget = case.budget(data.draw(limits(case)))
    # widen random blocks until none can be wider: any architecture that fills a budget is made so
    widths = case.grid.low.copy()
    for block in data.draw(st.permutations(range(len(case.grid.names)))):
        for width in case.widths(block):
            wider = np.where(np.arange(len(widths)) == block, width, widths)
            widths = wider if case.cost(case.architecture(wider)) <= budget.limit else widths
    filled = case.architecture(widths)
    assert project(case.grid.preferences(filled), case.grid, budget) == filled


def rounded(case: Case, wish: np.ndarray, scale: float) -> list[int]:
    """The widths nearest to a wish scaled towards nothing (scale < 0) or everything (scale > 0), as documented."""
    shares = [min(max(float(wish[name]), 0.0), 1.0) for name in case.grid.preference]
    scaled = [share * (1 + scale) if scale < 0 else 1 - (1 - share) * (1 - scale) for share in shares]
    found = []
    for block, share in enumerate(scaled):
        low, full = int(case.grid.low[block]), int(case.grid.full[block])
        found.append(min(case.widths(block), key=lambda width: abs(width - (low + share * (full - low)))))
    return found


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_scaled_core_is_kept_at_its_limit_and_at_every_larger_one(data: st.DataObject) -> None:
    case = data.draw(cases())
    small, large = sorted(data.draw(st.tuples(limits(case), limits(case))))
    wish = data.draw(preferences(case))
    low, high = -1.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        fits = case.cost(case.architecture(np.array(rounded(case, wish, middle)))) <= small
        low, high = (middle, high) if fits else (low, middle)
    # a little off the point where rounding changes: which side of it floats are on decides nothing here
    core = rounded(case, wish, max(-1.0, low - 1e-9))
    for limit in (small, large):
        found = project(wish, case.grid, case.budget(limit))
        assert all(width >= kept for width, kept in zip((*found.heads, *found.ffn), core, strict=True))


def tiny_shape() -> ModelShape:
    return replace(
        ONE_LAYER,
        heads=(3, 2),
        ffn=(5, 7),
        head_params=(30, 20),
        ffn_params=(7, 3),
        head_macs=(28, 19),
        ffn_macs=(6, 2),
        other_params=90,
    )


@pytest.mark.parametrize("prices", [None, 0, 1, 2])
@pytest.mark.parametrize("kind", COUNTED)
def test_agrees_with_all_architectures_of_a_tiny_grid(kind: str, prices: int | None) -> None:
    shape = tiny_shape()
    grid = make_grid(SearchSpace(source="", heads=Range(), ffn=Range(min=1, step=2)), shape)
    case = Case(shape, grid, kind, length=3)
    if prices is not None:
        rng = np.random.default_rng(prices)
        case = replace(case, prices=tuple(random_prices(case.widths(block), rng) for block in range(4)))
    # hand-written: 5 = 1 + 2 * 2 is reached by steps, and so is 7
    every = [
        Architecture((a, b), (c, d)) for a, b, c, d in itertools.product(range(4), range(3), (1, 3, 5), (1, 3, 5, 7))
    ]
    assert len(every) == 144
    rng = np.random.default_rng(0)
    for limit in sorted({case.cost(architecture) for architecture in every})[:: 1 if prices is not None else 5]:
        budget = case.budget(limit)
        maximal = [
            each
            for each in every
            if case.cost(each) <= limit and all(case.cost(wider) > limit for wider in case.larger(each))
        ]
        for each in maximal:  # so every architecture that fills a budget is reachable
            assert project(grid.preferences(each), grid, budget) == each
        assert project(rng.random(4), grid, budget) in maximal


def test_scales_by_one_number_to_the_nearest_widths() -> None:
    # two FFNs of 10 neurons that cost 1 each, nothing else; half of 20 may stay
    shape = replace(
        ONE_LAYER,
        heads=(1, 1),
        ffn=(10, 10),
        head_params=(1, 1),
        ffn_params=(1, 1),
        head_macs=(1, 1),
        ffn_macs=(1, 1),
        fixed_params=0,
        fixed_macs=0,
    )
    grid = make_grid(SearchSpace(source="", heads=Range(min="all"), ffn=Range()), shape)
    budget = make_budget("sparsity", 0.5, 1, shape, grid)  # 22 units, 11 stay, 2 of them heads: 9 neurons
    # wish 8 : 4 costs 12, scaled by 3/4 it is 6 : 3
    assert project(np.array([0.0, 0.0, 0.8, 0.4]), grid, budget).ffn == (6, 3)
    # wish 5 : 0 leaves 4; scaled towards dense by s it is 5 + 5 s : 10 s, which turns over at s = 0.05 (5 : 1),
    # 0.1 (6 : 1), 0.15 (6 : 2), 0.25 (6 : 3)
    assert project(np.array([0.0, 0.0, 0.5, 0.0]), grid, budget).ffn == (6, 3)
    assert project(np.array([0.0, 0.0, 0.5, 0.5]), grid, budget).ffn == (5, 4)  # of equals the first
    # half a neuron and more is a whole one: 9.5 and 0 is 10 and 0 before it is scaled
    eleven = replace(budget, limit=12)
    assert project(np.array([0.0, 0.0, 0.95, 0.0]), grid, eleven).ffn == (10, 0)
    assert project(np.array([0.0, 0.0, 0.9, 0.0]), grid, eleven).ffn == (9, 1)


def test_fills_with_the_next_growths_that_fit() -> None:
    # 2 heads that cost 10 each, 10 neurons that cost 1 each; all wished for
    shape = replace(
        ONE_LAYER,
        heads=(2,),
        ffn=(10,),
        head_params=(10,),
        ffn_params=(1,),
        head_macs=(10,),
        ffn_macs=(1,),
        fixed_params=0,
        fixed_macs=0,
    )
    grid = make_grid(SearchSpace(source="", ffn=Range()), shape)
    budget = make_budget("sparsity", 0.1, 1, shape, grid)
    # heads come at 1/4 and 3/4 of the scale, neurons at 0.05, 0.15, …
    expected = {9: (0, 9), 10: (0, 10), 11: (0, 10), 12: (1, 2), 18: (1, 8), 20: (1, 10), 26: (1, 10), 27: (2, 7)}
    for limit, (heads, ffn) in expected.items():
        found = project(np.array([1.0, 1.0]), grid, replace(budget, limit=limit))
        assert found == Architecture((heads,), (ffn,)), limit


def test_blocks_that_keep_everything_are_common() -> None:
    grid = make_grid(load_space("default"), MINILM)
    budget = make_budget("macs", 0.5, 128, MINILM, grid)
    rng = np.random.default_rng(0)
    drawn = [project(rng.random(12), grid, budget) for _ in range(300)]
    assert sum(12 in found.heads for found in drawn) >= 15  # 0 of them where widths are rounded down


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_harder_target_never_allows_more(data: st.DataObject) -> None:
    case = data.draw(cases())
    small, large = sorted(data.draw(st.tuples(limits(case), limits(case))))
    wish = data.draw(preferences(case))
    loose, tight = case.budget(large), case.budget(small)
    widest_step = int(np.diff(loose.table.entries, axis=1).max(initial=0))
    assert case.cost(project(wish, case.grid, tight)) <= case.cost(project(wish, case.grid, loose)) + widest_step


def test_preferences_beyond_0_and_1_are_clipped() -> None:
    shape = ONE_LAYER
    grid = make_grid(SearchSpace(source="", ffn=Range(step=4)), shape)
    budget = make_budget("sparsity", 0.5, 1, shape, grid)
    inside, outside = np.array([0.0, 1.0]), np.array([-7.0, 3.0])
    assert project(outside, grid, budget) == project(inside, grid, budget)
    assert project(inside, grid, budget) != project(inside[::-1], grid, budget)


@pytest.mark.parametrize("wrong", [[0.5, float("nan")], [0.5], [0.5, 0.5, 0.5], [[0.5, 0.5]]])
def test_preferences_must_be_one_number_per_name(wrong: list[float]) -> None:
    shape = ONE_LAYER
    grid = make_grid(SearchSpace(source=""), shape)
    with pytest.raises(ValueError, match=r"preferences must be 2 numbers, got \["):
        project(np.array(wrong), grid, make_budget("sparsity", 0.5, 1, shape, grid))


def test_limits_are_exact_in_decimal() -> None:
    """0.9 as a float is a little more than nine tenths: of 10 units 1 may stay. No tolerance is added to it."""
    shape = replace(
        ONE_LAYER,
        heads=(1,),
        ffn=(9,),
        head_params=(1,),
        ffn_params=(1,),
        head_macs=(1,),
        ffn_macs=(1,),
        fixed_params=0,
        fixed_macs=0,
    )
    grid = make_grid(SearchSpace(source="", ffn=Range()), shape)
    assert make_budget("sparsity", 0.9, 1, shape, grid).limit == 1
    large = replace(shape, ffn=(10**10 - 1,))  # 10^10 units
    grid = make_grid(SearchSpace(source="", ffn=Range(step=10**9)), large)
    assert make_budget("sparsity", 0.3, 1, large, grid).limit == 7 * 10**9
    assert make_budget("sparsity", 0.30000000001, 1, large, grid).limit == 7 * 10**9 - 1  # 0.1 units less


def test_every_kind_counts_in_its_own_unit() -> None:
    shape = tiny_shape()
    grid = make_grid(SearchSpace(source="", ffn=Range()), shape)
    lowest = np.zeros(4, dtype=int)
    params = make_budget("params", 200.9, 1, shape, grid)
    # 3·30 + 2·20 + 5·7 + 7·3 = 186 units, 11 fixed in the encoder and 90 outside
    assert (params.table.unit, params.table.fixed, params.dense, params.limit) == ("parameters", 101, 287, 200)
    assert (params.cost(lowest), params.cost(grid.last)) == (101.0, 287.0)
    sparsity = make_budget("sparsity", 0.5, 1, shape, grid)
    assert (sparsity.table.fixed, sparsity.dense, sparsity.limit) == (11, 197, 98)
    assert sparsity.cost(lowest) == pytest.approx(186 / 197)
    size = make_budget("size_mb", 0.05, 1, shape, grid)
    assert (size.table.unit, size.limit) == ("bytes", 50_000)
    assert size.cost(grid.last) == size.dense / 1e6
    assert size.table.total(lowest) == fixed_bytes(shape, int8=True) == size.table.fixed
    float32 = make_budget("size_mb", 0.05, 1, shape, grid, int8=False)
    assert float32.table.fixed == fixed_bytes(shape, int8=False) != size.table.fixed


def test_macs_depend_on_the_length() -> None:
    """Per head 2 * 4 * length of scores besides 28; per neuron 6: at length 100 heads are what costs."""
    shape = ONE_LAYER
    grid = make_grid(SearchSpace(source="", ffn=Range()), shape)
    budget = make_budget("macs", 0.5, 100, shape, grid)
    assert budget.table.entries[:, :5].tolist() == [[0, 82_800, 165_600, 248_400, 331_200], [0, 600, 1200, 1800, 2400]]
    assert (budget.table.unit, budget.table.fixed) == ("MACs", 500)
    assert budget.dense == 4 * 82_800 + 40 * 600 + 500
    assert budget.limit == budget.dense // 2


def test_a_smaller_file_loses_whole_blocks_where_that_pays() -> None:
    """What a block costs in the file is no multiple of its units: its nodes go when it has none."""
    grid = make_grid(load_space("default"), MINILM)
    budget = make_budget("size_mb", 14, 128, MINILM, grid)
    first, second, third = budget.table.entries[0, :3].tolist()
    assert first == 0
    assert second > third - second
    assert (np.diff(budget.table.entries, axis=1) >= 0).all()
    found = project(np.full(12, 0.5), grid, budget)
    assert 13.98 < budget.cost(grid.levels(found)) <= 14


def test_the_smallest_architecture_is_reachable_and_no_more() -> None:
    # 100 units, 25 of them fixed
    shape = replace(
        ONE_LAYER,
        heads=(25,),
        ffn=(50,),
        head_params=(1,),
        ffn_params=(1,),
        head_macs=(1,),
        ffn_macs=(1,),
        fixed_params=25,
        fixed_macs=25,
    )
    grid = make_grid(SearchSpace(source="", ffn=Range(step=7)), shape)
    budget = make_budget("sparsity", 0.75, 1, shape, grid)
    assert (budget.limit, budget.table.fixed) == (25, 25)
    assert project(np.array([1.0, 1.0]), grid, budget) == Architecture((0,), (0,))


@pytest.mark.parametrize(
    ("kind", "target", "message"),
    [
        (
            "sparsity",
            0.6001,
            "budget must be reachable: sparsity 0.6001 asks to remove more than the 0.6 that the search space can; "
            "lower search.budget or the space's min",
        ),
        (
            "params",
            1_000_039.0,
            "budget must be reachable: params 1000039 is below the 1000040 that the search space can; "
            "raise search.budget or lower the space's min",
        ),
        (
            "size_mb",
            1.5,
            "budget must be reachable: size_mb 1.5 is below the 4.035 that the search space can (4.026 MB are "
            "embeddings and the rest outside the blocks); raise search.budget or lower the space's min",
        ),
        (
            "macs",
            0.0,
            "budget must be smaller than the dense model: macs 0 removes nothing; raise search.budget",
        ),
        (
            "params",
            1_000_100.0,
            "budget must be smaller than the dense model: params 1000100 is not below its 1000100; lower search.budget",
        ),
        (
            "size_mb",
            20.0,
            "budget must be smaller than the dense model: size_mb 20 is not below its 4.035; lower search.budget",
        ),
    ],
)
def test_budgets_out_of_reach_are_refused_with_what_can_be_asked_for(kind: str, target: float, message: str) -> None:
    # encoder: 100 units, 25 of them fixed and 15 the space's min; 1,000,000 parameters outside it. The file: 4,000,100
    # bytes of fixed weights, 26,100 of graph, at least 7,960 (20 + 40 of them weights) and at most 8,200 of the blocks
    shape = replace(
        ONE_LAYER,
        heads=(25,),
        ffn=(50,),
        head_params=(1,),
        ffn_params=(1,),
        head_macs=(1,),
        ffn_macs=(1,),
        fixed_params=25,
        fixed_macs=0,
        other_params=1_000_000,
    )
    grid = make_grid(SearchSpace(source="", heads=Range(min=5), ffn=Range(min=10, step=4)), shape)
    with pytest.raises(BudgetError) as caught:
        make_budget(kind, target, 1, shape, grid, int8=False)
    assert str(caught.value) == message


@settings(max_examples=60, deadline=None)
@given(cases())
def test_the_target_that_the_error_names_is_the_hardest_that_is_reachable(case: Case) -> None:
    case = replace(case, prices=None)
    shares, unit = case.kind in ("sparsity", "macs"), 1e6 if case.kind == "size_mb" else 1.0
    share = 1 - case.smallest / case.dense
    if share > 0.9999 or share < 0.0001 or (case.dense - case.smallest < 1000 and case.kind == "size_mb"):
        return  # nothing is out of reach, or next to nothing can be asked for
    with pytest.raises(BudgetError, match="budget must be reachable: ") as caught:
        make_budget(case.kind, 0.99999 if shares else (case.smallest - 1) / unit, case.length, case.shape, case.grid)
    named = re.search(r"(?:than|below) the ([\d.]+) that", str(caught.value))
    assert named is not None
    target = float(named[1])
    assert share - 2e-5 < target <= share + 1e-12 if shares else 0 <= target * unit - case.smallest < 1000 + 1e-6
    budget = make_budget(case.kind, target, case.length, case.shape, case.grid)
    assert project(np.zeros(len(case.grid.names)), case.grid, budget)
