"""Cost tables: what each block costs at each level of a grid, in any unit, counted or measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aebert.errors import ConfigError
from aebert.search.space import Grid


@dataclass(frozen=True, eq=False)
class CostTable:
    """Costs that add up over blocks, in whole units (parameters, MACs, bytes, ns).

    fixed: the cost that no pruning removes. entries: int64 [blocks, most levels], the cost of each block at each level
    of the grid, which never falls as the level rises; rows of blocks with fewer levels repeat their last value.
    """

    unit: str
    fixed: int
    entries: np.ndarray

    def total(self, levels: np.ndarray) -> int:
        """Cost of the architecture with these levels [blocks]."""
        return self.fixed + int(self.entries[np.arange(len(self.entries)), levels].sum())

    @property
    def step(self) -> int:
        """The smallest extra cost, above 0, of growing a block by one level; 0 if growing costs nothing."""
        growths = np.diff(self.entries, axis=1)
        return int(growths[growths > 0].min(initial=np.iinfo(np.int64).max)) if growths.any() else 0


def linear_table(unit: str, fixed: int, unit_costs: np.ndarray, grid: Grid) -> CostTable:
    """A table in which a block costs its width times its entry of `unit_costs` [blocks]."""
    return CostTable(unit, fixed, np.asarray(unit_costs, dtype=np.int64)[:, None] * grid.ladder)


def measured_table(unit: str, fixed: float, rows: Sequence[Sequence[float]], grid: Grid) -> CostTable:
    """A table of given costs, one row per block with one cost per level of the grid, rounded to whole units.

    A row is made non-decreasing by its running maximum. Measurements are noisy, and a block that seemed to cost more
    than a wider one would make a search prefer the wider one as the cheaper.

    Raises: ConfigError when blocks or levels are not the grid's, or a cost is negative or not a finite number.
    """
    if len(rows) != len(grid.last):
        raise ConfigError(f"cost table must have a row for each of the {len(grid.last)} blocks, got {len(rows)} rows")
    entries = np.zeros(grid.ladder.shape, dtype=np.int64)
    for block, (row, last) in enumerate(zip(rows, grid.last, strict=True)):
        if len(row) != last + 1:
            raise ConfigError(f"row {block} of the cost table must have {last + 1} levels, got {len(row)}")
        entries[block, : last + 1] = _whole(row, f"row {block} of the cost table")
        entries[block, last + 1 :] = entries[block, last]
    return CostTable(unit, int(_whole([fixed], "fixed cost")[0]), np.maximum.accumulate(entries, axis=1))


def _whole(costs: Sequence[float], what: str) -> np.ndarray:
    values = np.asarray(costs, dtype=float)
    wrong = values[~(np.isfinite(values) & (values >= 0))]
    if len(wrong):
        raise ConfigError(f"{what} must be finite numbers ≥ 0, got {wrong[0]:g}; measure it again")
    whole: np.ndarray = np.rint(values).astype(np.int64)
    return whole
