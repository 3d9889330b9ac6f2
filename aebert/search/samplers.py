"""Samplers propose preferences. Every trial gets a new one, seeded by the study's seed and the trial's number.

A sampler models the trials that its memory shows it (`MEMORIES`), so the cost of a trial does not grow with the study.
`results/benchmarks/search_overhead.json` has the milliseconds per proposal.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from aebert.registry import Registry
from aebert.search.history import BestAndLatest, Everything, MakeMemory, Memory, Nothing, ShownStudies, complete_trials
from aebert.search.local import LocalSampler

MakeSampler = Callable[[int], BaseSampler]
SAMPLERS: Registry[MakeSampler] = Registry("sampler")
POPULATION = 20


def trial_sampler(name: str, seed: int, number: int) -> BaseSampler:
    """A new sampler for one trial. Since it keeps nothing from other trials, a resumed study goes on as if unbroken."""
    state = np.random.SeedSequence([seed, number]).generate_state(1)[0]
    with warnings.catch_warnings():
        # we use these experimental options on purpose; pyproject.toml bounds Optuna's version, so they can't change
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](int(state))


def study_memory(name: str, targets: Sequence[float]) -> Memory:
    """What remembers trials for the sampler of that name, in a study with these budgets; by default all trials."""
    _ = SAMPLERS[name]
    return MEMORIES[name](targets) if name in MEMORIES else Everything()


@SAMPLERS.register("random")
def _random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


class _OneSpace(BaseSampler):
    """Assumes that all trials have the parameters of the latest; Optuna would compare those of every trial."""

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters, sorted by name as Optuna does, since their order decides which one gets which draw."""
        complete = complete_trials(study)
        return dict(sorted(complete[-1].distributions.items())) if complete else {}


class _TPE(_OneSpace, TPESampler):
    pass


class _GP(_OneSpace, GPSampler):
    pass


@SAMPLERS.register("tpe")
def _tpe(seed: int) -> BaseSampler:
    """Models the 150 best trials and the latest 150.

    With one budget, the good trials among them are the good ones of the whole study, since Optuna takes at most 25.
    """
    # Constant liar is for several processes that ask at the same time; it would store every preference twice.
    return _TPE(seed=seed, multivariate=True, n_startup_trials=10, constant_liar=False)


class _OrderedNSGAII(_OneSpace, NSGAIISampler):
    """NSGA-II that has to see only the latest generation and that generation's parents.

    Parents are sorted by number, since the order in which Optuna selects them is lost when they are looked up again.
    """

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The parents of a generation: the older trials shown, reduced to one population if there are more.

        There are more when the generation is about to begin: then they are a whole generation and its parents.
        """
        older = [trial for trial in complete_trials(study) if self.generation(trial) < generation]
        return self.select_parent(study, generation) if len(older) > POPULATION else older

    def select_parent(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """Optuna's selection, sorted by number."""
        return sorted(super().select_parent(study, generation), key=lambda trial: trial.number)

    def generation(self, trial: FrozenTrial) -> int:
        """The trial's generation, counted from 0; -1 if it has none."""
        generation: int = trial.system_attrs.get(self._get_generation_key(), -1)
        return generation


@SAMPLERS.register("nsga2")
def _nsga2(seed: int) -> BaseSampler:
    return _OrderedNSGAII(seed=seed, population_size=POPULATION)


class _Generations:
    """Shows NSGA-II its latest generation and that generation's parents."""

    def __init__(self, targets: Sequence[float]) -> None:
        self._stage = ShownStudies(targets)
        self._sampler = _OrderedNSGAII(seed=0, population_size=POPULATION)
        self._parents: list[FrozenTrial] = []
        self._latest: list[FrozenTrial] = []

    def add(self, trial: FrozenTrial) -> None:
        generation = self._sampler.generation(trial)
        if self._latest and generation > self._sampler.generation(self._latest[0]):
            study = self._stage.study(self.trials(), trial.number)
            self._parents = self._sampler.get_parent_population(study, generation)
            self._latest = []
        self._latest.append(trial)

    def trials(self) -> Sequence[FrozenTrial]:
        return [*self._parents, *self._latest]


@SAMPLERS.register("gp")
def _gp(seed: int) -> BaseSampler:
    """Models the 50 best trials and the latest 50, since the time to fit grows with the cube of their number.

    Even so a proposal takes tenths of a second, or with several budgets up to a second, however large the study is.
    """
    return _GP(seed=seed, n_startup_trials=10, deterministic_objective=True)


@SAMPLERS.register("local")
def _local(seed: int) -> BaseSampler:
    return LocalSampler(seed)


MEMORIES: dict[str, MakeMemory] = {
    "random": lambda targets: Nothing(),
    "tpe": lambda targets: BestAndLatest(targets, best=150, latest=150),
    "nsga2": _Generations,
    "gp": lambda targets: BestAndLatest(targets, best=50, latest=50),
    "local": lambda targets: BestAndLatest(targets, best=10 * len(targets), latest=0),
}
