"""Which finalist of each budget is the one to use."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from aebert.reporting.rows import Behind, FinalistRow
from aebert.search.difference import CONFIDENCE
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes


def mark_chosen(rows: Sequence[FinalistRow], judge: Judge, outcomes: Callable[[str], Outcomes]) -> list[FinalistRow]:
    """The same rows, one of each budget marked as chosen by the select rows; the report rows have no say.

    What keeps a latency budget when it is measured comes before what does not. Of the best on the select rows and those
    that they can't tell from it, the first is chosen: a higher score among the tied is mostly luck, and of candidates
    that the search can't tell apart, the nearest to the dense model is picked first.

    rows: in the order in which they were picked. outcomes: of a finalist on the select rows, by its name; asked for
      only where a budget has several finalists to choose from.
    """
    targets = dict.fromkeys(row.budget for row in rows)
    compared = [one for target in targets for one in _compared(_eligible(rows, target), judge, outcomes)]
    chosen = {row.budget: row for row in reversed(compared) if row.behind is None or row.behind.tied}
    named = {row.name: row for row in compared}
    return [replace(named.get(row.name, row), chosen=chosen[row.budget].name == row.name) for row in rows]


def _eligible(rows: Sequence[FinalistRow], target: float | None) -> list[FinalistRow]:
    """Finalists of a budget that may be chosen: those that keep it, if there are any, and have a score."""
    ranks = {row.name: (row.meets_budget is not False, _score(row) > -math.inf) for row in rows if row.budget == target}
    return [row for row in rows if row.name in ranks and ranks[row.name] == max(ranks.values())]


def _compared(rows: Sequence[FinalistRow], judge: Judge, outcomes: Callable[[str], Outcomes]) -> list[FinalistRow]:
    """The same rows of one budget; how far each is behind the best, which is the first of equals."""
    best = max(rows, key=_score)
    return [row if row is best else replace(row, behind=_behind(best, row, judge, outcomes)) for row in rows]


def _behind(best: FinalistRow, row: FinalistRow, judge: Judge, outcomes: Callable[[str], Outcomes]) -> Behind:
    found = judge.difference(outcomes(best.name), outcomes(row.name))
    return Behind(best.name, found.value, found.low(CONFIDENCE), found.high(CONFIDENCE))


def _score(row: FinalistRow) -> float:
    score = row.select_score
    return -math.inf if score is None or math.isnan(score) else score
