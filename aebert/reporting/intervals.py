"""95 % intervals of metrics and of trials' scores."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from aebert.search.outcomes import Difference
from aebert.search.record import TrialRecord
from aebert.search.verdict import CONFIDENCE

# Metrics that are a share of independent rows, the only ones a binomial interval holds for.
SHARE_METRICS = frozenset({"accuracy"})

_Z95 = 1.959963984540054  # 97.5 % point of the standard normal distribution


def wilson(share: float, rows: int) -> tuple[float, float]:
    """95 % interval of a share observed on `rows` independent rows.

    Raises:  ValueError unless `share` is in 0..1 and there is a row.
    Source:  score interval without continuity correction, Wilson 1927, JASA 22:209.
    """
    if rows < 1:
        raise ValueError(f"an interval needs at least 1 row, got {rows}")
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"a share must be in 0..1, got {share}")
    z2 = _Z95**2
    centre = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    half = _Z95 / (1 + z2 / rows) * math.sqrt(share * (1 - share) / rows + z2 / (4 * rows**2))
    # at 0 and 1 the bound is exact in theory, and one rounding error off in floats
    low = 0.0 if share == 0.0 else centre - half
    high = 1.0 if share == 1.0 else centre + half
    return low, high


def interval(metric: str, value: float, rows: int) -> tuple[float, float] | None:
    """95 % interval of a metric known only by its value; None where it is not a share of rows (F1, correlations)."""
    return wilson(value, rows) if metric in SHARE_METRICS and not math.isnan(value) else None


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
