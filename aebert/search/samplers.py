"""Samplers: who proposes the next preferences. One fresh sampler per trial, seeded by study seed and trial number."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from aebert.registry import Registry

MakeSampler = Callable[[int], BaseSampler]
SAMPLERS: Registry[MakeSampler] = Registry("sampler")


def trial_sampler(name: str, seed: int, number: int) -> BaseSampler:
    """The sampler of one trial. Since it is new for every trial, a resumed study continues as if never stopped."""
    state = np.random.SeedSequence([seed, number]).generate_state(1)[0]
    with warnings.catch_warnings():
        # we depend on these on purpose; the constraint on optuna's version guards against their change
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](int(state))


@SAMPLERS.register("random")
def _random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


@SAMPLERS.register("tpe")
def _tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=10)


class _OrderedNSGAII(NSGAIISampler):
    """NSGA-II whose parents are in the order of their numbers.

    Optuna returns parents in the order of selection when it computes them and in the order of numbers when it finds
    them cached; a study resumed in mid-generation computes what the uninterrupted one found, and would then draw other
    parents.
    """

    def select_parent(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        return sorted(super().select_parent(study, generation), key=lambda trial: trial.number)


@SAMPLERS.register("nsga2")
def _nsga2(seed: int) -> BaseSampler:
    return _OrderedNSGAII(seed=seed, population_size=20)


@SAMPLERS.register("gp")
def _gp(seed: int) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=10, deterministic_objective=True)
