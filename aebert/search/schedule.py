"""What the next trial of a search is: a function of the trials before it, and of nothing else.

A schedule is a generator. It yields a turn, and goes on when the trial of that turn is known, or with several workers
earlier: then the last trials are not known yet, and it says where it can't do without them. A study that is resumed
runs it from the beginning with the trials that it has, and what was known when each was asked for, so it takes up where
it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from aebert.pruning.architecture import Architecture
from aebert.pruning.recipe import Recipe
from aebert.search.budget import Budget, project
from aebert.search.difference import CONFIDENCE
from aebert.search.front import nearness
from aebert.search.judge import Judge
from aebert.search.knowledge import Knowledge, Known
from aebert.search.outcomes import Outcomes
from aebert.search.record import Origin, TrialRecord
from aebert.search.setup import SearchSetup

# With several budgets, every fourth proposal for a budget starts from the best architecture of a neighbouring budget.
NEIGHBOUR_EVERY = 4
# Candidates that the sampler proposes when the ladder comes to a budget again, before the second round.
EACH_VISIT = 8
# Candidates that the second round repairs when a rung is new, and when the ladder comes to it again.
REPAIRED_FIRST, REPAIRED_AGAIN = 2, 1
# A budget that brought nothing new so many times in a row is visited half as often, and after twice as many a quarter.
IDLE = 2
# A search that ends by itself does so when this many visits in a row brought no budget anything that the rows can show.
PATIENCE = 2

# By method: its architecture for each budget.
FirstTrials = Mapping[Origin, Sequence[Architecture]]


@dataclass(frozen=True)
class Turn:
    """One trial to come.

    budget: None for the dense model. base: what the candidate is cut from; None for the dense model.
    preferences: those of the architecture; None where the sampler proposes them, or the library of a rung.
    architecture: what is scored, where preferences alone don't say it to the weight.
    repaired: the candidate that is to be repaired, where that is what the trial is for.
    rival: outcomes that it races against, if it does.
    """

    origin: Origin
    budget: Budget | None = None
    base: Recipe | None = None
    preferences: np.ndarray | None = None
    architecture: Architecture | None = None
    repaired: Recipe | None = None
    rival: Outcomes | None = None


@dataclass(frozen=True)
class Wait:
    """What comes next depends on all trials before it, so none can be asked for until all of them are known."""


WAIT = Wait()
Turns = Iterator[Turn | Wait]


def first_turns(setup: SearchSetup, first: FirstTrials) -> Iterator[Turn]:
    """The dense model, then the first trials, method by method, each for all budgets."""
    yield Turn("dense")
    for origin, each in first.items():
        for budget, architecture in zip(setup.budgets, each, strict=True):
            exactly = architecture if setup.grid.exact else None
            yield Turn(origin, budget, preferences=setup.grid.preferences(architecture), architecture=exactly)


class Schedule(Protocol):
    """What comes after the first trials."""

    @property
    def bases(self) -> list[Recipe]:
        """What the libraries of its rungs are built from, without the dense model."""

    def turns(self) -> Turns:
        """All turns, without end; `WAIT` where what comes next depends on all results so far."""

    @property
    def is_settled(self) -> bool:
        """Whether the last `PATIENCE` visits brought no budget a candidate that is better beyond doubt.

        It holds for the turn that was drawn last.
        """


class Rounds:
    """What the sampler proposes, for one budget after the other; sometimes the best of a neighbouring budget."""

    def __init__(self, setup: SearchSetup, known: Knowledge) -> None:
        self._setup, self._known = setup, known
        self._best: dict[float, Known] = {}
        self._compared: dict[float, TrialRecord] = {}  # the last leaders, each of which takes a jackknife once
        self._still = 0

    @property
    def bases(self) -> list[Recipe]:
        """None: all candidates come from the dense model's library."""
        return []

    @property
    def is_settled(self) -> bool:
        """See `Schedule`; as many rounds as the sampler has proposals at a visit count as one."""
        return self._still >= PATIENCE * EACH_VISIT

    def turns(self) -> Turns:
        """All turns after those of `first_turns`."""
        turn, budgets, leaders = 0, self._setup.budgets, self._known.leaders  # once: making budgets counts costs
        while True:
            for budget in budgets:
                yield _explore(self._setup, self._known, turn, budget, None, leaders.rival(budget.target))
            turn += 1
            changed = sum(self._has_changed(budget.target) for budget in budgets)
            self._still = 0 if changed else self._still + 1

    def _has_changed(self, target: float) -> bool:
        """Whether a budget has its first candidate, or one that is better beyond doubt than the last that was."""
        leaders, best = self._known.leaders.of(target), self._best.get(target)
        if not leaders or leaders[0][0] is self._compared.get(target):
            return False
        self._compared[target] = leaders[0][0]
        if best is not None and not is_better(self._setup.judge, leaders[0], best):
            return False
        self._best[target] = leaders[0]
        return True


