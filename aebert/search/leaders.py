"""The best candidates of each budget with what they did on every row, for races and verdicts."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from aebert.search.front import meets, standing
from aebert.search.outcomes import Outcomes
from aebert.search.record import StudyInfo, TrialRecord

KEPT = 20  # candidates per budget whose outcomes are kept in memory


class Leaders:
    """The `KEPT` best of each budget, each architecture once, among those that saw all rows.

    A candidate counts for every budget that it meets, whichever it was proposed for. The dense model counts for none.
    """

    def __init__(self, info: StudyInfo) -> None:
        self._info = info
        self._best: dict[float, list[tuple[TrialRecord, Outcomes | None]]] = {target: [] for target in info.targets}
        self._count = dict.fromkeys(info.targets, 0)

    def add(self, record: TrialRecord, outcomes: Outcomes | None) -> None:
        """Take in a scored candidate; it is kept if it is good enough."""
        if record.budget is None or record.stopped_at is not None or record.same_as is not None:
            return
        for target, best in self._best.items():
            if meets(record, target, self._info):
                self._count[target] += 1
                bisect.insort(best, (record, outcomes), key=lambda pair: standing(pair[0]))
                del best[KEPT:]

    def of(self, budget: float) -> Sequence[tuple[TrialRecord, Outcomes | None]]:
        """The best candidates of a budget, best first."""
        return self._best[budget]

    def count(self, budget: float) -> int:
        """How many candidates met a budget and saw all rows, including those that are no longer kept."""
        return self._count[budget]

    def rival(self, budget: float) -> Outcomes | None:
        """Outcomes of the best candidate of a budget; None while there is none."""
        best = self._best[budget]
        return best[0][1] if best else None

    def neighbours(self, budget: float) -> list[TrialRecord]:
        """The best candidate of the next harder and of the next milder budget, where they have one."""
        targets = self._info.targets
        place = targets.index(budget)
        near = [targets[other] for other in (place + 1, place - 1) if 0 <= other < len(targets)]
        return [self._best[target][0][0] for target in near if self._best[target]]
