"""95 % intervals of trials' scores."""

from __future__ import annotations

import math

from aebert.search.difference import CONFIDENCE, Difference
from aebert.search.record import TrialRecord


def score_interval(record: TrialRecord) -> tuple[float, float] | None:
    """95 % interval of a trial's score, for rows like the search rows; None if its standard error is unknown.

    No score is above 1, so the interval ends there.
    """
    if record.std_error is None or math.isnan(record.std_error):
        return None
    score = Difference(record.score, record.std_error)
    return score.low(CONFIDENCE), min(1.0, score.high(CONFIDENCE))