def _explore(
    setup: SearchSetup, known: Knowledge, turn: int, budget: Budget, base: Recipe | None, rival: Outcomes | None
) -> Turn:
    near = _neighbour(setup, known, turn, budget, base)
    origin = "sampled" if near is None else "neighbour"
    return Turn(origin, budget, base, near, rival=rival if setup.race else None)


def _neighbour(
    setup: SearchSetup, known: Knowledge, turn: int, budget: Budget, base: Recipe | None
) -> np.ndarray | None:
    """Preferences of the best of a neighbouring budget; None unless it is their turn and they are new here."""
    if turn % NEIGHBOUR_EVERY != NEIGHBOUR_EVERY - 1:
        return None
    for record in known.leaders.neighbours(budget.target):
        preferences = setup.grid.preferences(record.architecture)
        architecture = project(preferences, setup.grid, budget, most_levels(setup, base))
        if Recipe(architecture, base=base) not in known:
            return preferences
    return None


def most_levels(setup: SearchSetup, base: Recipe | None) -> np.ndarray | None:
    """The levels [blocks] that candidates cut from a base may have at most; None for the dense model."""
    return None if base is None else setup.grid.levels(base.architecture)


def least_of_descent(setup: SearchSetup) -> int:
    """The most trials that the first descent can take, so that a study with as many reaches its hardest budget."""
    own = len(setup.budgets)
    return own * (1 + REPAIRED_FIRST) + 2 * (len(setup.rungs) - own)


