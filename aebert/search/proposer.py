"""Asking a sampler for preferences, in memory, so that a trial's number alone decides what it draws."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from aebert.search.samplers import trial_sampler

BUDGET = "budget"


def directions(targets: Sequence[float]) -> list[StudyDirection]:
    """Maximize the score; with several budgets also the share removed."""
    return [StudyDirection.MAXIMIZE] * (1 if len(targets) == 1 else 2)


class Proposer:
    """An in-memory twin of the study's sampled trials.

    The dense model is not in it: it has no preferences, and samplers that model the common parameters of all trials
    would find none. Optuna stores no sampler state, so every ask gets a new sampler seeded by (study seed, number).
    """

    def __init__(self, sampler: str, seed: int, names: Sequence[str], targets: Sequence[float]) -> None:
        self._sampler, self._seed = sampler, seed
        self._names, self._targets = tuple(names), tuple(targets)
        self._study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(), directions=directions(self._targets)
        )

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """One share per preference; the budget too where there are several."""
        space: dict[str, BaseDistribution] = {name: FloatDistribution(0.0, 1.0) for name in self._names}
        if len(self._targets) > 1:
            space[BUDGET] = FloatDistribution(min(self._targets), max(self._targets))
        return space

    def replay(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in trials that are already finished."""
        self._study.add_trials(trials)

    def ask(self, number: int, budget: float, preferences: np.ndarray | None = None) -> Trial:
        """Draw preferences for trial `number`; given ones are taken as they are."""
        fixed: dict[str, Any] = {BUDGET: budget} if len(self._targets) > 1 else {}
        if preferences is not None:
            fixed |= {name: float(share) for name, share in zip(self._names, preferences, strict=True)}
        if fixed:
            self._study.enqueue_trial(fixed)
        self._study.sampler = trial_sampler(self._sampler, self._seed, number)
        with warnings.catch_warnings():
            # said of every enqueued parameter that the sampler then does not draw: that is what we want
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            trial = self._study.ask()
            # let the sampler see the trial even if nothing is left to draw: NSGA-II counts generations here
            _ = trial.relative_params
            for name, distribution in self.distributions.items():
                assert isinstance(distribution, FloatDistribution)
                trial.suggest_float(name, distribution.low, distribution.high)
        return trial

    def preferences(self, trial: Trial) -> np.ndarray:
        """The shares that were drawn, in the order of the names."""
        return np.array([trial.params[name] for name in self._names])

    def tell(self, trial: Trial, values: Sequence[float] | None, attributes: Mapping[str, Any]) -> FrozenTrial:
        """Finish a trial (as failed without values) and return it as the database shall hold it."""
        for key, value in attributes.items():
            trial.set_user_attr(key, value)
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        self._study.tell(trial, values, state=state)
        return self._study.get_trials(deepcopy=False)[-1]
