"""Which costs the front of a study is drawn over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aebert.search.kinds import KINDS, Kind
from aebert.search.record import StudyInfo, TrialRecord


@dataclass(frozen=True)
class Axis:
    """Costs of one kind, in the unit of its targets: shares removed, parameters, MB or ms.

    step: costs that differ by less count as one cost (see `pareto_front`).
    """

    kind: Kind
    step: float = 0.0

    def cost(self, record: TrialRecord) -> float:
        """What a trial costs: counted where that is possible, else as the search recorded it."""
        if self.kind.counted is not None:
            return self.kind.counted(record)
        if record.cost is None:
            raise ValueError(f"trial {record.number} must have a cost to be put on an axis of {self.kind.name}")
        return record.cost

    def place(self, record: TrialRecord) -> float:
        """Sort key that is lower for cheaper trials."""
        return -self.cost(record) if self.kind.is_share else self.cost(record)

    def is_one_cost(self, record: TrialRecord, other: TrialRecord) -> bool:
        """Whether two trials are less than one step apart; a step that rounding made smaller still is a whole one."""
        return abs(self.cost(record) - self.cost(other)) < self.step * (1 - 1e-6)

    def costs_no_more(self, cost: float, other: float) -> bool:
        """Whether a cost is no higher than another, or less than one step above it."""
        return self.kind.meets(cost, other) or abs(cost - other) < self.step * (1 - 1e-6)

    def removed(self, record: TrialRecord, dense: float) -> float:
        """Share of the dense model's cost that is removed."""
        return self.cost(record) if self.kind.is_share else 1 - self.cost(record) / dense


def study_axis(info: StudyInfo, records: Sequence[TrialRecord]) -> Axis:
    """The costs that the study's budgets limit, or the share removed where an old study did not record those costs."""
    kind = KINDS[info.budget_kind]
    known = kind.counted is not None or all(record.cost is not None for record in records)
    return Axis(kind, info.step) if known else share_axis(info)


def share_axis(info: StudyInfo) -> Axis:
    """The share of parameters or of MACs that is removed, whatever unit the study's budgets are in."""
    return Axis(KINDS[KINDS[info.budget_kind].share])
