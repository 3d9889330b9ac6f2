"""Which trials of a study matter: the Pareto front and the best of each budget."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aebert.search.axis import Axis
from aebert.search.kinds import KINDS
from aebert.search.record import StudyInfo, TrialRecord


def pareto_front(records: Sequence[TrialRecord], axis: Axis) -> list[TrialRecord]:
    """The records that no other beats in score or cost without losing in the other, from the dearest to the cheapest.

    Costs less than one step of the axis apart are one cost, of which only the best score stays. From the dearest
    record on, which has the best score of all, a record stays unless it is less than one step cheaper than the last
    that stayed. So those that stay are a step or more apart, what goes is less than a step cheaper than a better one
    that stays, and a chain of close costs is not swallowed by its dear end.

    Candidates that a race stopped are left out, since their scores are estimates. Of records with equal score and equal
    cost, and so of repeated architectures, the lowest number stays. The dense model competes like any other. Infinite
    scores compare as numbers; a record whose score is NaN can't be on a front.
    """
    front: list[TrialRecord] = []
    for record in _undominated(records, axis):
        if not front or not axis.is_one_cost(front[-1], record):
            front.append(record)
    return front


def _undominated(records: Sequence[TrialRecord], axis: Axis) -> list[TrialRecord]:
    """The front of costs as they are, whatever the step of the axis; from the dearest to the cheapest.

    O(n log n): in order of rising cost, a record is on the front if its score tops all before it.
    """
    comparable = [record for record in records if _is_scored(record)]
    ordered = sorted(comparable, key=lambda record: (axis.place(record), -record.score, record.number))
    front: list[TrialRecord] = []
    for record in ordered:
        if not front or record.score > front[-1].score:
            front.append(record)
    return front[::-1]


def _is_scored(record: TrialRecord) -> bool:
    return record.stopped_at is None and not math.isnan(record.score)


def spent(record: TrialRecord, info: StudyInfo) -> float:
    """What a record costs in the unit of the study's budgets: share removed, parameters, MB, or ms.

    A size that was not recorded is taken to be the budget that the record was made for, which it can't pass; infinite
    for the dense model, which has none.
    """
    kind = KINDS[info.budget_kind]
    if record.cost is not None:
        return record.cost
    if kind.counted is not None:
        return kind.counted(record)
    return math.inf if record.budget is None else record.budget


def meets(record: TrialRecord, target: float, info: StudyInfo) -> bool:
    """Whether a record costs no more than a budget allows, whichever budget it was made for."""
    return KINDS[info.budget_kind].meets(spent(record, info), target)


def best_per_budget(records: Sequence[TrialRecord], info: StudyInfo) -> dict[float, TrialRecord]:
    """The record with the highest score of all that meet each budget, from the mildest budget to the hardest.

    It may have been made for a harder budget, so that the best score never rises from a budget to a harder one. Ties go
    to the lower loss, then to the lower number. Left out: NaN scores, candidates that a race stopped, and budgets that
    no record meets.
    """
    ordered = sorted((record for record in records if _is_scored(record)), key=standing)
    first = ((target, _first(record for record in ordered if meets(record, target, info))) for target in info.targets)
    return {target: record for target, record in first if record is not None}


def uniform_per_budget(records: Sequence[TrialRecord], info: StudyInfo) -> dict[float, TrialRecord]:
    """The uniform architecture's first record of each budget, from the mildest budget to the hardest."""
    uniform = sorted((record for record in records if record.origin == "uniform"), key=lambda record: record.number)
    first = ((target, _first(record for record in uniform if record.budget == target)) for target in info.targets)
    return {target: record for target, record in first if record is not None}


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


def gain_over_uniform(records: Sequence[TrialRecord], info: StudyInfo) -> dict[float, Gain]:
    """The search's gain at each budget that has a uniform record with a score, from the mildest to the hardest."""
    best, uniform = best_per_budget(records, info), uniform_per_budget(records, info)
    scored = {budget: record for budget, record in uniform.items() if not math.isnan(record.score)}
    return {budget: Gain(budget, best[budget], record) for budget, record in scored.items() if budget in best}


@dataclass(frozen=True)
class Reference:
    """The corner that a hypervolume is counted from; records not better in both count nothing.

    dense: what the dense model costs, which shares are of; not needed where costs are shares themselves.
    """

    score: float
    removed: float = 0.0
    dense: float = 1.0


def hypervolume(records: Sequence[TrialRecord], axis: Axis, reference: Reference) -> float:
    """Area between the reference and what the records dominate, in score × share removed; higher is better.

    Share removed is that of what the dense model costs by the axis. Its step plays no part, so that one more record
    never makes the area smaller.
    """
    area, reached = 0.0, reference.removed
    for record in _undominated(records, axis):
        share = axis.removed(record, reference.dense)
        if share > reached and record.score > reference.score:
            area += (share - reached) * (record.score - reference.score)
            reached = share
    return area


class Front:
    """The records so far that no other dominates; takes in one at a time.

    dense: what the dense model costs by the axis.
    """

    def __init__(self, axis: Axis, dense: float) -> None:
        self._axis, self._dense = axis, dense
        self._records: list[TrialRecord] = []

    def add(self, record: TrialRecord) -> None:
        """Take in a record; only what no other dominates stays in memory."""
        self._records = _undominated([*self._records, record], self._axis)

    def hypervolume(self, score: float) -> float:
        """Area that they dominate above `score` and beyond the dense model."""
        return hypervolume(self._records, self._axis, Reference(score, dense=self._dense))


def standing(record: TrialRecord) -> tuple[float, float, int]:
    """Sort key: best score first, ties by the lower loss, then by the lower number."""
    loss = math.inf if math.isnan(record.loss) else record.loss
    return (-record.score, loss, record.number)


def nearness(record: TrialRecord) -> tuple[float, float, float, int]:
    """Sort key: least drift from the dense model first, then as in `standing`; an unknown drift last."""
    return (math.inf if record.drift is None else record.drift, *standing(record))


def _first(records: Iterable[TrialRecord]) -> TrialRecord | None:
    return next(iter(records), None)
