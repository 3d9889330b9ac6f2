"""The search loop: ask, project onto the budget, score, record. It can be resumed at any trial."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import chain, count

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial

from aebert.errors import StudyError
from aebert.progress import SILENT, Bar, Progress
from aebert.pruning.architecture import Architecture
from aebert.pruning.recipe import Recipe
from aebert.search.axis import study_axis
from aebert.search.budget import Budget, project
from aebert.search.executor import Answer, Executor, InProcess, Work
from aebert.search.front import Front
from aebert.search.knowledge import Knowledge
from aebert.search.measured import NOT_FINITE, attributes, measured, sampled_values
from aebert.search.outcomes import Outcomes
from aebert.search.proposer import Proposer
from aebert.search.record import ATTRIBUTE, KNOWN_UNTIL, OUTCOMES, TrialRecord, Verdict
from aebert.search.schedule import Descent, FirstTrials, Rounds, Schedule, Turn, Turns, Wait, first_turns, most_levels
from aebert.search.scorers import Ladder, Scorer, scoring
from aebert.search.setup import SearchSetup
from aebert.search.storage import StudyDatabase
from aebert.search.verdict import judge_budget


def search(
    setup: SearchSetup,
    scorer: Scorer | Executor,
    first: FirstTrials,
    progress: Progress = SILENT,
    ladder: Ladder | None = None,
) -> tuple[list[TrialRecord], list[Verdict]]:
    """Run the study until it has `info.trials` trials, or until its schedule is settled where that is None.

    Returns all trials that were scored, and the verdict on each budget.

    Trial 0 is the dense model. Then come the first trials, method by method, each for all budgets. Without a ladder,
    the sampler then proposes candidates for one budget after the other; with several budgets, some proposals are the
    best architecture of a neighbouring budget, brought onto this one. With a ladder, the search goes down its rungs
    (see `Descent`). A recipe that was scored before keeps its score. A candidate that is clearly behind the best known
    one of its budget is stopped; only what the sampler or a neighbour proposed can be. A trial is stored when it and
    all before it are finished. If the process dies, the trials that were running are proposed again, and give the same
    result.

    scorer: scores candidates here, one after the other; or an executor, which scores several at a time. Then a trial is
    asked for when all but the latest `window` - 1 are known, and it records how many were (`known_until`). So the
    trials follow from seed and window, and not from which candidate was finished first.

    Raises: BudgetError, StudyError.
    """
    executor = InProcess(scoring(scorer, ladder)) if callable(scorer) else scorer
    run = _Run(setup, executor, first, ladder, progress)  # first: a budget out of reach should leave no database behind
    with StudyDatabase.open(setup.storage, setup.info, setup.settings) as database:
        done = database.frozen_trials()
        with progress.bar(f"search {setup.info.name}", setup.info.trials) as bar, executor:
            for trial in run.trials(done, bar):
                database.add(trial)
                bar.advance(1, run.best())
        verdicts = run.verdicts()
        database.store_verdicts(verdicts)
    return run.known.records, verdicts


@dataclass(frozen=True)
class _Asked:
    """A trial that was asked for, and whose result is not known to the search yet.

    stored: the trial, where the database has it already. trial: the sampler's, where it proposed it. answer: None
    where the recipe was asked for before. known_until: see `TrialRecord`.
    """

    number: int
    turn: Turn
    recipe: Recipe
    known_until: int | None
    stored: FrozenTrial | None = None
    trial: Trial | None = None
    answer: Future[Answer] | None = None


class _Run:
    """The state of a search between two trials."""

    def __init__(
        self, setup: SearchSetup, executor: Executor, first: FirstTrials, ladder: Ladder | None, progress: Progress
    ) -> None:
        self.setup, self.executor, self.ladder, self.progress = setup, executor, ladder, progress
        self.budgets = setup.budgets
        info = setup.info
        self.known = Knowledge(info)
        self.proposer = Proposer(info.sampler, info.seed, setup.grid.names, info.targets)
        self.schedule: Schedule = (Rounds if ladder is None else Descent)(setup, self.known)
        self.turns: Turns = chain(first_turns(setup, first), self.schedule.turns())
        self._front: Front | None = None
        self._asked: deque[_Asked] = deque()
        self._until = 0  # trials that are known

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

    # --- the order of trials -------------------------------------------------------------------------------------

    def trials(self, done: Sequence[FrozenTrial], bar: Bar) -> Iterator[FrozenTrial]:
        """The finished trials that come after those that are done, in the order of their numbers.

        bar: is moved on by those that are done.

        Raises: StudyError where those that are done are not those that a search with these settings makes.
        """
        total = self.setup.info.trials
        for number in count():
            stored = done[number] if number < len(done) else None
            until = max(self._until, number + 1 - self.executor.window)
            yield from self._learn(until if stored is None else _known_until(stored, number))
            if number == len(done):
                bar.advance(number, self.best())
            if stored is None and total is not None and number >= total:
                break
            turn = next(self.turns)
            while isinstance(turn, Wait):
                yield from self._learn(number)
                turn = next(self.turns)
            if stored is None and total is None and self.schedule.is_settled:
                break
            self._asked.append(self._ask(number, turn) if stored is None else self._check(number, turn, stored))
        yield from self._learn(self._until + len(self._asked))

    def _learn(self, until: int) -> Iterator[FrozenTrial]:
        """Take in the results of the trials before `until`, and give those that the database does not have."""
        while self._until < until:
            asked = self._asked.popleft()
            if asked.stored is None:
                finished = self._finished(asked)
                self._until += 1
                yield finished
                continue
            if asked.stored.params:  # not the dense model, which has none
                self.proposer.replay([asked.stored])
            values = asked.stored.user_attrs.get(ATTRIBUTE)
            if values is None:
                self.known.fail(asked.recipe)
            else:
                text = asked.stored.user_attrs.get(OUTCOMES)
                self.known.remember(TrialRecord.from_dict(values), text and Outcomes.decode(text))
            self._until += 1

    def _check(self, number: int, turn: Turn, stored: FrozenTrial) -> _Asked:
        values, known_until = stored.user_attrs.get(ATTRIBUTE), self._known_until(number)
        if values is None:
            architecture = Architecture.from_dict(stored.user_attrs["architecture"])
            return _Asked(number, turn, _recipe(turn, architecture), known_until, stored)
        record = TrialRecord.from_dict(values)
        target = None if turn.budget is None else turn.budget.target
        found = record.origin, record.budget, record.base, record.repaired, record.known_until
        if found != (turn.origin, target, self._base_of(turn), turn.repaired is not None, known_until):
            raise StudyError(
                f"trial {record.number} of study {self.setup.info.name!r} must be {turn.origin!r} for budget {target}, "
                f"it is {record.origin!r} for {record.budget}: the study was made in another order than this version "
                "of aebert goes through; choose another name"
            )
        return _Asked(number, turn, _recipe(turn, record.architecture), known_until, stored)

    def _base_of(self, turn: Turn) -> int | None:
        return self.known.number_of(turn.base)

    def _known_until(self, number: int) -> int | None:
        return None if self._until == number else self._until

    # --- asking --------------------------------------------------------------------------------------------------

    def _ask(self, number: int, turn: Turn) -> _Asked:
        """Ask for the candidate of a turn, and have it scored unless it is one that was asked for before."""
        architecture, trial = self._proposed(number, turn)
        recipe = _recipe(turn, architecture)
        is_new = recipe not in self.known and all(recipe != other.recipe for other in self._asked)
        if is_new and self.ladder is not None and recipe.base is not None:
            self.ladder.build(recipe.base)  # here, since workers only read
        answer = self.executor.submit(Work(recipe, turn.rival)) if is_new else None
        return _Asked(number, turn, recipe, self._known_until(number), None, trial, answer)

    def _proposed(self, number: int, turn: Turn) -> tuple[Architecture, Trial | None]:
        """The architecture of a turn, and the sampler's trial where it learns from it."""
        if turn.budget is None:
            return Architecture.dense(self.setup.shape), None
        if turn.repaired is not None:
            return turn.repaired.architecture, None
        preferences = turn.preferences
        if turn.origin == "rung" and self.ladder is not None:
            self.ladder.keep(self.schedule.bases)
            architecture = self.ladder.propose(turn.base, turn.budget)
            if turn.budget.target not in self.setup.info.targets:
                return architecture, None
            preferences = self.setup.grid.preferences(architecture)
        return self._sampled(number, turn, turn.budget, preferences)

    def _sampled(
        self, number: int, turn: Turn, budget: Budget, preferences: np.ndarray | None
    ) -> tuple[Architecture, Trial]:
        trial = self.proposer.ask(number, budget.target, preferences)
        most = most_levels(self.setup, turn.base)
        meant = project(self.proposer.preferences(trial), self.setup.grid, budget, most)
        return turn.architecture or meant, trial

    # --- finishing -----------------------------------------------------------------------------------------------

    def _finished(self, asked: _Asked) -> FrozenTrial:
        """The trial, with its result, which all trials after it may know from here on."""
        record, outcomes = self._recorded(asked)
        values = None if record is None else sampled_values(self.setup, record)
        kept = attributes(asked.recipe.architecture, record, outcomes, asked.known_until)
        if record is None:
            self.progress.say(f"trial {asked.number} failed: {NOT_FINITE}")
        if asked.trial is not None:
            return self.proposer.tell(asked.trial, values, kept)
        # a trial that the sampler neither proposes nor learns from has no parameters
        state = optuna.trial.TrialState.FAIL if values is None else optuna.trial.TrialState.COMPLETE
        return optuna.trial.create_trial(state=state, values=values, user_attrs=kept)

    def _recorded(self, asked: _Asked) -> tuple[TrialRecord | None, Outcomes | None]:
        """Record a result, or take over that of the same recipe; None if score or loss is not finite."""
        recipe, outcomes = asked.recipe, None
        if asked.answer is None:
            before = self.known.before(recipe)
            if before is None:
                return None, None
            target = None if asked.turn.budget is None else asked.turn.budget.target
            record = replace(
                before,
                number=asked.number,
                origin=asked.turn.origin,
                budget=target,
                seconds=0.0,
                same_as=before.number,
            )
        else:
            found, outcomes = self._measured(asked, asked.answer.result())
            if found is None:
                self.known.fail(recipe)
                return None, None
            record = found
        record = replace(record, known_until=asked.known_until)
        front = self.front
        front.add(record)
        record = replace(record, hypervolume=front.hypervolume(self._reference(record)))
        self.known.remember(record, outcomes)
        return record, outcomes

    def _measured(self, asked: _Asked, found: Answer) -> tuple[TrialRecord | None, Outcomes | None]:
        base = asked.recipe.base
        library = None if self.ladder is None or base is None else self.ladder.library(base)
        return measured(self.setup, self.known, asked.number, asked.turn, asked.recipe, found, library)

    @property
    def front(self) -> Front:
        """The front of all records, over costs that each of them has."""
        if self._front is None:
            dense = self.budgets[0].cost(self.setup.grid.last)
            self._front = Front(study_axis(self.setup.info, self.known.records), dense)
            for record in self.known.records:
                self._front.add(record)
        return self._front

    def _reference(self, record: TrialRecord) -> float:
        """The score that hypervolumes count from."""
        dense = Recipe(Architecture.dense(self.setup.shape))
        known = self.known.before(dense) if dense in self.known else None
        return self.setup.judge.floor((known or record).score)


def _known_until(stored: FrozenTrial, number: int) -> int:
    """How many trials were known when a stored one was asked for."""
    record = stored.user_attrs.get(ATTRIBUTE, {})
    until: int | None = record.get("known_until", stored.user_attrs.get(KNOWN_UNTIL))
    return number if until is None else until


def _recipe(turn: Turn, architecture: Architecture) -> Recipe:
    return Recipe(architecture, turn.repaired is not None, turn.base)
