"""Which trials of a study a sampler is shown: a few, chosen from the finished ones alone."""

from __future__ import annotations

import bisect
import copy
from collections import deque
from collections.abc import Callable, Container, Sequence
from typing import Protocol

import optuna
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

BUDGET = "budget"


def directions(targets: Sequence[float]) -> list[StudyDirection]:
    """Maximize the score and, with several budgets, also the share removed."""
    return [StudyDirection.MAXIMIZE] * (1 if len(targets) == 1 else 2)


def complete_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that a sampler may learn from, not copied."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


class Memory(Protocol):
    """Keeps the trials that a sampler models.

    What it shows must depend on nothing but the trials added, in the order of their numbers, because a resumed study
    adds the same trials again. Failed trials are never added, since they have no value to learn from.
    """

    def add(self, trial: FrozenTrial) -> None:
        """Take in the next finished trial."""

    def trials(self) -> Sequence[FrozenTrial]:
        """The trials to show, in the order of their numbers."""


MakeMemory = Callable[[Sequence[float]], Memory]  # from the study's budgets


class Everything:
    """Shows all trials, so time and memory grow with their number."""

    def __init__(self) -> None:
        self._trials: list[FrozenTrial] = []

    def add(self, trial: FrozenTrial) -> None:
        """Keep the trial."""
        self._trials.append(trial)

    def trials(self) -> Sequence[FrozenTrial]:
        """All trials."""
        return self._trials


class Nothing:
    """Shows no trial; for samplers that learn nothing."""

    def add(self, trial: FrozenTrial) -> None:
        """Forget the trial."""

    def trials(self) -> Sequence[FrozenTrial]:
        """No trial."""
        return ()


class BestAndLatest:
    """Shows the `best` trials by score, the same number for each budget, and the `latest` ones.

    Of two trials with equal scores, the earlier one is better. A trial counts for the budget nearest to its own.
    """

    def __init__(self, targets: Sequence[float], best: int, latest: int) -> None:
        self._targets = sorted(targets)
        self._each = -(-best // len(targets))
        self._best: list[list[FrozenTrial]] = [[] for _ in targets]
        self._latest: deque[FrozenTrial] = deque(maxlen=latest)

    def add(self, trial: FrozenTrial) -> None:
        """Keep the trial among the latest, and among the best if it is one of them."""
        best = self._best[self._place(trial)]
        bisect.insort(best, trial, key=lambda each: (-each.values[0], each.number))
        del best[self._each :]
        self._latest.append(trial)

    def trials(self) -> Sequence[FrozenTrial]:
        """At most `best` (rounded up to a multiple of the number of budgets) and `latest` trials."""
        shown = {trial.number: trial for group in (*self._best, self._latest) for trial in group}
        return [shown[number] for number in sorted(shown)]

    def _place(self, trial: FrozenTrial) -> int:
        budget = trial.params.get(BUDGET, self._targets[0])
        return min(range(len(self._targets)), key=lambda place: abs(self._targets[place] - budget))


class Shown(InMemoryStorage):
    """A storage that holds the one trial being asked, and shows a sampler finished trials as well.

    Finished trials are not copied into it, since Optuna copies deeply, which takes longer for 400 trials than to model
    them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shown: Sequence[FrozenTrial] = ()
        self.number = 0

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create the trial with the number that it has in the study."""
        trial_id = super().create_new_trial(study_id, template_trial)
        self.get_trial(trial_id).number = self.number
        return trial_id

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The shown trials, which are complete and never copied, and then the one being asked."""
        own = super().get_all_trials(study_id, deepcopy, states)
        return own if states is not None and TrialState.COMPLETE not in states else [*self.shown, *own]


class ShownStudies:
    """Makes studies that store nothing and show given trials; always new ones, as Optuna's cache what they read."""

    def __init__(self, targets: Sequence[float]) -> None:
        self._storage = Shown()
        self._study = optuna.create_study(storage=self._storage, directions=directions(targets))

    def study(self, trials: Sequence[FrozenTrial], number: int) -> optuna.Study:
        """A study that shows `trials` to the sampler of trial `number`."""
        # a copy of an empty study, since Optuna logs every one that it creates
        storage, study = copy.deepcopy((self._storage, self._study))
        storage.shown, storage.number = trials, number
        return study
