"""Which trials go on to fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from aebert.search.record import TrialRecord


def pick(records: Sequence[TrialRecord], count: int, by: Literal["front", "score"]) -> list[TrialRecord]:
    """The candidates to fine-tune, each architecture once, the dense model never.

    by `front`: the best of each budget, then the second of each, and so on; by `score`: the best of all.
    """
    scored = [record for record in records if record.budget is not None and record.same_as is None]
    ranked = sorted(scored, key=lambda record: (-record.score, record.loss, record.number))
    if by == "score":
        return ranked[:count]
    place: dict[float, int] = {}
    keyed = []
    for record in ranked:
        assert record.budget is not None
        place[record.budget] = place.get(record.budget, -1) + 1
        keyed.append((place[record.budget], record.budget, record))
    return [record for _, _, record in sorted(keyed, key=lambda item: item[:2])][:count]
