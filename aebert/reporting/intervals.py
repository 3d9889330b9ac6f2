"""95 % intervals of metrics and of trials' scores."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from aebert.search.outcomes import Difference
from aebert.search.record import TrialRecord
from aebert.search.verdict import CONFIDENCE


def score_interval(record: TrialRecord) -> tuple[float, float] | None:
    """95 % interval of a trial's score, for rows like the search rows; None where its standard error is unknown.

    No score passes 1, so the interval ends there.
    """
    if record.std_error is None or math.isnan(record.std_error):
        return None
    score = Difference(record.score, record.std_error)
    return score.low(CONFIDENCE), min(1.0, score.high(CONFIDENCE))


def bootstrap(
    compute: Callable[[npt.NDArray[np.int64]], float], n: int, seed: int, resamples: int
) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of `compute`, which gets row indices [n] drawn with replacement.

    Resamples on which `compute` is NaN (a correlation of constant values) are left out; None if they are more than
    half, since the rest no longer stands for the data.

    Raises:  ValueError if there is no row or no resample.
    Source:  Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    if n < 1 or resamples < 1:
        raise ValueError(f"a bootstrap needs at least 1 row and 1 resample, got {n} and {resamples}")
    generator = np.random.default_rng(seed)
    values = np.array([compute(generator.integers(0, n, n)) for _ in range(resamples)], dtype=np.float64)
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < resamples:
        return None
    low, high = np.quantile(defined, (0.025, 0.975))
    return float(low), float(high)
