from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import pytest

from aebert.config import RunConfig
from aebert.errors import ConfigError
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import Importance
from aebert.search.budget import Budget, LatencyCosts, make_budget
from aebert.search.first import BINS, FIRST_TRIALS, first_methods, greedy, knapsack, uniform
from aebert.search.kinds import KINDS
from aebert.search.space import Grid, Range, SearchSpace, load_space, make_grid
from aebert.search.table import linear_table, measured_table
from aebert.sections import check

# every head costs 30 parameters, every neuron 7
TINY = ModelShape(
    family="bert",
    hidden=8,
    head_size=4,
    ffn_per_layer=1,
    heads=(3, 2),
    ffn=(4, 3),
    head_params=(30, 30),
    ffn_params=(7, 7),
    head_macs=(28, 28),
    ffn_macs=(6, 6),
    fixed_params=11,
    fixed_macs=5,
    other_params=90,
)
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
# a target of each kind that about half of MiniLM-L6 meets
HALF = {**dict.fromkeys(("sparsity", "macs", "zeros"), 0.5), "params": 17.4e6, "size_mb": 18.0, "latency_ms": 6.0}


def _grid(heads: Range, ffn: Range) -> Grid:
    return make_grid(SearchSpace(source="", heads=heads, ffn=ffn), TINY)


ALL = _grid(Range(), Range())


def _every(grid: Grid) -> Iterator[tuple[np.ndarray, Architecture]]:
    """All architectures of a grid with their levels."""
    for levels in itertools.product(*(range(int(last) + 1) for last in grid.last)):
        yield np.array(levels), grid.architecture(np.array(levels))


def _budget(limit: int, grid: Grid = ALL) -> Budget:
    made = make_budget("sparsity", 0.1, 8, TINY, grid)
    return Budget(kind=made.kind, target=made.target, limit=limit, table=made.table, dense=made.dense)


def _value(importance: Importance, architecture: Architecture) -> float:
    """Importance that an architecture keeps, when each block keeps its best units."""
    blocks = zip((*importance.heads, *importance.ffn), (*architecture.heads, *architecture.ffn), strict=True)
    return sum(float(np.sort(scores)[::-1][:width].sum()) for scores, width in blocks)


def _random(rng: np.random.Generator, shape: ModelShape = TINY) -> Importance:
    return Importance(tuple(rng.random(n) for n in shape.heads), tuple(rng.random(n) for n in shape.ffn))


@pytest.mark.parametrize("seed", range(4))
def test_greedy_keeps_as_much_importance_as_any(seed: int) -> None:
    """Where all heads cost the same and all neurons too, algorithm 1 is optimal: it can't be beaten by enumeration."""
    importance = _random(np.random.default_rng(seed))
    every = [architecture for _, architecture in _every(ALL)]
    assert len(every) == 4 * 3 * 5 * 4
    costs = [11 + 30 * sum(one.heads) + 7 * sum(one.ffn) for one in every]
    for limit in range(11, 11 + 5 * 30 + 7 * 7, 9):
        found = greedy(importance, ALL, _budget(limit))
        best = max(_value(importance, one) for one, cost in zip(every, costs, strict=True) if cost <= limit)
        assert 11 + 30 * sum(found.heads) + 7 * sum(found.ffn) <= limit
        assert _value(importance, found) == pytest.approx(best)


def test_greedy_by_hand() -> None:
    importance = Importance((np.array([9.0, 1.0, 5.0]), np.array([8.0, 7.0])), (np.full(4, 0.1), np.full(3, 2.0)))
    # 3 heads and 3 neurons are 111: the heads 9, 8 and 7, and the second layer's neurons
    assert greedy(importance, ALL, _budget(11 + 111)) == Architecture((1, 2), (0, 3))
    # one parameter less: without one of the neurons (2) rather than a head (7), and 2 neurons and 6 over
    assert greedy(importance, ALL, _budget(11 + 110)) == Architecture((1, 2), (0, 2))
    # two heads less are room for 8 neurons, and worth more if neurons are worth more than heads
    rich = Importance(importance.heads, (np.full(4, 4.0), np.full(3, 20.0)))
    assert greedy(rich, ALL, _budget(11 + 111)) == Architecture((1, 1), (4, 3))


