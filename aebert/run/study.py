"""The search of a run: what scores its candidates, and what the first trials propose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aebert.pruning.architecture import Architecture
from aebert.pruning.pruners import Pruner
from aebert.run.candidates import Candidates
from aebert.run.dense import Dense
from aebert.run.run import Run
from aebert.search.budget import Budget
from aebert.search.first import FIRST_TRIALS
from aebert.search.judge import Judge
from aebert.search.racing import LOOKS, RaceRows, doubts, race_rows
from aebert.search.schedule import FirstTrials
from aebert.search.scoring import SubnetworkScorer, dense_logits
from aebert.tasks.task import Row


def study_rows(run: Run, dense: Dense) -> RaceRows:
    """The search rows, and those without labels, in the order in which candidates are scored on them."""
    config = run.config
    return race_rows(
        _rows(run),
        run.task.spec,
        dense.tokenizer,
        config.data.max_length,
        config.search.max_batch_tokens,
        config.seed,
        doubt=_doubt(run, dense) if config.search.race else None,
        looks=LOOKS if config.search.race else (),
        unlabelled=len(run.unlabelled),
    )


def study_scorer(run: Run, dense: Dense, pruner: Pruner, rows: RaceRows) -> SubnetworkScorer:
    """What scores candidates on these rows."""
    search, judge = run.config.search, Judge(run.task.spec, run.config.search.objective)
    device, precision = search.device, search.precision
    return SubnetworkScorer(dense.model, pruner, rows, judge, device=device, precision=precision, int8=run.int8)


def _rows(run: Run) -> list[Row]:
    return [*run.with_targets([*run.task.rows["search"], *run.unlabelled])]


def _doubt(run: Run, dense: Dense) -> np.ndarray:
    """The doubt of each of these rows of the dense model, in the form that candidates are scored in.

    It is kept, since rows must come in the same order after a resume.
    """

    def make() -> dict[str, Any]:
        with run.progress.bar("dense model on the search rows", 1) as bar:
            prepared = run.encoded(_rows(run), dense.tokenizer, run.config.search.max_batch_tokens)
            logits = dense_logits(dense.model, prepared, run.config.search.device, run.int8)
            bar.advance()
        return {"doubt": doubts(run.task.spec, prepared.encoded, logits).tolist()}

    form = {} if run.int8 is None else {"int8": run.int8.describe()}
    more = {"unlabelled": run.unlabelled_digest} if run.unlabelled else {}
    stage = run.stage("doubt", {"dense": dense.digest, "rows": run.rows_digest("search"), **more, **form})
    return np.array(stage.run(make)["doubt"])


def first_trials(candidates: Candidates, budgets: Sequence[Budget]) -> FirstTrials:
    """What the methods and studies of the first trials propose for each budget, by origin."""
    grid, sources = candidates.grid, candidates.run.sources

    def propose(origin: str, budget: Budget) -> Architecture:
        if origin in sources:
            return sources[origin].propose(grid, budget)
        return FIRST_TRIALS[origin].propose(candidates, grid, budget)

    return {origin: [propose(origin, budget) for budget in budgets] for origin in candidates.run.first}
