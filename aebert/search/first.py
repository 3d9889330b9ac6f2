"""The first trials: what the best known methods propose before a sampler explores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from aebert.config import RunConfig
from aebert.errors import ConfigError
from aebert.pruning.architecture import Architecture
from aebert.registry import Registry
from aebert.search.budget import Budget, project
from aebert.search.record import TrialRecord
from aebert.search.space import Grid

if TYPE_CHECKING:  # reports read the registry, and should not have to load torch for it
    from aebert.pruning.criteria import Importance

# Number of bins that a knapsack divides a budget into; costs are rounded up to bins, so none exceeds the budget.
BINS = 5_000


class Evidence(Protocol):
    """What is known of the dense model's units and blocks; each part is computed when it is first asked for."""

    def importance(self, criterion: str, /) -> Importance:
        """A score for every unit, by a criterion."""

    @property
    def block_errors(self) -> Sequence[np.ndarray]:
        """The block library's errors, per block one value per level of the grid."""


@dataclass(frozen=True)
class FirstTrial:
    """A method of the first trials.

    meaning: what it does, in a few words, for reports. propose: its architecture for a budget, which it must meet.
    needs_library: whether it reads the errors of the block library.
    ranks_units: whether it needs scores of heads and neurons, which unstructured pruning does not have.
    """

    meaning: str
    propose: Callable[[Evidence, Grid, Budget], Architecture]
    needs_library: bool = False
    ranks_units: bool = False


FIRST_TRIALS: Registry[FirstTrial] = Registry("first trial")

Mark = TypeVar("Mark")  # how a plot draws a first trial
STUDY = "study:"  # begins what stands for another study among them


def first_origins(trials: Iterable[TrialRecord]) -> list[str]:
    """Origins that first trials may have, in the order of reports: all methods, then the other studies of `trials`."""
    studies = (trial.origin for trial in trials if trial.origin.startswith(STUDY))
    return list(dict.fromkeys([*FIRST_TRIALS, *studies]))


def first_marks(trials: Iterable[TrialRecord], marks: Sequence[Mark]) -> list[tuple[str, Mark]]:
    """Each origin with a mark of its own; where too few are left for the other studies, these share the last."""
    return [(origin, marks[min(place, len(marks) - 1)]) for place, origin in enumerate(first_origins(trials))]


def meaning_of(origin: str) -> str:
    """What a first trial of this origin is, in a few words."""
    if origin.startswith(STUDY):
        return "what that study chose, brought onto the budget"
    return FIRST_TRIALS[origin].meaning


def first_methods(config: RunConfig, *, has_library: bool, has_units: bool = True) -> tuple[str, ...]:
    """Names of the methods and studies of a run's first trials: those of the config, else all that can be asked.

    has_units: whether heads and neurons are ranked, and not single weights.

    Raises: ConfigError for an unknown name, for one that needs the block library or units where there are none, and for
    a total of trials without room for them.
    """
    names = config.search.first
    if names is None:
        methods = [(name, FIRST_TRIALS[name]) for name in FIRST_TRIALS]
        names = tuple(
            name
            for name, one in methods
            if (has_library or not one.needs_library) and (has_units or not one.ranks_units)
        )
    for name in names:
        if name.startswith(STUDY):  # `aebert.run.sources` reads it
            continue
        if FIRST_TRIALS[name].needs_library and not has_library:
            raise ConfigError(
                f"search.first: {name} needs the block library's errors; leave it out or set pruning.method to "
                f"library, got {config.pruning.method!r}"
            )
        if FIRST_TRIALS[name].ranks_units and not has_units:
            raise ConfigError(
                f"search.first: {name} ranks heads and neurons, not single weights; leave it out, since pruning.method "
                f"is {config.pruning.method!r}"
            )
    least = 1 + len(names) * len(config.search.budget.targets)
    if config.search.trials != "auto" and config.search.trials < least:
        raise ConfigError(
            f"search.trials must be at least {least}, the dense model and {len(names)} first trials "
            f"({', '.join(names)}) for each budget, got {config.search.trials}; raise it or shorten search.first"
        )
    return names


def uniform(grid: Grid, budget: Budget) -> Architecture:
    """Every block at the same share of its range."""
    return project(np.full(len(grid.names), 0.5), grid, budget)


def greedy(importance: Importance, grid: Grid, budget: Budget) -> Architecture:
    """The widths that lose the least total importance; heads are ranked against all heads, neurons against all neurons.

    For every number of heads, the most important heads are kept, and as many of the most important neurons as the
    budget then allows. Of these pairs, the one that loses the least importance in total is brought onto the grid.
    Source: mask search of Kwon et al. 2022, arXiv:2204.09656, algorithm 1, with any importance.
    """
    blocks = grid.attention_blocks
    prices = _unit_prices(grid, budget)
    heads, ffn = _Ranked(importance.heads, prices[:blocks]), _Ranked(importance.ffn, prices[blocks:])
    left = budget.limit - budget.table.total(np.zeros_like(grid.last)) - heads.costs  # [heads kept]
    kept = np.searchsorted(ffn.costs, left, side="right") - 1
    value = np.where(left >= 0, heads.values + ffn.values[np.maximum(kept, 0)], -np.inf)
    best = int(np.argmax(value))
    widths = np.concatenate([heads.widths(best), ffn.widths(int(kept[best]))])
    return project(grid.preferences(grid.of_widths(widths)), grid, budget)


