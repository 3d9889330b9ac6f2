"""First trials from another study: its architectures, brought onto this study's model and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aebert.pruning.architecture import Architecture
from aebert.search.budget import Budget, project
from aebert.search.first import STUDY
from aebert.search.space import Grid


@dataclass(frozen=True)
class Source:
    """What another study gives this one.

    name: of its folder. full: its dense architecture. best: of each of its budgets, from the mildest to the hardest.
    """

    name: str
    full: Architecture
    best: tuple[Architecture, ...]

    @property
    def origin(self) -> str:
        """Who proposed its trials, as their records say."""
        return STUDY + self.name

    def propose(self, grid: Grid, budget: Budget) -> Architecture:
        """Of its architectures, laid over this model, the one whose cost is nearest to the budget, brought onto it.

        The cost counts as what the budget limits, since that is the share that each keeps of this very model, whatever
        the other study's budgets were of. Of two as near, the milder.
        """
        wished = [laid_over(one, self.full, grid) for one in self.best]
        distances = [abs(budget.table.total(grid.levels(one)) - budget.limit) for one in wished]
        return project(grid.preferences(wished[int(np.argmin(distances))]), grid, budget)


def laid_over(architecture: Architecture, full: Architecture, grid: Grid) -> Architecture:
    """An architecture that keeps of this grid's model what `architecture` keeps of `full`, at the same relative depth.

    Between the blocks of the other model, the share of the width is interpolated linearly, for heads and FFN apart.
    """
    count = grid.attention_blocks
    return Architecture(
        _widths(architecture.heads, full.heads, grid.full[:count]),
        _widths(architecture.ffn, full.ffn, grid.full[count:]),
    )


def _widths(kept: Sequence[int], full: Sequence[int], wanted: np.ndarray) -> tuple[int, ...]:
    shares = np.array(kept) / np.maximum(full, 1)
    found = np.interp(_depths(len(wanted)), _depths(len(kept)), shares) * wanted
    return tuple(map(int, np.rint(found)))


def _depths(blocks: int) -> np.ndarray:
    """Relative depth of each block: 0 for the first, 1 for the last; a single one is in the middle."""
    return np.linspace(0.0, 1.0, blocks) if blocks > 1 else np.array([0.5])
