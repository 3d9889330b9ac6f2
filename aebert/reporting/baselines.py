"""What the finalists win over what people do by hand: the first layers of the dense model, fine-tuned alike."""

from __future__ import annotations

import math
from collections.abc import Iterator

from aebert.reporting import units
from aebert.reporting.costs import cost_text, finalist_cost
from aebert.reporting.report import Report
from aebert.reporting.rows import FileDifference, FinalistRow
from aebert.reporting.shipped import FLOAT32

COLUMN = "vs layers"  # title of the column of differences from the baseline of a finalist


def has_baselines(report: Report) -> bool:
    """Whether finalists are held against anything."""
    return any(row.baseline is not None for row in report.finalists)


def baseline_difference(row: FinalistRow, report: Report) -> FileDifference | None:
    """By how much the file that ships of a finalist scores above that of its baseline on the report rows.

    None for all other rows, and before the files are scored.
    """
    other = _baseline(row, report)
    return None if other is None else report.difference(_shipped(row), _shipped(other))


def baseline_note(report: Report) -> Iterator[str]:
    """One sentence for each finalist on whether it beats its baseline, then what baselines are."""
    for row in report.finalists:
        other, found = _baseline(row, report), baseline_difference(row, report)
        if other is not None and found is not None:
            yield _verdict(row, other, found) + _dearer(row, other, report)
    for row in report.finalists:
        if row.guess is not None and _is_guessing(row.select_score, row.guess):
            yield _guesses(row, row.guess)
    yield (
        "first-N-layers are the first layers of the dense model, the rest dropped, fine-tuned exactly as the finalists "
        "are: as many layers as cost no more than the finalist, or less than one step of the grid more. They are "
        f"compared in the files that ship, row by row on the report rows ({COLUMN}, in points), and are never chosen."
    )


def _is_guessing(score: float | None, guess: float) -> bool:
    """Whether a score is not above that of guessing, also where it is not a number; no where guessing has none."""
    return not math.isnan(guess) and not (score is not None and score > guess)


def _guesses(row: FinalistRow, guess: float) -> str:
    return (
        f"{row.name} scores NO BETTER THAN GUESSING on the select rows ({units.points(row.select_score)}, guessing "
        f"{units.points(guess)}): it was trained too little to say anything of the finalists; raise finalists.epochs "
        "or finalists.learning_rate."
    )


def _baseline(row: FinalistRow, report: Report) -> FinalistRow | None:
    return next((other for other in report.finalists if other.name == row.baseline), None)


def _shipped(row: FinalistRow) -> str:
    return f"{row.name} {FLOAT32 if row.int8_report_metrics is None else 'int8'}"


def _verdict(row: FinalistRow, other: FinalistRow, found: FileDifference) -> str:
    assert other.layers is not None
    first = "the first layer" if other.layers == 1 else f"the first {other.layers} layers"
    if math.isnan(found.low):
        return f"Whether {row.name} beats {first} can't be told: {units.difference(found.value)} points."
    says = "beats" if found.low > 0 else "LOSES to" if found.high < 0 else "does not beat"
    between = f"{units.difference(found.low)} to {units.difference(found.high)}"
    return f"{row.name} {says} {first}: {units.difference(found.value)} points ({between})."


def _dearer(row: FinalistRow, other: FinalistRow, report: Report) -> str:
    """Where even one layer costs more than the finalist, so that the comparison is in the baseline's favour."""
    mine, theirs = finalist_cost(row, report), finalist_cost(other, report)
    if mine is None or theirs is None or report.axis.costs_no_more(theirs, mine):
        return ""
    return (
        f" Even one layer costs more than it ({cost_text(theirs, report)} against {cost_text(mine, report)}), so the "
        "baseline is the dearer one."
    )
