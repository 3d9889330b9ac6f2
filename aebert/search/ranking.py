"""Which trials go on to fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from aebert.search.front import meets, nearness, own_budget, standing
from aebert.search.record import StudyInfo, TrialRecord, Verdict


def pick(
    records: Sequence[TrialRecord],
    verdicts: Sequence[Verdict],
    info: StudyInfo,
    count: int,
    by: Literal["front", "score"],
) -> list[TrialRecord]:
    """The candidates to fine-tune, each recipe once; never the dense model or one that a race stopped.

    Of a candidate that was repaired, that form is picked.

    by `front`: each budget in turn, from the mildest to the hardest, gives the first candidate of its queue that was
    not picked before, until there are enough. A budget's queue holds the candidates that meet it. The best one and
    those tied with it come first, the nearest to the dense model at the head: where the rows can't tell candidates
    apart, a higher score is mostly luck, and a candidate that answers as the dense model does will also score like it
    on new rows (measured in `quality_without_training.py`). The others follow by score. by `score`: the best of all.
    """
    scored = [r for r in records if r.budget is not None and r.same_as is None and r.stopped_at is None]
    scored = [r for r in scored if own_budget(r, info) is not None]
    repaired = {(r.architecture, r.base) for r in scored if r.repaired}
    scored = [r for r in scored if r.repaired or (r.architecture, r.base) not in repaired]
    ranked = sorted(scored, key=standing)
    if by == "score":
        return ranked[:count]
    queues = {target: _queue(ranked, verdicts, target, info) for target in info.targets}
    picked: list[TrialRecord] = []
    while len(picked) < count and any(queues.values()):
        for target in info.targets:
            if queues[target] and len(picked) < count:
                picked.append(queues[target][0])
                queues = {other: [one for one in queue if one is not picked[-1]] for other, queue in queues.items()}
    return picked


def _queue(
    ranked: Sequence[TrialRecord], verdicts: Sequence[Verdict], target: float, info: StudyInfo
) -> list[TrialRecord]:
    tied = {number for verdict in verdicts if verdict.budget == target for number in verdict.tied}
    within = [record for record in ranked if meets(record, target, info)]
    nearest = sorted((record for record in within if record.number in tied), key=nearness)
    return nearest + [record for record in within if record.number not in tied]
