"""Which scores a picture shows: candidates that have collapsed would press the front flat."""

from __future__ import annotations

import math
from collections.abc import Iterator

from aebert.reporting.report import Report
from aebert.reporting.tables import headline, metric_of

# Below what must be seen, as many times its span, and as if the span were at least so many points.
_BELOW, _LEAST_SPAN = 1.5, 2.0


def score_floor(report: Report) -> float | None:
    """Lowest score shown, in points; None where all trials can be.

    Seen must be the front, the dense model, and the finalists with their intervals.
    """
    needed = [100 * score for score in _needed(report) if math.isfinite(score)]
    if not needed:
        return None
    floor = min(needed) - _BELOW * max(max(needed) - min(needed), _LEAST_SPAN)
    return floor if below(report, floor) else None


def below(report: Report, floor: float) -> int:
    """Number of trials that score less."""
    return sum(100 * headline(trial, report.info) < floor for trial in report.trials)


def _needed(report: Report) -> Iterator[float]:
    metric = report.info.metric
    yield from (headline(trial, report.info) for trial in report.front)
    if report.dense is not None:
        yield headline(report.dense, report.info)
    for row in report.finalists:
        scores = (metric_of(row.report_metrics, metric), metric_of(row.int8_report_metrics, metric))
        yield from (score for score in scores if score is not None)
        yield from (bound for pair in (row.report_interval, row.int8_report_interval) for bound in pair or ())
