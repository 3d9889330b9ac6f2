"""A difference of scores on the same rows, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

GROUPS = 20  # groups of rows that a jackknife leaves out in turn
CONFIDENCE = 0.95  # of the intervals in verdicts and reports

# Half the width of a two-sided interval, in standard errors, by its confidence: quantiles of the t distribution with
# GROUPS - 1 degrees of freedom, since a jackknife over few groups is no surer of its own error. They are written down
# because reports need them, and importing scipy.stats takes longer than reading a study.
_STANDARD_ERRORS = {0.90: 1.7291328115213682, 0.95: 2.0930240544083087, 0.99: 2.8609346064649794}


@dataclass(frozen=True)
class Difference:
    """A difference of scores on the same rows, with its standard error.

    Its intervals are two-sided and may have a confidence of 0.9, 0.95 or 0.99.
    """

    value: float
    error: float

    def low(self, confidence: float) -> float:
        """Lower end of the interval."""
        return self.value - _STANDARD_ERRORS[confidence] * self.error

    def high(self, confidence: float) -> float:
        """Upper end of the interval."""
        return self.value + _STANDARD_ERRORS[confidence] * self.error
