"""Budgets that every candidate meets: preferences in, the architecture that fills the budget out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from aebert.config import BudgetKind
from aebert.errors import BudgetError
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import block_bytes, cost, fixed_bytes
from aebert.search.space import Grid
from aebert.search.table import CostTable, linear_table, measured_table

_SHARES = ("sparsity", "macs")  # kinds whose target is a share of the dense cost to remove
_UNITS = {"size_mb": 10**6, "latency_ms": 10**6}  # bytes of a MB, ns of a ms: how many of the table's make one


@dataclass(frozen=True)
class Budget:
    """The most that an architecture may cost.

    target: as the user states it; a share of the dense cost to remove (sparsity, macs), or the most parameters, MB
      or ms.
    limit: the most that it may cost by `table`, in the table's unit. dense: what the dense model costs.
    """

    kind: BudgetKind
    target: float
    limit: int
    table: CostTable
    dense: int

    def cost(self, levels: np.ndarray) -> float:
        """Cost of the architecture with these levels as the user states it: share removed, parameters, MB or ms."""
        total = self.table.total(levels)
        if self.kind in _SHARES:
            return 1.0 - total / self.dense
        return total / _UNITS.get(self.kind, 1)


@dataclass(frozen=True)
class LatencyCosts:
    """What a latency budget is counted with.

    table: in ns. margin: predictions are limited to target / (1 + margin), since what is measured may be above them.
    """

    table: CostTable
    margin: float = 0.0

    def limit(self, target: float) -> int:
        """Most ns by the table."""
        return math.floor(_UNITS["latency_ms"] * Fraction(str(float(target))) / (1 + Fraction(str(self.margin))))


def make_budget(
    kind: BudgetKind,
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
    if (kind == "latency_ms") != (prices is not None):
        raise ValueError(f"a latency_ms budget, and no other, must come with prices, got {kind}")
    table = _table(kind, length, shape, grid, int8) if prices is None else prices.table
    limit = _limit(kind, target, table, grid) if prices is None else prices.limit(target)
    budget = Budget(kind, target, limit, table, table.total(grid.last))
    _check(budget, grid)
    return budget


def _table(kind: BudgetKind, length: int, shape: ModelShape, grid: Grid, int8: bool) -> CostTable:
    if kind == "size_mb":
        rows = [
            [block_bytes(shape, block, width, int8=int8) for width in widths]
            for block, widths in enumerate(grid.allowed)
        ]
        return measured_table("bytes", fixed_bytes(shape, int8=int8), rows, grid)
    dense = cost(Architecture.dense(shape), shape, length)
    if kind == "macs":
        heads = np.array(shape.head_macs) + 2 * shape.head_size * length
        total, unit_costs = dense.macs, length * np.array([*heads, *shape.ffn_macs])
    else:
        total = dense.params if kind == "params" else dense.encoder_params
        unit_costs = np.array([*shape.head_params, *shape.ffn_params])
    fixed = total - int(unit_costs @ grid.full)
    return linear_table("MACs" if kind == "macs" else "parameters", fixed, unit_costs, grid)


def _limit(kind: BudgetKind, target: float, table: CostTable, grid: Grid) -> int:
    """Exact in decimal: 0.9 is nine tenths, not the float below."""
    value = Fraction(str(float(target)))
    if kind in _SHARES:
        return math.floor(table.total(grid.last) * (1 - value))
    return math.floor(value * _UNITS.get(kind, 1))


def _nearest(budget: Budget, total: int) -> float:
    """The hardest target that a cost in the table's unit still meets, in figures short enough to be asked for."""
    if budget.kind in _SHARES:
        return math.floor(100_000 * Fraction(budget.dense - total, budget.dense)) / 100_000
    if budget.kind == "latency_ms":
        # what has to be asked for is above what a candidate takes by the margin
        margin = Fraction(str(float(budget.target))) * _UNITS[budget.kind] / max(budget.limit, 1)
        return math.ceil(Fraction(total, 1000) * max(margin, Fraction(1))) / 1000
    return math.ceil(Fraction(total, 1000)) / 1000 if budget.kind == "size_mb" else total


