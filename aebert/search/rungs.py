"""The rungs of a study's ladder: its budgets, and what is put between them where they lie far apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from aebert.errors import BudgetError
from aebert.search.budget import Budget

# The library of the dense model serves sub-networks that keep at least this share of the cost that can be pruned.
FIRST = 0.5
# From there on, at least this share of what a rung keeps is kept by the next one.
STEP = 0.7
_SLACK = 0.1  # of a step: what is fixed in the blocks makes a budget keep a little less than its target says


def between(budgets: Sequence[Budget], margin: float = 0.0) -> tuple[float, ...]:
    """Targets of the rungs that go between the dense model and the budgets, which are sorted from the mildest on.

    The first rung goes where what is kept of the cost that pruning can remove reaches `FIRST`. From there on, it falls
    by the same factor from rung to rung, which is `STEP` or more. A budget that is near enough has no rung before it.
    margin: as of `Kind.limit`.
    """
    found = []
    for above, below in pairwise([1.0, *map(_kept, budgets)]):
        start = min(above, FIRST)
        steps = math.ceil(math.log(below / start) / math.log(STEP) - _SLACK) if 0 < below < start else 1
        if above > FIRST and steps > 1:
            found.append(FIRST)
        found += [start * (below / start) ** (step / steps) for step in range(1, steps)]
    budget = budgets[0]
    totals = [round(budget.table.fixed + kept * (budget.dense - budget.table.fixed)) for kept in found]
    return tuple(budget.kind.hardest(total, budget.dense, margin) for total in totals)


def _kept(budget: Budget) -> float:
    """Share of the cost that can be pruned which the budget keeps."""
    return (budget.limit - budget.table.fixed) / (budget.dense - budget.table.fixed)


def check_given(rungs: Sequence[float], budgets: Sequence[Budget]) -> tuple[float, ...]:
    """Targets of given rungs without those of the budgets themselves.

    Raises: BudgetError for one that is not between the dense model and the hardest budget.
    """
    hardest, kind = budgets[-1], budgets[-1].kind
    dense = kind.cost(hardest.dense, hardest.dense)
    for rung in rungs:
        if not (dense < rung <= hardest.target if kind.is_share else hardest.target <= rung < dense):
            raise BudgetError(
                f"search.rungs must lie between the dense model ({dense:.10g}) and the hardest budget "
                f"({hardest.target:.10g}), got {rung:.10g}; leave it out or add it to search.budget"
            )
    targets = [budget.target for budget in budgets]
    return tuple(dict.fromkeys(rung for rung in rungs if rung not in targets))
