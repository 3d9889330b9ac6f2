"""Which trials of a study matter: the Pareto front and the best of each budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from aebert.search.record import StudyInfo, TrialRecord

Cost = Literal["sparsity", "macs_removed"]


def cost_of(info: StudyInfo) -> Cost:
    """Name of the `TrialRecord` field that the study's budget limits."""
    return "sparsity" if info.budget_kind == "sparsity" else "macs_removed"


def removed(record: TrialRecord, cost: Cost) -> float:
    """Share of `cost` removed, 0 for the dense model."""
    return record.sparsity if cost == "sparsity" else record.macs_removed


def pareto_front(records: Sequence[TrialRecord], cost: Cost) -> list[TrialRecord]:
    """The records that no other beats in score or in share removed without losing in the other; by share, ascending.

    Of records with equal score and equal share, and so of repeated architectures, the lowest number stays. The dense
    model competes like any other. Infinite scores compare as numbers; a record whose score is NaN can't be on a front.
    O(n log n): in order of falling share, a record is on the front if its score tops all before it.
    """
    comparable = [record for record in records if not math.isnan(record.score)]
    ordered = sorted(comparable, key=lambda record: (-removed(record, cost), -record.score, record.number))
    front: list[TrialRecord] = []
    for record in ordered:
        if not front or record.score > front[-1].score:
            front.append(record)
    return front[::-1]


def best_per_budget(records: Sequence[TrialRecord]) -> dict[float, TrialRecord]:
    """The record with the highest score of each budget, budgets ascending.

    Ties go to the lower loss, then to the lower number. NaN scores are left out; the dense model has no budget.
    """
    return _first_per_budget([record for record in records if not math.isnan(record.score)], _by_score)


def uniform_per_budget(records: Sequence[TrialRecord]) -> dict[float, TrialRecord]:
    """The uniform architecture's first record of each budget, budgets ascending."""
    return _first_per_budget(
        [record for record in records if record.origin == "uniform"], lambda record: (record.number,)
    )


@dataclass(frozen=True)
class Gain:
    """What the search added at one budget: its best record and the uniform one."""

    budget: float
    best: TrialRecord
    uniform: TrialRecord

    @property
    def score(self) -> float:
        """Score won, 0 or more: the uniform record is itself a candidate for the best. Flattered by best-of-n."""
        return self.best.score - self.uniform.score


def gain_over_uniform(records: Sequence[TrialRecord]) -> dict[float, Gain]:
    """The search's gain at each budget that has a uniform record with a score, budgets ascending."""
    best, uniform = best_per_budget(records), uniform_per_budget(records)
    return {
        budget: Gain(budget, best[budget], record) for budget, record in uniform.items() if not math.isnan(record.score)
    }


@dataclass(frozen=True)
class Reference:
    """The corner that a hypervolume is counted from; records not better in both count nothing."""

    score: float
    removed: float = 0.0


def hypervolume(records: Sequence[TrialRecord], cost: Cost, reference: Reference) -> float:
    """Area between the reference and what the front dominates, in score × share removed; higher is better."""
    area, reached = 0.0, reference.removed
    for record in pareto_front(records, cost):
        share = removed(record, cost)
        if share > reached and record.score > reference.score:
            area += (share - reached) * (record.score - reference.score)
            reached = share
    return area


def _by_score(record: TrialRecord) -> tuple[float, ...]:
    loss = math.inf if math.isnan(record.loss) else record.loss
    return (-record.score, loss, record.number)


def _first_per_budget(
    records: Sequence[TrialRecord], order: Callable[[TrialRecord], tuple[float, ...]]
) -> dict[float, TrialRecord]:
    first: dict[float, TrialRecord] = {}
    for record in sorted(records, key=order):
        if record.budget is not None:
            first.setdefault(record.budget, record)
    return dict(sorted(first.items()))
