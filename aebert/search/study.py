"""The search loop: ask, project onto the budget, score, record. It can be resumed at any trial."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial

from aebert.errors import StudyError
from aebert.progress import SILENT, Progress
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import cost, macs_removed, sparsity
from aebert.pruning.recipe import Recipe
from aebert.search.axis import share_axis, study_axis
from aebert.search.budget import Budget, project
from aebert.search.front import Front
from aebert.search.knowledge import Knowledge
from aebert.search.outcomes import Outcomes
from aebert.search.proposer import Proposer
from aebert.search.record import ATTRIBUTE, OUTCOMES, TrialRecord, Verdict
from aebert.search.schedule import Descent, FirstTrials, Rounds, Schedule, Turn, first_turns, most_levels
from aebert.search.scoring import Scored
from aebert.search.setup import SearchSetup
from aebert.search.storage import StudyDatabase
from aebert.search.verdict import judge_budget


class Scorer(Protocol):
    """What scores candidates that are cut from the dense model."""

    def __call__(self, architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        """Score a candidate; with a rival to beat (its outcomes on all rows) it may be stopped early."""


class Ladder(Protocol):
    """Builds the libraries of rungs, and scores what is made of them or repaired."""

    def propose(self, base: Recipe | None, budget: Budget) -> Architecture:
        """The architecture with the least sum of errors in the library of a base; None is the dense model."""

    def library(self, base: Recipe) -> str:
        """Digest of the library of a base."""

    def score(self, recipe: Recipe, rival: Outcomes | None = None) -> Scored:
        """Score a candidate, as a `Scorer` does."""

    def keep(self, bases: Sequence[Recipe]) -> None:
        """Delete the libraries of all other bases."""


def search(
    setup: SearchSetup, scorer: Scorer, first: FirstTrials, progress: Progress = SILENT, ladder: Ladder | None = None
) -> tuple[list[TrialRecord], list[Verdict]]:
    """Run the study until it has `info.trials` trials, or until its schedule is settled where that is None.

    Returns all trials that were scored, and the verdict on each budget.

    Trial 0 is the dense model. Then come the first trials, method by method, each for all budgets. Without a ladder,
    the sampler then proposes candidates for one budget after the other; with several budgets, some proposals are the
    best architecture of a neighbouring budget, brought onto this one. With a ladder, the search goes down its rungs
    (see `Descent`). A recipe that was scored before keeps its score. A candidate that is clearly behind the best known
    one of its budget is stopped; only what the sampler or a neighbour proposed can be. A trial is stored when it is
    finished. If the process dies, the trial that was running is proposed again, and gives the same result.

    Raises: BudgetError, StudyError.
    """
    run = _Run(setup, scorer, first, ladder)  # first: a budget out of reach should leave no database behind
    with StudyDatabase.open(setup.storage, setup.info, setup.settings) as database:
        done = run.replay(database)
        with progress.bar(f"search {setup.info.name}", setup.info.trials) as bar:
            bar.advance(done, run.best())
            for number, turn in run.turns_from(done):
                database.add(run.trial(number, turn))
                bar.advance(1, run.best())
        verdicts = run.verdicts()
        database.store_verdicts(verdicts)
    return run.known.records, verdicts


class _Run:
    """The state of a search between two trials."""

    def __init__(self, setup: SearchSetup, scorer: Scorer, first: FirstTrials, ladder: Ladder | None) -> None:
        self.setup, self.scorer, self.ladder, self.budgets = setup, scorer, ladder, setup.budgets
        info = setup.info
        self.known = Knowledge(info)
        self.front = self._front()
        self.proposer = Proposer(info.sampler, info.seed, setup.grid.names, info.targets)
        self.schedule: Schedule = (Rounds if ladder is None else Descent)(setup, self.known)
        self.turns = chain(first_turns(setup, first), self.schedule.turns())

    # --- what is known -------------------------------------------------------------------------------------------

    def replay(self, database: StudyDatabase) -> int:
        """Take in the trials of the database; return how many there are.

        Raises: StudyError where they are not those that a search with these settings makes.
        """
        done = database.frozen_trials()
        self.proposer.replay(done[1:])
        for trial in done:
            turn, values = next(self.turns), trial.user_attrs.get(ATTRIBUTE)
            if values is None:
                architecture = Architecture.from_dict(trial.user_attrs["architecture"])
                self.known.fail(_recipe(turn, architecture))
                continue
            record = TrialRecord.from_dict(values)
            self._check_order(record, turn)
            text = trial.user_attrs.get(OUTCOMES)
            self.known.remember(record, text and Outcomes.decode(text))
        self.front = self._front()
        return len(done)

    def _check_order(self, record: TrialRecord, turn: Turn) -> None:
        target = None if turn.budget is None else turn.budget.target
        base = self.known.number_of(turn.base)
        found = record.origin, record.budget, record.base, record.repaired
        if found != (turn.origin, target, base, turn.repaired is not None):
            raise StudyError(
                f"trial {record.number} of study {self.setup.info.name!r} must be {turn.origin!r} for budget {target}, "
                f"it is {record.origin!r} for {record.budget}: the study was made in another order than this version "
                "of aebert goes through; choose another name"
            )

    def _front(self) -> Front:
        """The front of all records, over costs that each of them has."""
        dense = self.budgets[0].cost(self.setup.grid.last)
        front = Front(study_axis(self.setup.info, self.known.records), dense)
        for record in self.known.records:
            front.add(record)
        return front

    def best(self) -> str:
        """The current best of the hardest budget that has one, for the progress bar."""
        for budget in reversed(self.budgets):
            if ranked := self.known.leaders.of(budget.target):
                best, metric = ranked[0][0], self.setup.info.metric
                return (
                    f"best {metric} {100 * best.metrics[metric]:.1f} (trial {best.number}, {best.sparsity:.0%} removed)"
                )
        return ""

    def verdicts(self) -> list[Verdict]:
        """One per budget that a candidate meets."""
        found, known = [], self.known
        for budget in self.budgets:
            first = {origin: pair for (origin, target), pair in known.firsts.items() if target == budget.target}
            found.append(judge_budget(budget.target, known.leaders, first, self.setup.judge, self.setup.info.seed))
        return [verdict for verdict in found if verdict is not None]

    # --- trials --------------------------------------------------------------------------------------------------

    def turns_from(self, done: int) -> Iterator[tuple[int, Turn]]:
        """Numbers and turns of the trials to come, where so many are done."""
        total = self.setup.info.trials
        for number in count(done):
            if total is not None and number >= total:
                return
            turn = next(self.turns)
            if total is None and self.schedule.is_settled:
                return
            yield number, turn

    def trial(self, number: int, turn: Turn) -> FrozenTrial:
        """The trial of a turn, finished."""
        if turn.budget is None:
            return self._untold(number, turn, Architecture.dense(self.setup.shape))
        if turn.repaired is not None:
            return self._untold(number, turn, turn.repaired.architecture)
        preferences = turn.preferences
        if turn.origin == "rung" and self.ladder is not None:
            self.ladder.keep(self.schedule.bases)
            architecture = self.ladder.propose(turn.base, turn.budget)
            if turn.budget.target not in self.setup.info.targets:
                return self._untold(number, turn, architecture)
            preferences = self.setup.grid.preferences(architecture)
        asked = self.proposer.ask(number, turn.budget.target, preferences)
        most = most_levels(self.setup, turn.base)
        meant = project(self.proposer.preferences(asked), self.setup.grid, turn.budget, most)
        architecture = turn.architecture or meant
        values, attributes = self._scored(number, turn, architecture)
        return self.proposer.tell(asked, values, attributes)

    def _untold(self, number: int, turn: Turn, architecture: Architecture) -> FrozenTrial:
        """A trial that the sampler neither proposes nor learns from, so that it has no parameters."""
        values, attributes = self._scored(number, turn, architecture)
        state = optuna.trial.TrialState.FAIL if values is None else optuna.trial.TrialState.COMPLETE
        return optuna.trial.create_trial(state=state, values=values, user_attrs=attributes)

    def _scored(self, number: int, turn: Turn, architecture: Architecture) -> tuple[list[float] | None, dict[str, Any]]:
        """Values and attributes of a trial."""
        record, outcomes = self._score(number, turn, _recipe(turn, architecture))
        return self._values(record) if record else None, _attributes(architecture, record, outcomes)

    def _values(self, record: TrialRecord) -> list[float]:
        """The values that the sampler learns from: the score, and with several budgets the share removed.

        The loss breaks ties of the score. It counts less than half a row of an accuracy, so it overturns no real
        difference.
        """
        tie_break = record.loss / (1 + record.loss) / (2 * self.setup.info.search_rows) if record.loss > 0 else 0.0
        score = record.score - (tie_break if self.setup.judge.objective == "metric" else 0.0)
        return [score] if len(self.budgets) == 1 else [score, share_axis(self.setup.info).cost(record)]

    def _score(self, number: int, turn: Turn, recipe: Recipe) -> tuple[TrialRecord | None, Outcomes | None]:
        """Score a recipe, or take over its known score; None if score or loss is not finite."""
        target, outcomes = None if turn.budget is None else turn.budget.target, None
        if recipe in self.known:
            before = self.known.before(recipe)
            if before is None:
                return None, None
            record = replace(
                before, number=number, origin=turn.origin, budget=target, seconds=0.0, same_as=before.number
            )
        else:
            measured, outcomes = self._measure(number, turn, recipe)
            if measured is None:
                self.known.fail(recipe)
                return None, None
            record = measured
        self.front.add(record)
        record = replace(record, hypervolume=self.front.hypervolume(self._reference(record)))
        self.known.remember(record, outcomes)
        return record, outcomes

    def _reference(self, record: TrialRecord) -> float:
        """The score that hypervolumes count from."""
        dense = Recipe(Architecture.dense(self.setup.shape))
        known = self.known.before(dense) if dense in self.known else None
        return self.setup.judge.floor((known or record).score)

    def _measure(self, number: int, turn: Turn, recipe: Recipe) -> tuple[TrialRecord | None, Outcomes | None]:
        info, judge, ladder = self.setup.info, self.setup.judge, self.ladder
        library = None if ladder is None or recipe.base is None else ladder.library(recipe.base)
        started = time.perf_counter()
        if ladder is None or recipe == Recipe(recipe.architecture):
            scored = self.scorer(recipe.architecture, turn.rival)
        else:
            scored = ladder.score(recipe, turn.rival)
        seconds = time.perf_counter() - started
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
            seconds=seconds,
            cost=(turn.budget or self.budgets[0]).spent(recipe.architecture, self.setup.grid),
            std_error=None if outcomes is None else judge.error(outcomes),
            stopped_at=stopped_at,
            drift=0.0 if turn.budget is None and outcomes is not None else self.known.drift(outcomes),
            repaired=recipe.repaired,
            base=self.known.number_of(recipe.base),
            library=library,
            **self._counted(recipe.architecture),
        )
        return record, outcomes

    def _counted(self, architecture: Architecture) -> dict[str, Any]:
        shape, length = self.setup.shape, self.setup.info.length
        counted = cost(architecture, shape, length)
        return {
            "params": counted.params,
            "sparsity": sparsity(architecture, shape),
            "macs": counted.macs,
            "macs_removed": macs_removed(architecture, shape, length),
        }


def _recipe(turn: Turn, architecture: Architecture) -> Recipe:
    return Recipe(architecture, turn.repaired is not None, turn.base)


def _attributes(architecture: Architecture, record: TrialRecord | None, outcomes: Outcomes | None) -> dict[str, Any]:
    """What the database keeps of a trial besides parameters and values."""
    if record is None:
        return {"failure": "score or loss is not a finite number", "architecture": architecture.to_dict()}
    kept = {} if outcomes is None else {OUTCOMES: outcomes.encode()}
    return {ATTRIBUTE: record.to_dict(), **kept}
