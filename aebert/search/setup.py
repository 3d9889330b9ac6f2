"""What a search needs besides a scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aebert.models.shape import ModelShape
from aebert.search.budget import Budget, LatencyCosts, cost_table, make_budget
from aebert.search.judge import Judge
from aebert.search.kinds import KINDS, Basis
from aebert.search.record import StudyInfo
from aebert.search.space import Grid


@dataclass(frozen=True)
class SearchSetup:
    """The setup of a search.

    info: its `step` follows from the other fields, so it is set here.
    int8: whether a file-size budget is that of the quantized file. race: whether hopeless candidates are stopped early.
    prices: what a latency budget is counted with; None for other kinds.
    settings: everything that determines the trials, by dotted key; a study can't be resumed with other settings.
    """

    info: StudyInfo
    shape: ModelShape
    grid: Grid
    judge: Judge
    storage: str
    settings: Mapping[str, Any]
    int8: bool = True
    race: bool = True
    prices: LatencyCosts | None = None
    between: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        kind, basis = KINDS[self.info.budget_kind], Basis(self.shape, self.grid, self.info.length, self.int8)
        table = cost_table(kind, basis, self.prices)
        step = kind.step(table.step, table.total(self.grid.last))
        object.__setattr__(self, "info", replace(self.info, step=step))  # frozen, so this is how a field is set

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """One per target, from the mildest to the hardest."""
        return tuple(map(self._budget, self.info.targets))

    @property
    def rungs(self) -> tuple[Budget, ...]:
        """The budgets and what lies between them, from the mildest to the hardest."""
        return tuple(sorted((*self.budgets, *map(self._budget, self.between or ())), key=lambda one: -one.limit))

    def _budget(self, target: float) -> Budget:
        info = self.info
        return make_budget(info.budget_kind, target, info.length, self.shape, self.grid, self.int8, self.prices)
