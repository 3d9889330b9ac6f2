"""What a study records of a trial, made from what its scorer found out."""

from __future__ import annotations

import math
from typing import Any

from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import cost, macs_removed, sparsity
from aebert.pruning.recipe import Recipe
from aebert.search.axis import share_axis
from aebert.search.executor import Answer
from aebert.search.knowledge import Knowledge
from aebert.search.outcomes import Outcomes
from aebert.search.record import ATTRIBUTE, KNOWN_UNTIL, OUTCOMES, TrialRecord
from aebert.search.schedule import Turn
from aebert.search.setup import SearchSetup

NOT_FINITE = "score or loss is not a finite number"


def measured(
    setup: SearchSetup,
    known: Knowledge,
    number: int,
    turn: Turn,
    recipe: Recipe,
    found: Answer,
    library: str | None,
) -> tuple[TrialRecord | None, Outcomes | None]:
    """The record of a scored recipe, and what it did on each row; None if score or loss is not finite.

    known: of all trials before it. library: digest of the one that it was cut from, where that is a rung's.
    """
    info, judge, scored = setup.info, setup.judge, found.scored
    score = scored.metrics[info.metric] if judge.objective == "metric" else -scored.loss
    if not (math.isfinite(score) and math.isfinite(scored.loss)):
        return None, None
    outcomes = None if scored.stopped else scored.outcomes
    stopped_at = len(scored.outcomes) if scored.stopped and scored.outcomes is not None else None
    record = TrialRecord(
        number=number,
        origin=turn.origin,
        architecture=recipe.architecture,
        budget=None if turn.budget is None else turn.budget.target,
        score=score,
        metrics=dict(scored.metrics),
        loss=scored.loss,
        seconds=found.seconds,
        cost=(turn.budget or setup.budgets[0]).spent(recipe.architecture, setup.grid),
        std_error=None if outcomes is None else judge.error(outcomes),
        stopped_at=stopped_at,
        drift=0.0 if turn.budget is None and outcomes is not None else known.drift(outcomes),
        repaired=recipe.repaired,
        base=known.number_of(recipe.base),
        library=library,
        **_counted(setup, recipe.architecture),
    )
    return record, outcomes


def _counted(setup: SearchSetup, architecture: Architecture) -> dict[str, Any]:
    shape, length = setup.shape, setup.info.length
    counted = cost(architecture, shape, length)
    return {
        "params": counted.params,
        "sparsity": sparsity(architecture, shape),
        "macs": counted.macs,
        "macs_removed": macs_removed(architecture, shape, length),
    }


def sampled_values(setup: SearchSetup, record: TrialRecord) -> list[float]:
    """The values that the sampler learns from: the score, and with several budgets the share removed.

    The loss breaks ties of the score. It counts less than half a row of an accuracy, so it overturns no real
    difference.
    """
    tie_break = record.loss / (1 + record.loss) / (2 * setup.info.search_rows) if record.loss > 0 else 0.0
    score = record.score - (tie_break if setup.judge.objective == "metric" else 0.0)
    return [score] if len(setup.info.targets) == 1 else [score, share_axis(setup.info).cost(record)]


def attributes(
    architecture: Architecture, record: TrialRecord | None, outcomes: Outcomes | None, known_until: int | None
) -> dict[str, Any]:
    """What the database keeps of a trial besides parameters and values; without a record it failed."""
    if record is None:
        until = {} if known_until is None else {KNOWN_UNTIL: known_until}
        return {"failure": NOT_FINITE, "architecture": architecture.to_dict(), **until}
    kept = {} if outcomes is None else {OUTCOMES: outcomes.encode()}
    return {ATTRIBUTE: record.to_dict(), **kept}
