"""The search loop: ask, project onto the budget, score, record. It can be resumed at any trial."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from aebert.progress import SILENT, Progress
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import cost, macs_removed, sparsity
from aebert.search.axis import share_axis, study_axis
from aebert.search.budget import Budget, project
from aebert.search.front import Front
from aebert.search.leaders import Leaders
from aebert.search.outcomes import Outcomes
from aebert.search.proposer import Proposer
from aebert.search.record import ATTRIBUTE, OUTCOMES, Origin, TrialRecord, Verdict
from aebert.search.scoring import Scored
from aebert.search.setup import SearchSetup
from aebert.search.storage import StudyDatabase
from aebert.search.verdict import judge_budget

# With several budgets, every fourth proposal for a budget starts from the best architecture of a neighbouring budget.
NEIGHBOUR_EVERY = 4


class Scorer(Protocol):
    """What scores candidates."""

    def __call__(self, architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        """Score a candidate; with a rival to beat (its outcomes on all rows) it may be stopped early."""


# By method: its architecture for each budget.
FirstTrials = Mapping[Origin, Sequence[Architecture]]


def search(
    setup: SearchSetup, scorer: Scorer, first: FirstTrials, progress: Progress = SILENT
) -> tuple[list[TrialRecord], list[Verdict]]:
    """Run the study until it has `info.trials` trials; return all that were scored, and the verdict on each budget.

    Trial 0 is the dense model. Then come the first trials, method by method, each for all budgets, and then what the
    sampler proposes, for one budget after the other. With several budgets, some proposals are the best architecture of
    a neighbouring budget, brought onto this one. An architecture that was scored before keeps its score. A candidate
    that is clearly behind the best known one of its budget is stopped; the first trials never are. A trial is stored
    when it is finished. If the process dies, the trial that was running is proposed again, and gives the same result.

    Raises: BudgetError, StudyError.
    """
    budgets = setup.budgets
    with StudyDatabase.open(setup.storage, setup.info, setup.settings) as database:
        run = _Run(setup, scorer, budgets, first)
        done = run.replay(database)
        with progress.bar(f"search {setup.info.name}", setup.info.trials) as bar:
            bar.advance(done, run.best())
            for number in range(done, setup.info.trials):
                database.add(run.trial(number))
                bar.advance(1, run.best())
        verdicts = run.verdicts()
        database.store_verdicts(verdicts)
    return run.records, verdicts


class _Run:
    """The state of a search between two trials."""

    def __init__(self, setup: SearchSetup, scorer: Scorer, budgets: Sequence[Budget], first: FirstTrials) -> None:
        self.setup, self.scorer, self.budgets = setup, scorer, budgets
        info = setup.info
        self.records: list[TrialRecord] = []
        self.known: dict[Architecture, TrialRecord | None] = {}  # None: it has no finite score
        self.leaders, self.front = Leaders(info), self._front()
        self.firsts: dict[tuple[Origin, float], tuple[TrialRecord, Outcomes | None]] = {}
        self.dense: Outcomes | None = None
        self.first = [
            (origin, budget, architecture)
            for origin, each in first.items()
            for budget, architecture in zip(budgets, each, strict=True)
        ]
        self.proposer = Proposer(info.sampler, info.seed, setup.grid.names, info.targets)

    # --- what is known -------------------------------------------------------------------------------------------

    def replay(self, database: StudyDatabase) -> int:
        """Take in the trials of the database; return how many there are."""
        done = database.frozen_trials()
        self.proposer.replay(done[1:])
        for trial in done:
            values = trial.user_attrs.get(ATTRIBUTE)
            if values is None:
                self.known[Architecture.from_dict(trial.user_attrs["architecture"])] = None
                continue
            text = trial.user_attrs.get(OUTCOMES)
            self._remember(TrialRecord.from_dict(values), text and Outcomes.decode(text))
        self.front = self._front()
        return len(done)

    def _front(self) -> Front:
        """The front of all records, over costs that each of them has."""
        dense = self.budgets[0].cost(self.setup.grid.last)
        front = Front(study_axis(self.setup.info, self.records), dense)
        for record in self.records:
            front.add(record)
        return front

    def _remember(self, record: TrialRecord, outcomes: Outcomes | None) -> None:
        self.records.append(record)
        self.known.setdefault(record.architecture, record)
        self.leaders.add(record, outcomes)
        if record.origin == "dense":
            self.dense = outcomes
        if record.budget is not None and record.origin not in ("sampled", "neighbour"):
            if record.same_as is not None:
                outcomes = self._outcomes_of(record.same_as)
            self.firsts[record.origin, record.budget] = record, outcomes

    def _outcomes_of(self, number: int) -> Outcomes | None:
        """Outcomes of an earlier first trial, which another method proposed again."""
        return next((outcomes for record, outcomes in self.firsts.values() if record.number == number), None)

    def best(self) -> str:
        """The current best of the hardest budget that has one, for the progress bar."""
        for budget in reversed(self.budgets):
            if ranked := self.leaders.of(budget.target):
                best, metric = ranked[0][0], self.setup.info.metric
                return (
                    f"best {metric} {100 * best.metrics[metric]:.1f} (trial {best.number}, {best.sparsity:.0%} removed)"
                )
        return ""

    def verdicts(self) -> list[Verdict]:
        """One per budget that a candidate meets."""
        found = []
        for budget in self.budgets:
            first = {origin: pair for (origin, target), pair in self.firsts.items() if target == budget.target}
            found.append(judge_budget(budget.target, self.leaders, first, self.setup.judge, self.setup.info.seed))
        return [verdict for verdict in found if verdict is not None]

    # --- trials --------------------------------------------------------------------------------------------------

    def trial(self, number: int) -> FrozenTrial:
        """The next trial, finished."""
        if number == 0:
            return self._dense()
        if number <= len(self.first):
            origin, budget, architecture = self.first[number - 1]
            return self._finish(number, origin, budget, self.setup.grid.preferences(architecture))
        turn, place = divmod(number - 1 - len(self.first), len(self.budgets))
        budget = self.budgets[place]
        near = self._neighbour(turn, budget)
        return self._finish(number, "sampled" if near is None else "neighbour", budget, near)

    def _neighbour(self, turn: int, budget: Budget) -> np.ndarray | None:
        """Preferences of the best of a neighbouring budget; None unless it is their turn and they are new here."""
        if turn % NEIGHBOUR_EVERY != NEIGHBOUR_EVERY - 1:
            return None
        for record in self.leaders.neighbours(budget.target):
            preferences = self.setup.grid.preferences(record.architecture)
            if project(preferences, self.setup.grid, budget) not in self.known:
                return preferences
        return None

    def _dense(self) -> FrozenTrial:
        """Trial 0, which all others are compared with. It has no parameters, since it was made for no budget."""
        dense = Architecture.dense(self.setup.shape)
        record, outcomes = self._score(0, "dense", dense, None)
        state = optuna.trial.TrialState.COMPLETE if record else optuna.trial.TrialState.FAIL
        values = self._values(record) if record else None
        return optuna.trial.create_trial(state=state, values=values, user_attrs=_attributes(dense, record, outcomes))

    def _finish(self, number: int, origin: Origin, budget: Budget, preferences: np.ndarray | None) -> FrozenTrial:
        asked = self.proposer.ask(number, budget.target, preferences)
        architecture = project(self.proposer.preferences(asked), self.setup.grid, budget)
        record, outcomes = self._score(number, origin, architecture, budget)
        values = self._values(record) if record else None
        return self.proposer.tell(asked, values, _attributes(architecture, record, outcomes))

    def _values(self, record: TrialRecord) -> list[float]:
        """The values that the sampler learns from: the score, and with several budgets the share removed.

        The loss breaks ties of the score. It counts less than half a row of an accuracy, so it overturns no real
        difference.
        """
        tie_break = record.loss / (1 + record.loss) / (2 * self.setup.info.search_rows) if record.loss > 0 else 0.0
        score = record.score - (tie_break if self.setup.judge.objective == "metric" else 0.0)
        return [score] if len(self.budgets) == 1 else [score, share_axis(self.setup.info).cost(record)]

    def _score(
        self, number: int, origin: Origin, architecture: Architecture, budget: Budget | None
    ) -> tuple[TrialRecord | None, Outcomes | None]:
        """Score an architecture, or take over its known score; None if score or loss is not finite."""
        target = None if budget is None else budget.target
        outcomes = None
        if architecture in self.known:
            before = self.known[architecture]
            if before is None:
                return None, None
            record = replace(before, number=number, origin=origin, budget=target, seconds=0.0, same_as=before.number)
        else:
            measured, outcomes = self._measure(number, origin, architecture, budget)
            if measured is None:
                self.known[architecture] = None
                return None, None
            record = measured
        self.front.add(record)
        record = replace(record, hypervolume=self.front.hypervolume(self._reference(record)))
        self._remember(record, outcomes)
        return record, outcomes

    def _reference(self, record: TrialRecord) -> float:
        """The score that hypervolumes count from: 0 for metrics, three times the dense model's score for losses."""
        if self.setup.judge.objective == "metric":
            return 0.0
        dense = self.known.get(Architecture.dense(self.setup.shape)) or record
        return 3 * dense.score

    def _measure(
        self, number: int, origin: Origin, architecture: Architecture, budget: Budget | None
    ) -> tuple[TrialRecord | None, Outcomes | None]:
        info, judge = self.setup.info, self.setup.judge
        races = self.setup.race and origin in ("sampled", "neighbour") and budget is not None
        started = time.perf_counter()
        scored = self.scorer(architecture, self.leaders.rival(budget.target) if races and budget else None)
        seconds = time.perf_counter() - started
        score = scored.metrics[info.metric] if judge.objective == "metric" else -scored.loss
        if not (math.isfinite(score) and math.isfinite(scored.loss)):
            return None, None
        outcomes = None if scored.stopped else scored.outcomes
        stopped_at = len(scored.outcomes) if scored.stopped and scored.outcomes is not None else None
        record = TrialRecord(
            number=number,
            origin=origin,
            architecture=architecture,
            budget=None if budget is None else budget.target,
            score=score,
            metrics=dict(scored.metrics),
            loss=scored.loss,
            seconds=seconds,
            cost=(budget or self.budgets[0]).cost(self.setup.grid.levels(architecture)),
            std_error=None if outcomes is None else judge.error(outcomes),
            stopped_at=stopped_at,
            drift=self._drift(origin, outcomes),
            **self._counted(architecture),
        )
        return record, outcomes

    def _drift(self, origin: Origin, outcomes: Outcomes | None) -> float | None:
        dense = outcomes if origin == "dense" else self.dense
        if dense is None or outcomes is None:
            return None
        return float(np.abs(outcomes.losses.astype(np.float64) - dense.losses).mean())

    def _counted(self, architecture: Architecture) -> dict[str, Any]:
        shape, length = self.setup.shape, self.setup.info.length
        counted = cost(architecture, shape, length)
        return {
            "params": counted.params,
            "sparsity": sparsity(architecture, shape),
            "macs": counted.macs,
            "macs_removed": macs_removed(architecture, shape, length),
        }


def _attributes(architecture: Architecture, record: TrialRecord | None, outcomes: Outcomes | None) -> dict[str, Any]:
    """What the database keeps of a trial besides parameters and values."""
    if record is None:
        return {"failure": "score or loss is not a finite number", "architecture": architecture.to_dict()}
    kept = {} if outcomes is None else {OUTCOMES: outcomes.encode()}
    return {ATTRIBUTE: record.to_dict(), **kept}
