"""Budgets that every candidate meets: preferences in, the architecture that fills the budget out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from aebert.errors import BudgetError
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import cost
from aebert.search.space import Grid

BudgetKind = Literal["sparsity", "macs"]


@dataclass(frozen=True)
class Budget:
    """The most that an architecture may cost, in whole units (parameters, or MACs at a length).

    unit_costs [blocks]: cost of one unit of each block of the grid; fixed: cost that no pruning removes.
    target: share of the dense cost to remove, from which `limit` follows.
    """

    kind: BudgetKind
    target: float
    limit: int
    fixed: int
    unit_costs: np.ndarray


def make_budget(kind: BudgetKind, target: float, length: int, shape: ModelShape, grid: Grid) -> Budget:
    """The budget that removes at least `target` of the encoder's cost. Raises: BudgetError if the space can't."""
    dense = cost(Architecture.dense(shape), shape, length)
    if kind == "sparsity":
        total, unit_costs = dense.encoder_params, np.array([*shape.head_params, *shape.ffn_params])
    else:
        heads = np.array(shape.head_macs) + 2 * shape.head_size * length
        total, unit_costs = dense.macs, length * np.array([*heads, *shape.ffn_macs])
    fixed = total - int(unit_costs @ np.array([*shape.heads, *shape.ffn]))
    limit = math.floor(total * (1 - Fraction(str(float(target)))))  # exact: 0.9 is nine tenths, not the float below
    smallest = fixed + int(unit_costs @ grid.low)
    if smallest > limit:
        most = math.floor(100_000 * Fraction(total - smallest, total)) / 100_000  # rounded down: it can be asked for
        raise BudgetError(
            f"budget must be reachable: {kind} {target:g} asks to remove more than the {most:.5f} that the search "
            "space can; lower search.budget or the space's min"
        )
    return Budget(kind, target, limit, fixed, unit_costs)


def project(preferences: np.ndarray, grid: Grid, budget: Budget) -> Architecture:
    """The architecture that a sampler's preferences mean under a budget.

    preferences [names]: wished share of each block's range of widths, 0..1 (others are clipped). All are scaled
    by one number, towards 0 when the wish costs too much and towards 1 when it leaves budget unused, and rounded down
    to the grid; what is left of the budget is filled one grid step at a time, first where rounding took most. So the
    cost is never above the limit, no block can grow by a grid step without passing it, and an architecture of that
    kind, given as preferences (one per block), comes back unchanged.

    Raises: ValueError if a preference is not a number, or their count is not that of the grid's names.
    """
    wishes = np.asarray(preferences, dtype=float)
    if wishes.shape != (len(grid.names),) or np.isnan(wishes).any():
        raise ValueError(f"preferences must be {len(grid.names)} numbers, got {wishes.tolist()}")
    wish = np.clip(wishes[grid.preference], 0.0, 1.0)
    low, high = -1.0, 1.0  # at -1 all blocks are at their smallest, which fits; at 1 the model is dense
    if _total(_levels(wish, high, grid), grid, budget) <= budget.limit:
        low = high
    for _ in range(50):
        middle = (low + high) / 2
        fits = _total(_levels(wish, middle, grid), grid, budget) <= budget.limit
        low, high = (middle, high) if fits else (low, middle)
    return grid.architecture(_fill(_levels(wish, low, grid), _widths(wish, low, grid), grid, budget))


def _widths(wish: np.ndarray, scale: float, grid: Grid) -> np.ndarray:
    """Widths as fractions: the wish scaled towards 0 (scale < 0) or 1 (scale > 0); monotone in scale."""
    shares = wish * (1.0 + scale) if scale <= 0 else 1.0 - (1.0 - wish) * (1.0 - scale)
    widths: np.ndarray = grid.low + shares * (grid.full - grid.low)
    return widths


def _levels(wish: np.ndarray, scale: float, grid: Grid) -> np.ndarray:
    return grid.level_below(_widths(wish, scale, grid))


def _total(levels: np.ndarray, grid: Grid, budget: Budget) -> int:
    return budget.fixed + int(budget.unit_costs @ grid.widths(levels))


def _fill(levels: np.ndarray, wanted: np.ndarray, grid: Grid, budget: Budget) -> np.ndarray:
    """Raise levels one at a time while the budget allows, always where most of a step is missing to `wanted`."""
    while True:
        steps = grid.widths(np.minimum(levels + 1, grid.last)) - grid.widths(levels)
        left = budget.limit - _total(levels, grid, budget)
        possible = (steps > 0) & (steps * budget.unit_costs <= left)
        if not possible.any():
            return levels
        missing = (wanted - grid.widths(levels)) / np.maximum(steps, 1)
        levels = levels + (np.arange(len(levels)) == np.argmax(np.where(possible, missing, -np.inf)))