def threshold(importance: Importance, grid: Grid, budget: Budget) -> Architecture:
    """The widths that a single threshold on the importance of all weights leaves; among equals, the first are kept.

    It need not be in the space, whose preferences may be shared by matrices, unless matrices would keep less than the
    space's min.
    """
    scores = [*importance.heads, *importance.ffn]
    kept = budget.limit
    least = np.partition(np.concatenate(scores), -kept)[-kept] if kept else np.inf
    widths = np.array([np.count_nonzero(one > least) for one in scores])
    ties = np.array([np.count_nonzero(one == least) for one in scores])
    widths += np.diff(np.minimum(np.cumsum(ties), kept - widths.sum()), prepend=0)
    wished = grid.of_widths(widths)
    return wished if (widths >= grid.low).all() else project(grid.preferences(wished), grid, budget)


class _Ranked:
    """Units of several blocks, the most important first, with running totals by the number kept."""

    def __init__(self, scores: Sequence[np.ndarray], prices: np.ndarray) -> None:
        block = np.concatenate([np.full(len(one), index) for index, one in enumerate(scores)]).astype(int)
        flat = np.concatenate([np.asarray(one, dtype=float) for one in scores])
        order = np.argsort(-flat, kind="stable")
        self._blocks, self._count = block[order], len(scores)
        self.values = np.concatenate([[0.0], np.cumsum(flat[order])])
        self.costs = np.concatenate([[0.0], np.cumsum(prices[self._blocks])])

    def widths(self, kept: int) -> np.ndarray:
        """Units per block among the first `kept`."""
        widths: np.ndarray = np.bincount(self._blocks[:kept], minlength=self._count)
        return widths


def _unit_prices(grid: Grid, budget: Budget) -> np.ndarray:
    """Average cost of one unit of each block, above the cost of the narrowest width that the grid allows."""
    entries = budget.table.entries
    prices: np.ndarray = (entries.max(axis=1) - entries[:, 0]) / np.maximum(grid.full, 1)
    return prices


def knapsack(errors: Sequence[np.ndarray], grid: Grid, budget: Budget) -> Architecture:
    """The architecture with the smallest sum of block errors within the budget.

    errors: per block one value per level of the grid (see `error_table`), or per level up to the highest that the block
    may have. The solution is exact up to the rounding of costs to `BINS`; interactions between blocks are left to the
    search. What rounding left of the budget is then used.
    """
    fixed = budget.table.total(np.zeros_like(grid.last))
    room = max(budget.limit - fixed, 1)
    most = np.array([len(one) - 1 for one in errors])
    rows = [budget.table.entries[block, : last + 1] for block, last in enumerate(most)]
    costs = [np.ceil((row - row[0]) * BINS / room).astype(int) for row in rows]
    levels = _solve(costs, [np.asarray(one, dtype=float) for one in errors])
    return project(grid.preferences(grid.architecture(levels)), grid, budget, most)


def _solve(costs: Sequence[np.ndarray], errors: Sequence[np.ndarray]) -> np.ndarray:
    """Multiple-choice knapsack by dynamic programming: one level per block, total cost at most `BINS`."""
    best = np.zeros(BINS + 1)
    choices = []
    for cost, error in zip(costs, errors, strict=True):
        totals = np.full((len(cost), BINS + 1), np.inf)
        for level, (price, loss) in enumerate(zip(cost, error, strict=True)):
            if price <= BINS:
                totals[level, price:] = best[: BINS + 1 - price] + loss
        choices.append(totals.argmin(axis=0))
        best = totals.min(axis=0)
    place, levels = BINS, np.zeros(len(costs), dtype=int)
    for block in range(len(costs) - 1, -1, -1):
        levels[block] = choices[block][place]
        place -= int(costs[block][levels[block]])
    return levels


def _by_importance(criterion: str) -> Callable[[Evidence, Grid, Budget], Architecture]:
    return lambda evidence, grid, budget: greedy(evidence.importance(criterion), grid, budget)


def _by_magnitude(evidence: Evidence, grid: Grid, budget: Budget) -> Architecture:
    if grid.exact:
        return threshold(evidence.importance("magnitude"), grid, budget)
    # totals must mean something: squared norms add up to the share of all weights that is removed
    return greedy(evidence.importance("magnitude").squared(), grid, budget)


FIRST_TRIALS.add(
    "uniform", FirstTrial("every layer pruned alike", lambda evidence, grid, budget: uniform(grid, budget))
)
FIRST_TRIALS.add("magnitude", FirstTrial("the smallest weights go", _by_magnitude))
FIRST_TRIALS.add(
    "fisher", FirstTrial("the units of lowest Fisher information go", _by_importance("fisher"), ranks_units=True)
)
FIRST_TRIALS.add(
    "knapsack",
    FirstTrial(
        "least sum of block errors",
        lambda evidence, grid, budget: knapsack(evidence.block_errors, grid, budget),
        needs_library=True,
    ),
)