def _number(value: float) -> str:
    """All figures that were asked for, without a tail of zeros."""
    return f"{value:.10g}"


def _floor(budget: Budget) -> str:
    """What of a size or latency no search space can remove."""
    if budget.kind not in _UNITS or budget.limit >= budget.table.fixed:
        return ""
    unit, fixed = budget.kind.split("_")[1].replace("mb", "MB"), budget.table.fixed / _UNITS[budget.kind]
    return f" ({_number(round(fixed, 3))} {unit} are embeddings and the rest outside the blocks)"


def _check(budget: Budget, grid: Grid) -> None:
    shares, asked = budget.kind in _SHARES, f"{budget.kind} {_number(budget.target)}"
    smallest = budget.table.total(np.zeros_like(grid.last))
    if budget.limit < smallest:
        rule = "asks to remove more than the" if shares else "is below the"
        fix = "lower search.budget or" if shares else "raise search.budget or lower"
        named = _number(_nearest(budget, smallest))
        raise BudgetError(
            f"budget must be reachable: {asked} {rule} {named} that the search space can{_floor(budget)}; "
            f"{fix} the space's min"
        )
    if budget.limit >= budget.dense:
        rule = (
            "removes nothing; raise" if shares else f"is not below its {_number(_nearest(budget, budget.dense))}; lower"
        )
        raise BudgetError(f"budget must be smaller than the dense model: {asked} {rule} search.budget")


def project(preferences: np.ndarray, grid: Grid, budget: Budget) -> Architecture:
    """The architecture that a sampler's preferences mean under a budget.

    preferences [names]: wished share of each block's range of widths, 0..1 (others are clipped). All are scaled by one
    number s, towards 0 (s < 0, share·(1 + s)) or towards 1 (s > 0, 1 - (1 - share)·(1 - s)), and rounded to the nearest
    level. As s rises, blocks grow one level at a time; those growths are allowed in that order until one does not fit
    the budget, so that this core only gains levels when the limit rises. The rest of the budget is filled in the same
    order, where a block whose next level does not fit has grown for good. So the cost is never above the limit, no
    block can grow by a level without passing it, and an architecture of that kind, given as preferences (one per
    block), comes back unchanged: at s = 0 it is there, and nothing fits any more. O(n log n) in the number of levels.

    Raises: ValueError if a preference is not a number, or their count is not that of the grid's names.
    """
    wishes = np.asarray(preferences, dtype=float)
    if wishes.shape != (len(grid.names),) or np.isnan(wishes).any():
        raise ValueError(f"preferences must be {len(grid.names)} numbers, got {wishes.tolist()}")
    blocks, levels, middles = grid.climbs
    entries = budget.table.entries
    costs = entries[blocks, levels + 1] - entries[blocks, levels]
    wish = np.clip(wishes, 0.0, 1.0)[grid.preference][blocks]
    order = np.argsort(_scales(wish, middles), kind="stable")  # stable: a block's levels stay in order where equal
    left = budget.limit - budget.table.total(np.zeros_like(grid.last))
    return grid.architecture(_climb(blocks[order], costs[order], left, len(grid.last)))


def _scales(wish: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """The s from which the scaled wish reaches a middle (0 < middle < 1), -1..1; monotone in the middle."""
    below = middles <= wish
    up = 1.0 - (1.0 - middles) / np.where(below, 1.0, 1.0 - wish)
    scales: np.ndarray = np.where(below, middles / np.where(below, wish, 1.0) - 1.0, up)
    return scales


def _climb(blocks: np.ndarray, costs: np.ndarray, left: int, count: int) -> np.ndarray:
    """Levels [count] after all growths (their block and cost, in order) that fit what is left.

    One that does not fit takes the later ones of its block with it.
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
