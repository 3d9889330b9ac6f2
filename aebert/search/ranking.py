"""Which trials go on to fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from aebert.search.front import meets, standing
from aebert.search.record import StudyInfo, TrialRecord


def pick(
    records: Sequence[TrialRecord], info: StudyInfo, count: int, by: Literal["front", "score"]
) -> list[TrialRecord]:
    """The candidates to fine-tune, each architecture once; the dense model and those that a race stopped never.

    by `front`: for each budget in turn, from the mildest to the hardest, the best that meets it and was not yet picked,
    until there are enough; by `score`: the best of all.
    """
    scored = [r for r in records if r.budget is not None and r.same_as is None and r.stopped_at is None]
    ranked = sorted(scored, key=standing)
    if by == "score":
        return ranked[:count]
    picked: list[TrialRecord] = []
    while ranked and len(picked) < count:
        before = len(picked)
        for target in info.targets:
            best = next((record for record in ranked if meets(record, target, info)), None)
            if best is not None and len(picked) < count:
                picked.append(best)
                ranked.remove(best)
        if len(picked) == before:  # what is left meets no budget
            break
    return picked
