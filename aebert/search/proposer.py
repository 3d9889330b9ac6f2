"""Asks samplers for preferences, in memory, so that a trial's draws follow from its number and earlier trials alone."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from aebert.search.history import BUDGET as BUDGET
from aebert.search.history import ShownStudies
from aebert.search.history import directions as directions
from aebert.search.samplers import study_memory, trial_sampler


class Proposer:
    """Asks a study's sampler, and remembers the finished trials that the sampler needs to see.

    Optuna does not store a sampler's state. So every ask gets a new sampler, seeded by (study seed, number), and a new
    study that shows what the sampler's memory holds. Neither records of scores nor old trials stay in memory.
    """

    def __init__(self, sampler: str, seed: int, names: Sequence[str], targets: Sequence[float]) -> None:
        self._sampler, self._seed = sampler, seed
        self._names, self._targets = tuple(names), tuple(targets)
        self._distributions = self.distributions
        self._memory = study_memory(sampler, self._targets)
        self._stage = ShownStudies(self._targets)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """One share per preference, and the budget where there are several."""
        space: dict[str, BaseDistribution] = {name: FloatDistribution(0.0, 1.0) for name in self._names}
        if len(self._targets) > 1:
            space[BUDGET] = FloatDistribution(min(self._targets), max(self._targets))
        return space

    def replay(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in trials that are already finished, in the order of their numbers."""
        for trial in trials:
            self._remember(trial, trial.number)

    def ask(self, number: int, budget: float, preferences: np.ndarray | None = None) -> Trial:
        """Draw preferences for trial `number`, or take the given ones as they are."""
        fixed: dict[str, Any] = {BUDGET: budget} if len(self._targets) > 1 else {}
        if preferences is not None:
            fixed |= {name: float(share) for name, share in zip(self._names, preferences, strict=True)}
        study = self._stage.study(self._memory.trials(), number)
        study.sampler = trial_sampler(self._sampler, self._seed, number)
        if fixed:
            study.enqueue_trial(fixed)
        with warnings.catch_warnings():
            # Optuna warns of every enqueued parameter that the sampler then does not draw, which is what we want
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            trial = study.ask()
            # show the trial to the sampler even if nothing is left to draw: this is where NSGA-II counts generations
            _ = trial.relative_params
            for name, distribution in self._distributions.items():
                assert isinstance(distribution, FloatDistribution)
                trial.suggest_float(name, distribution.low, distribution.high)
        return trial

    def preferences(self, trial: Trial) -> np.ndarray:
        """The shares that were drawn, in the order of the names."""
        return np.array([trial.params[name] for name in self._names])

    def tell(self, trial: Trial, values: Sequence[float] | None, attributes: Mapping[str, Any]) -> FrozenTrial:
        """Finish a trial, as failed if it has no values, and return it as the database is to hold it."""
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        finished = trial.study.tell(trial, values, state=state)
        finished.user_attrs = dict(attributes)
        self._remember(finished, trial.number)
        return finished

    def _remember(self, trial: FrozenTrial, number: int) -> None:
        # a failed trial has no value to learn from; the dense model has no preferences, and samplers that model the
        # parameters common to all trials would find none
        if trial.state == TrialState.COMPLETE and trial.params:
            self._memory.add(_lean(trial, number, self._distributions))


def _lean(trial: FrozenTrial, number: int, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    """The trial without what only reports read. Ids start at 1, since the one being asked has 0 in its own storage."""
    return FrozenTrial(
        number=number,
        trial_id=number + 1,
        state=trial.state,
        value=None,
        values=trial.values,
        datetime_start=None,
        datetime_complete=None,
        params=trial.params,
        distributions=distributions,
        user_attrs={},
        system_attrs=trial.system_attrs,
        intermediate_values={},
    )
