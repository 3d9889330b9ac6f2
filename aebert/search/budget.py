"""Budgets that every candidate meets: preferences in, the architecture that fills the budget out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aebert.errors import BudgetError
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.search.kinds import KINDS, Basis, Kind
from aebert.search.space import Grid
from aebert.search.table import CostTable


@dataclass(frozen=True)
class Budget:
    """The most that an architecture may cost.

    target: as the user states it: a share of the dense cost to remove, or the most parameters, MB or ms.
    limit: the most that it may cost by `table`, in the table's unit. dense: what the dense model costs.
    """

    kind: Kind
    target: float
    limit: int
    table: CostTable
    dense: int

    def cost(self, levels: np.ndarray) -> float:
        """Cost of the architecture with these levels in the unit of targets: share removed, parameters, MB or ms."""
        return self.kind.cost(self.table.total(levels), self.dense)

    def spent(self, architecture: Architecture, grid: Grid) -> float:
        """Cost of an architecture in the unit of targets; where the grid is not exact, that of its nearest levels."""
        if not grid.exact:
            return self.cost(grid.levels(architecture))
        return self.kind.cost(self.table.fixed + sum(architecture.heads) + sum(architecture.ffn), self.dense)


@dataclass(frozen=True)
class LatencyCosts:
    """What a latency budget is counted with.

    table: in ns. margin: predictions are limited to target / (1 + margin), since what is measured may be above them.
    """

    table: CostTable
    margin: float = 0.0


def make_budget(
    kind: str,
    target: float,
    length: int,
    shape: ModelShape,
    grid: Grid,
    int8: bool = True,
    prices: LatencyCosts | None = None,
) -> Budget:
    """The budget with this target.

    length: tokens that MACs are counted at. int8: whether the file whose size counts is the quantized one.
    prices: for a latency, whose costs can't be counted.

    Raises: BudgetError if no architecture of the grid meets it, or the dense model does.
    """
    found, margin = KINDS[kind], 0.0 if prices is None else prices.margin
    table = cost_table(found, Basis(shape, grid, length, int8), prices)
    dense = table.total(grid.last)
    budget = Budget(found, target, found.limit(target, dense, margin), table, dense)
    _check(budget, grid, margin)
    return budget


def cost_table(kind: Kind, basis: Basis, prices: LatencyCosts | None = None) -> CostTable:
    """What every block costs at every level: as counted, or as the prices say."""
    if kind.table is not None and prices is None:
        return kind.table(basis)
    if kind.table is None and prices is not None:
        return prices.table
    raise ValueError(f"a budget must come with prices where its costs can't be counted, and only there: {kind.name}")


def _check(budget: Budget, grid: Grid, margin: float) -> None:
    kind, asked = budget.kind, f"{budget.kind.name} {_number(budget.target)}"
    smallest = budget.table.total(np.zeros_like(grid.last))
    if budget.limit < smallest:
        rule = "asks to remove more than the" if kind.is_share else "is below the"
        fix = "lower search.budget or" if kind.is_share else "raise search.budget or lower"
        named = _number(kind.hardest(smallest, budget.dense, margin))
        raise BudgetError(
            f"budget must be reachable: {asked} {rule} {named} that the search space can{_floor(budget)}; "
            f"{fix} the space's min"
        )
    if budget.limit >= budget.dense:
        dense = _number(kind.hardest(budget.dense, budget.dense, margin))
        rule = "removes nothing; raise" if kind.is_share else f"is not below its {dense}; lower"
        raise BudgetError(f"budget must be smaller than the dense model: {asked} {rule} search.budget")


def _floor(budget: Budget) -> str:
    """The part of the cost that no search space can remove, where it alone is above the limit."""
    if budget.kind.is_share or budget.limit >= budget.table.fixed:
        return ""
    fixed = budget.kind.text(round(budget.kind.cost(budget.table.fixed, budget.dense), 3))
    return f" ({fixed} are embeddings and the rest outside the blocks)"


def _number(value: float) -> str:
    """A target with all its figures, without a tail of zeros."""
    return f"{value:.10g}"


def project(preferences: np.ndarray, grid: Grid, budget: Budget, most: np.ndarray | None = None) -> Architecture:
    """The architecture that a sampler's preferences mean under a budget.

    preferences [names]: wished share of each block's range of widths, 0..1 (others are clipped). All are scaled by one
    number s, towards 0 (s < 0, share·(1 + s)) or towards 1 (s > 0, 1 - (1 - share)·(1 - s)), and rounded to the nearest
    level. As s rises, blocks grow one level at a time. These growths are made in that order until one does not fit the
    budget, so a higher limit only adds levels to this core. The rest of the budget is filled in the same order; a block
    whose next level does not fit stops growing. So the cost is never above the limit, and no block can grow by a level
    without passing it. An architecture of which that is true, given as preferences (one per block), comes back
    unchanged, because s = 0 gives it and nothing more fits. O(n log n) in the number of levels.

    most [blocks]: levels that blocks must not grow beyond; where all have reached them, some of the budget may be left.

    Where the grid is exact, what then is left of the budget goes to the block that lacks most, so nothing is left.

    Raises: ValueError if a preference is not a number, or their count is not that of the grid's names.
    """
    wishes = np.asarray(preferences, dtype=float)
    if wishes.shape != (len(grid.names),) or np.isnan(wishes).any():
        raise ValueError(f"preferences must be {len(grid.names)} numbers, got {wishes.tolist()}")
    blocks, levels, middles = grid.climbs
    if most is not None:
        within = levels < most[blocks]
        blocks, levels, middles = blocks[within], levels[within], middles[within]
    entries = budget.table.entries
    costs = entries[blocks, levels + 1] - entries[blocks, levels]
    wish = np.clip(wishes, 0.0, 1.0)[grid.preference][blocks]
    order = np.argsort(_scales(wish, middles), kind="stable")  # stable: a block's levels stay in order where equal
    left = budget.limit - budget.table.total(np.zeros_like(grid.last))
    reached = _climb(blocks[order], costs[order], left, len(grid.last))
    return _filled(reached, grid, budget) if grid.exact else grid.architecture(reached)


def _filled(levels: np.ndarray, grid: Grid, budget: Budget) -> Architecture:
    """These levels, and what they leave of a budget that is counted in units; it is less than any further level."""
    widths = grid.widths(levels)
    widths[np.argmax(grid.full - widths)] += budget.limit - budget.table.total(levels)
    return grid.of_widths(widths)


def _scales(wish: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """The s, -1..1, from which on the scaled wish reaches a middle (0 < middle < 1); it rises with the middle."""
    below = middles <= wish
    up = 1.0 - (1.0 - middles) / np.where(below, 1.0, 1.0 - wish)
    scales: np.ndarray = np.where(below, middles / np.where(below, wish, 1.0) - 1.0, up)
    return scales


def _climb(blocks: np.ndarray, costs: np.ndarray, left: int, count: int) -> np.ndarray:
    """Levels [count] after all growths that fit into what is left; a growth is a block and a cost, given in order.

    A growth that does not fit rules out the later ones of its block.
    """
    levels = np.zeros(count, dtype=np.int64)
    while len(blocks):
        spent = np.cumsum(costs)
        fits = int(np.searchsorted(spent, left, side="right"))
        levels += np.bincount(blocks[:fits], minlength=count)
        if fits == len(blocks):
            break
        left -= int(spent[fits - 1]) if fits else 0
        others = blocks[fits:] != blocks[fits]
        blocks, costs = blocks[fits:][others], costs[fits:][others]
    return levels
