"""Which scores a picture shows: candidates that have collapsed would press the front flat."""

from __future__ import annotations

import math
from collections.abc import Iterator

from aebert.reporting.report import Report
from aebert.reporting.tables import headline

# What is shown goes on below the lowest score that must be seen by this many times the span of those scores, where a
# smaller span counts as the least one (in points).
_BELOW, _LEAST_SPAN = 1.5, 2.0


def score_floor(report: Report) -> float | None:
    """The lowest score shown, in points; None if all trials can be shown.

    The front and the dense model are always shown.
    """
    needed = [100 * score for score in _needed(report) if math.isfinite(score)]
    if not needed:
        return None
    floor = min(needed) - _BELOW * max(max(needed) - min(needed), _LEAST_SPAN)
    return floor if below(report, floor) else None


def below(report: Report, floor: float) -> int:
    """Number of trials that score less than the floor."""
    return sum(100 * headline(trial, report.info) < floor for trial in report.trials)


def _needed(report: Report) -> Iterator[float]:
    yield from (headline(trial, report.info) for trial in report.front)
    if report.dense is not None:
        yield headline(report.dense, report.info)