def test_greedy_ranks_heads_against_heads_of_all_layers() -> None:
    importance = Importance((np.array([3.0, 2.0, 1.0]), np.array([30.0, 20.0])), (np.zeros(4), np.zeros(3)))
    heads = [greedy(importance, ALL, _budget(11 + 30 * count)).heads for count in range(1, 6)]
    assert heads == [(0, 1), (0, 2), (1, 2), (2, 2), (3, 2)]


@pytest.mark.parametrize("coarse", [False, True], ids=["every width", "grid"])
@pytest.mark.parametrize("seed", range(3))
def test_knapsack_is_the_best_of_all_architectures(seed: int, coarse: bool) -> None:
    """Up to the rounding of costs: it is never worse than the best of a budget smaller by a bin per block."""
    grid = _grid(Range(min=1), Range(min=1, step=2)) if coarse else ALL
    rng = np.random.default_rng(seed)
    errors = [np.sort(rng.exponential(1, last + 1))[::-1] for last in grid.last]
    prices = [np.cumsum(rng.integers(0, 4000, last + 1)).tolist() for last in grid.last]
    table = measured_table("ns", 100, prices, grid)
    every = [(table.total(levels), _error(errors, levels), architecture) for levels, architecture in _every(grid)]
    least, most = min(cost for cost, *_ in every), max(cost for cost, *_ in every)
    for limit in np.linspace(least, most - 1, 12).astype(int).tolist():
        budget = Budget(kind=KINDS["params"], target=limit, limit=limit, table=table, dense=most)
        found = knapsack(errors, grid, budget)
        rounding = len(grid.last) * -(-(limit - least) // BINS)
        best = min(error for cost, error, _ in every if cost <= max(limit - rounding, least))
        cost, error = next((cost, error) for cost, error, one in every if one == found)
        assert cost <= limit
        assert error <= best + 1e-12


def _error(errors: list[np.ndarray], levels: np.ndarray) -> float:
    return sum(float(one[level]) for one, level in zip(errors, levels, strict=True))


def test_knapsack_by_hand() -> None:
    # a head costs 30; the error of the first layer falls 10, 1, 0.9, 0.8, that of the second 5, 4.9, 4.8
    errors = [np.array([10, 1, 0.9, 0.8]), np.array([5, 4.9, 4.8]), np.zeros(5), np.array([3.0, 2, 1, 0])]
    # 63: a head of the first layer, and 33 are 3 neurons of the last, and 12 more for a neuron that changes nothing
    assert knapsack(errors, ALL, _budget(11 + 63)) == Architecture((1, 0), (1, 3))
    # 29 are no head
    assert knapsack(errors, ALL, _budget(11 + 29)) == Architecture((0, 0), (1, 3))


def test_knapsack_has_all_that_it_can_get_and_nothing_of_an_empty_budget() -> None:
    errors = [np.linspace(1, 0, last + 1) for last in ALL.last]
    assert knapsack(errors, ALL, _budget(11)) == Architecture((0, 0), (0, 0))
    assert knapsack(errors, ALL, _budget(10**6)) == Architecture((3, 2), (4, 3))


def test_knapsack_of_a_large_model_fills_its_budget() -> None:
    grid = make_grid(load_space("default"), MINILM)
    budget = make_budget("sparsity", 0.5, 128, MINILM, grid)
    rng = np.random.default_rng(0)
    errors = [np.sort(rng.exponential(1, last + 1))[::-1].cumsum()[::-1] for last in grid.last]
    found = knapsack(errors, grid, budget)
    assert 0.5 <= budget.cost(grid.levels(found)) < 0.5 + 0.003  # a head is 0.46 %, 32 neurons 0.23 %


@dataclass(frozen=True)
class KnownModel:
    """Random importance of MiniLM's units, by criterion, and errors of its blocks."""

    grid: Grid

    def importance(self, criterion: str) -> Importance:
        return _random(np.random.default_rng(len(criterion)), MINILM)

    @property
    def block_errors(self) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        return [np.sort(rng.exponential(1, last + 1))[::-1] for last in self.grid.last]


@pytest.mark.parametrize("per", ["block", "layer"])
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("name", list(FIRST_TRIALS))
def test_every_first_trial_meets_every_kind_of_budget(name: str, kind: str, per: str) -> None:
    space = load_space("default").model_copy(update={"per": per})
    grid = make_grid(space, MINILM)
    target = HALF[kind]
    prices = (
        LatencyCosts(linear_table("ns", 10**6, np.array([40_000] * 6 + [400] * 6), grid))
        if kind == "latency_ms"
        else None
    )
    budget = make_budget(kind, target, 128, MINILM, grid, prices=prices)
    found = FIRST_TRIALS[name].propose(KnownModel(grid), grid, budget)
    found.check(MINILM)
    levels = grid.levels(found)
    assert grid.architecture(levels) == found
    assert budget.table.total(levels) <= budget.limit
    cost = budget.cost(levels)
    assert (cost >= target) if KINDS[kind].is_share else (cost <= target)
    # and fills it: no block can grow
    for block in np.flatnonzero(levels < grid.last):
        wider = levels.copy()
        wider[block] += 1
        assert budget.table.total(wider) > budget.limit


class OnlyImportance:
    """A model whose block library is not built."""

    def importance(self, criterion: str) -> Importance:
        return _random(np.random.default_rng(0), MINILM)

    @property
    def block_errors(self) -> list[np.ndarray]:
        raise LookupError("no library")


@pytest.mark.parametrize("name", list(FIRST_TRIALS))
def test_a_first_trial_reads_the_block_library_only_if_it_says_so(name: str) -> None:
    grid = make_grid(load_space("default"), MINILM)
    budget = make_budget("sparsity", 0.5, 128, MINILM, grid)
    reads = nullcontext() if not FIRST_TRIALS[name].needs_library else pytest.raises(LookupError, match="no library")
    with reads:
        FIRST_TRIALS[name].propose(OnlyImportance(), grid, budget)


def test_magnitude_removes_the_least_sum_of_squared_norms() -> None:
    norms = Importance((np.array([3.0, 0, 0]), np.zeros(2)), (np.ones(4), np.zeros(3)))

    class Norms(OnlyImportance):
        def importance(self, criterion: str) -> Importance:
            return {"magnitude": norms}[criterion]

    # room for one head or four neurons: 3² is more than 4 · 1², although 3 is less than 4
    assert FIRST_TRIALS["magnitude"].propose(Norms(), ALL, _budget(11 + 30)) == Architecture((1, 0), (0, 0))
    assert greedy(norms, ALL, _budget(11 + 30)) == Architecture((0, 0), (4, 0))


def _methods(method: str = "library", **search: object) -> tuple[str, ...]:
    config = check(RunConfig, {"name": "toy", "pruning": {"method": method}, "search": search}, "test")
    return first_methods(config, has_library=method == "library")


def test_all_that_can_be_asked_propose_by_default() -> None:
    every = ("uniform", "magnitude", "fisher", "knapsack")
    assert _methods() == every
    assert _methods("kwon") == every[:3]  # no block library, so no errors for a knapsack
    assert _methods(first=[]) == ()
    assert _methods(first=["fisher", "uniform"]) == ("fisher", "uniform")
    # dense, 4 methods for each of 2 budgets
    assert _methods(trials=9, budget={"macs": [0.2, 0.4]}) == every
    assert _methods(trials=1, first=[]) == ()


@pytest.mark.parametrize(
    ("method", "search", "message"),
    [
        (
            "library",
            {"trials": 8, "budget": {"macs": [0.2, 0.4]}},
            r"^search\.trials must be at least 9, the dense model and 4 first trials \(uniform, magnitude, fisher, "
            r"knapsack\) for each budget, got 8; raise it or shorten search\.first$",
        ),
        (
            "fisher",
            {"first": ["uniform", "knapsack"]},
            r"^search\.first: knapsack needs the block library's errors; .* pruning\.method to library, got 'fisher'$",
        ),
        (
            "kwon",
            {"first": ["unifrom"]},
            r"^unknown first trial 'unifrom' \(did you mean 'uniform'\?\); known: ",
        ),
    ],
)
def test_first_trials_that_cannot_be_are_one_line(method: str, search: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _methods(method, **search)


def test_uniform_has_the_same_share_everywhere() -> None:
    grid = make_grid(SearchSpace(source="", ffn=Range(step=128)), MINILM)
    found = uniform(grid, make_budget("macs", 0.5, 128, MINILM, grid))
    assert {*found.heads} <= {6, 7}
    assert {*found.ffn} <= {640, 768, 896}
