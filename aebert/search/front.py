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

    Costs that are less than one step of the axis apart count as one cost, and only the best record of such a cost
    stays. The dearest record of a front has the best score, and always stays. From there towards the cheapest, a record
    stays if it is at least one step cheaper than the last one that stayed. So the records that stay are at least one
    step apart, and each record that goes is less than one step cheaper than one that stays and scores higher. In a
    chain of close costs, the dear end therefore removes only what is within one step of it.

    Candidates that a race stopped are left out, since their scores are estimates. Of records with equal score and equal
    cost, as repeated architectures have, the lowest number stays. The dense model competes like any other. Infinite
    scores compare as numbers; a record whose score is NaN can't be on a front.
    """
    front: list[TrialRecord] = []
    for record in _undominated(records, axis):
        if not front or not axis.is_one_cost(front[-1], record):
            front.append(record)
    return front


def _undominated(records: Sequence[TrialRecord], axis: Axis) -> list[TrialRecord]:
    """The front without regard to the step of the axis, from the dearest to the cheapest.

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

    The cost of a record that did not store it and can't be counted is taken to be the budget that it was made for,
    which it can't pass. That of the dense model, which has no budget, is then infinite.
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


def own_budget(record: TrialRecord, info: StudyInfo) -> float | None:
    """The hardest budget of the study that a record meets; None where it meets none, as on a rung above all of them."""
    met = [target for target in info.targets if meets(record, target, info)]
    return met[-1] if met else None


def best_per_budget(records: Sequence[TrialRecord], info: StudyInfo) -> dict[float, TrialRecord]:
    """The record with the highest score of all that meet each budget, from the mildest budget to the hardest.

    It may have been made for a harder budget, so that the best score never rises from a budget to a harder one. Ties go
    to the lower loss, then to the lower number. NaN scores and candidates that a race stopped are left out, and so are
    budgets that no record meets.
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
class Reference:
    """The corner that a hypervolume is counted from; records that are not better in both add nothing.

    dense: what the dense model costs, for turning costs into shares of it; unused where costs are shares already.
    """

    score: float
    removed: float = 0.0
    dense: float = 1.0


def hypervolume(records: Sequence[TrialRecord], axis: Axis, reference: Reference) -> float:
    """Area between the reference and what the records dominate, in score × share removed; higher is better.

    The share removed is that of the dense model's cost. The step of the axis is ignored, so that one more record never
    makes the area smaller.
    """
    area, reached = 0.0, reference.removed
    for record in _undominated(records, axis):
        share = axis.removed(record, reference.dense)
        if share > reached and record.score > reference.score:
            area += (share - reached) * (record.score - reference.score)
            reached = share
    return area


class Front:
    """The records so far that no other dominates, fed one at a time.

    dense: what the dense model costs on the axis.
    """

    def __init__(self, axis: Axis, dense: float) -> None:
        self._axis, self._dense = axis, dense
        self._records: list[TrialRecord] = []

    def add(self, record: TrialRecord) -> None:
        """Take in a record; only records that no other dominates stay in memory."""
        self._records = _undominated([*self._records, record], self._axis)

    def hypervolume(self, score: float) -> float:
        """Area that the records dominate above `score` and beyond the dense model."""
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
