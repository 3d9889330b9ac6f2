"""The search loop: ask, project onto the budget, score, record; resumable at any trial."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from aebert.models.shape import ModelShape
from aebert.progress import SILENT, Progress
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import cost, macs_removed, sparsity
from aebert.search.budget import Budget, make_budget, project
from aebert.search.proposer import Proposer
from aebert.search.record import Origin, StudyInfo, TrialRecord
from aebert.search.space import Grid
from aebert.search.storage import ATTRIBUTE, StudyDatabase


class Scored(Protocol):
    """What a scorer returns: metrics by name, and the mean loss."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """By name, higher is better."""

    @property
    def loss(self) -> float:
        """Mean over the rows, lower is better."""


Scorer = Callable[[Architecture], Scored]


@dataclass(frozen=True)
class SearchSetup:
    """What a search needs besides a scorer.

    settings: everything that determines the trials, flat, for refusing to resume with other ones.
    """

    info: StudyInfo
    shape: ModelShape
    grid: Grid
    objective: Literal["metric", "loss"]
    storage: str
    settings: Mapping[str, Any]

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """One per target, ascending."""
        info = self.info
        return tuple(make_budget(info.budget_kind, t, info.length, self.shape, self.grid) for t in info.targets)


def search(setup: SearchSetup, scorer: Scorer, progress: Progress = SILENT) -> list[TrialRecord]:
    """Run the study until it has `info.trials` trials, and return all that were scored.

    Trial 0 is the dense model, then comes the uniform architecture of every budget, then what the sampler proposes, the
    budgets in turn. An architecture that was scored before keeps its score. A trial is in the database when it is
    finished; one that was under way when the process died is asked again with the same result.

    Raises: BudgetError, StudyError.
    """
    budgets = setup.budgets
    database = StudyDatabase.open(setup.storage, setup.info, setup.settings)
    done = database.frozen_trials()
    run = _Run(setup, scorer, budgets, database.records())
    run.proposer.replay(done[1:])
    with progress.bar(f"search {setup.info.name}", setup.info.trials) as bar:
        bar.advance(len(done), run.best())
        for number in range(len(done), setup.info.trials):
            database.add(run.dense() if number == 0 else run.trial(number))
            bar.advance(1, run.best())
    return database.records()


class _Run:
    """The state of a search between two trials."""

    def __init__(
        self, setup: SearchSetup, scorer: Scorer, budgets: Sequence[Budget], records: Sequence[TrialRecord]
    ) -> None:
        self.setup, self.scorer, self.budgets = setup, scorer, budgets
        self.records = {record.number: record for record in records}
        self.known = {record.architecture: record for record in reversed(records)}
        info = setup.info
        self.proposer = Proposer(info.sampler, info.seed, setup.grid.names, info.targets)

    def best(self) -> str:
        """The current best, for the progress bar."""
        searched = [record for record in self.records.values() if record.budget is not None]
        if not searched:
            return ""
        best = max(searched, key=lambda record: (record.score, -record.number))
        value = best.metrics[self.setup.info.metric]
        return f"best {self.setup.info.metric} {100 * value:.1f} (trial {best.number}, {best.sparsity:.0%} removed)"

    def dense(self) -> FrozenTrial:
        """Trial 0: the yardstick. It has no parameters, since it is on no budget."""
        record = self._score(0, "dense", Architecture.dense(self.setup.shape), None)
        if record is None:
            reason = _failure(Architecture.dense(self.setup.shape))
            return optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs=reason)
        return optuna.trial.create_trial(values=self._values(record), user_attrs={ATTRIBUTE: record.to_dict()})

    def trial(self, number: int) -> FrozenTrial:
        """A trial on a budget: uniform for the first of each, sampled after that."""
        budget = self.budgets[(number - 1) % len(self.budgets)]
        first = number <= len(self.budgets)
        uniform = np.full(len(self.setup.grid.names), 0.5) if first else None
        asked = self.proposer.ask(number, budget.target, uniform)
        architecture = project(self.proposer.preferences(asked), self.setup.grid, budget)
        record = self._score(number, "uniform" if first else "sampled", architecture, budget.target)
        if record is None:
            return self.proposer.tell(asked, None, _failure(architecture))
        return self.proposer.tell(asked, self._values(record), {ATTRIBUTE: record.to_dict()})

    def _values(self, record: TrialRecord) -> list[float]:
        removed = record.sparsity if self.setup.info.budget_kind == "sparsity" else record.macs_removed
        return [record.score] if len(self.budgets) == 1 else [record.score, removed]

    def _score(
        self, number: int, origin: Origin, architecture: Architecture, budget: float | None
    ) -> TrialRecord | None:
        """Score an architecture, or take over its known score; None if score or loss is not finite."""
        before = self.known.get(architecture)
        if before is not None:
            record = replace(before, number=number, origin=origin, budget=budget, seconds=0.0, same_as=before.number)
        else:
            record = self._measure(number, origin, architecture, budget)
            if not (math.isfinite(record.score) and math.isfinite(record.loss)):
                return None
            self.known[architecture] = record
        self.records[number] = record
        return record

    def _measure(self, number: int, origin: Origin, architecture: Architecture, budget: float | None) -> TrialRecord:
        info, shape = self.setup.info, self.setup.shape
        started = time.perf_counter()
        scored = self.scorer(architecture)
        counted = cost(architecture, shape, info.length)
        return TrialRecord(
            number=number,
            origin=origin,
            architecture=architecture,
            budget=budget,
            score=scored.metrics[info.metric] if self.setup.objective == "metric" else -scored.loss,
            metrics=dict(scored.metrics),
            loss=scored.loss,
            params=counted.params,
            sparsity=sparsity(architecture, shape),
            macs=counted.macs,
            macs_removed=macs_removed(architecture, shape, info.length),
            seconds=time.perf_counter() - started,
        )


def _failure(architecture: Architecture) -> dict[str, Any]:
    return {"failure": "score or loss is not a finite number", "architecture": architecture.to_dict()}