class Descent:
    """Goes down the rungs again and again, and takes what it finds on one as the base of the next.

    On a rung that is new, because nothing was there or a better base was found above it, the knapsack over the library
    of the base proposes a candidate; on one that is known, the sampler does (on the study's own budgets only). Then
    comes the second round: of the candidates that may as well be the best, those nearest to the dense model are
    repaired, and scored again. The incumbent of the rung, from then on the base of the next, is the nearest to the
    dense model of those tied with the best; it stays until one is better beyond doubt.

    Before a library is built, before the second round, and before an incumbent is chosen, all results are waited for.
    """

    def __init__(self, setup: SearchSetup, known: Knowledge) -> None:
        self._setup, self._known, self._rungs = setup, known, setup.rungs
        self._bases: dict[float, Recipe | None] = {}
        self._incumbents: dict[float, Known] = {}
        self._idle: dict[float, int] = {}
        self._still: dict[float, int] = {}
        self._turns: dict[float, int] = {}

    @property
    def bases(self) -> list[Recipe]:
        """What the libraries of the rungs are built from, without the dense model."""
        return [base for base in self._bases.values() if base is not None]

    @property
    def is_settled(self) -> bool:
        """See `Schedule`. The library of a base that is new begins a budget anew."""
        return all(self._still.get(target, 0) >= PATIENCE for target in self._setup.info.targets)

    def turns(self) -> Turns:
        """All turns after those of `first_turns`."""
        descent = 0
        while True:
            base: Recipe | None = None
            for budget in self._rungs:
                if base is not None and self._is_within(base, budget):
                    self._still[budget.target] = PATIENCE  # nothing is left to remove
                    continue
                if budget.target not in self._bases or self._bases[budget.target] != base:
                    self._bases[budget.target] = base
                    self._incumbents.pop(budget.target, None)
                    yield from self._begin(budget, base)
                elif self._is_due(budget, descent):
                    yield from self._go_on(budget, base)
                if budget.target in self._incumbents:
                    base = self._known.recipe_of(self._incumbents[budget.target][0])
            descent += 1

    def _is_within(self, base: Recipe, budget: Budget) -> bool:
        return budget.table.total(self._setup.grid.levels(base.architecture)) <= budget.limit

    def _is_own(self, budget: Budget) -> bool:
        return budget.target in self._setup.info.targets

    def _is_due(self, budget: Budget, descent: int) -> bool:
        """Whether the sampler proposes something; less and less often where that changes nothing."""
        if not self._is_own(budget):
            return False
        shortest = min(self._pause(target) for target in self._setup.info.targets)
        return descent % (self._pause(budget.target) // shortest) == 0

    def _pause(self, target: float) -> int:
        return (1, 2, 4)[min(self._idle.get(target, 0) // IDLE, 2)]

    def _begin(self, budget: Budget, base: Recipe | None) -> Turns:
        """A rung whose library is new."""
        yield WAIT
        self._still[budget.target] = 0
        if base is not None or ("knapsack", budget.target) not in self._known.firsts:
            yield Turn("rung", budget, base)
        yield from self._repair(budget, base, REPAIRED_FIRST if self._is_own(budget) else 1)
        self._settle(budget, base)

    def _go_on(self, budget: Budget, base: Recipe | None) -> Turns:
        """A rung that has its library, and more candidates from it."""
        before = self._incumbents.get(budget.target)
        for _ in range(EACH_VISIT):
            turn = self._turns[budget.target] = self._turns.get(budget.target, -1) + 1
            lookups = self._known.of_rung(budget.target, base, repaired=False)
            rival = lookups[0][1] if lookups else None
            yield _explore(self._setup, self._known, turn, budget, base, rival)
        yield from self._repair(budget, base, REPAIRED_AGAIN)
        self._settle(budget, base)
        changed = self._incumbents.get(budget.target) is not before
        self._idle[budget.target] = 0 if changed else self._idle.get(budget.target, 0) + 1
        self._still[budget.target] = 0 if changed else self._still.get(budget.target, 0) + 1

    def _repair(self, budget: Budget, base: Recipe | None, count: int) -> Turns:
        """The second round: the nearest to the dense model of the candidates that may as well be the best."""
        yield WAIT
        tied = self._tied(self._known.of_rung(budget.target, base, repaired=False))
        for record, _ in sorted(tied, key=lambda pair: nearness(pair[0]))[:count]:
            repaired = self._known.recipe_of(record).as_repaired
            if repaired not in self._known:
                yield Turn("repaired", budget, repaired.base, repaired=repaired)
        yield WAIT

    def _settle(self, budget: Budget, base: Recipe | None) -> None:
        """Choose the incumbent, or keep it."""
        both = [self._known.of_rung(budget.target, base, repaired=repaired) for repaired in (True, False)]
        pool = sorted((pair for each in both for pair in each), key=lambda pair: -pair[0].score)
        if not pool:
            return
        incumbent = self._incumbents.get(budget.target)
        if incumbent is None or is_better(self._setup.judge, pool[0], incumbent):
            self._incumbents[budget.target] = min(self._tied(pool), key=lambda pair: nearness(pair[0]))

    def _tied(self, ranked: Sequence[Known]) -> list[Known]:
        """The candidates that the best one is not better than beyond doubt."""
        judge = self._setup.judge
        return [pair for pair in ranked if pair is ranked[0] or not is_better(judge, ranked[0], pair)]


def is_better(judge: Judge, one: Known, other: Known) -> bool:
    """Whether the whole interval of the difference of scores is above 0."""
    mine, theirs = one[1], other[1]
    if mine is None or theirs is None:
        return one[0].score > other[0].score
    return judge.difference(mine, theirs).low(CONFIDENCE) > 0
