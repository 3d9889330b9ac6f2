"""Local search: small changes to the best architectures found so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from aebert.search.history import BUDGET, complete_trials

FEW = 4  # trials that it needs before it stops drawing at random
PARENTS = 3  # best trials of a budget, of which one is changed
STEP = (0.05, 0.5)  # standard deviation of a step, drawn for each trial from a log-uniform distribution
NEIGHBOUR, CROSSOVER, MOVE = 0.25, 0.2, 0.5  # probabilities


class LocalSampler(BaseSampler):
    """Proposes a mutation of one of the best trials of the same budget, or of a neighbouring budget.

    Better parents are more likely to be taken. Either a share is moved from one preference to another, or one to three
    preferences take a step; before that, two parents may be crossed. Only the score counts: the share removed, which is
    the second objective of a study with several budgets, is set by the budget. With fewer than `FEW` trials it draws at
    random. It is a (μ+1) evolution strategy without state: everything follows from the study's trials and the seed.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters of the latest trial, without those that are given."""
        complete = complete_trials(study)
        if len(complete) < FEW:
            return {}
        given = _given(trial)
        return {name: space for name, space in complete[-1].distributions.items() if name not in given}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A mutation of a parent, with every share in 0..1."""
        names = [name for name in search_space if name != BUDGET]
        if not names:
            return {}
        pools = _pools(complete_trials(study), _given(trial).get(BUDGET))
        child = self._parent(pools, names)
        if self._rng.random() < CROSSOVER:
            child = np.where(self._rng.random(len(names)) < 0.5, child, self._parent(pools, names))
        child = np.clip(child + self._step(len(names)), 0.0, 1.0)
        return dict(zip(names, child.tolist(), strict=True))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> float:
        """A uniform draw."""
        if not isinstance(param_distribution, FloatDistribution):
            raise TypeError(f"{param_name} must be a number from a range, got {param_distribution}")
        return float(self._rng.uniform(param_distribution.low, param_distribution.high))

    def _parent(self, pools: Sequence[Sequence[FrozenTrial]], names: Sequence[str]) -> np.ndarray:
        """Preferences of a parent [names]; the first pool is that of the trial's own budget."""
        own, *neighbours = pools
        pool = own
        if neighbours and (not own or self._rng.random() < NEIGHBOUR):
            pool = neighbours[self._rng.integers(len(neighbours))]
        rank = self._rng.integers(len(pool), size=2).min()  # the best is twice as likely as the average
        return np.array([pool[rank].params[name] for name in names])

    def _step(self, size: int) -> np.ndarray:
        step = np.zeros(size)
        scale = np.exp(self._rng.uniform(*np.log(STEP)))
        if size > 1 and self._rng.random() < MOVE:
            giver, taker = self._rng.choice(size, 2, replace=False)
            step[taker] = abs(self._rng.normal(0.0, scale))
            step[giver] = -step[taker]
            return step
        changed = self._rng.choice(size, min(size, int(self._rng.integers(1, 4))), replace=False)
        step[changed] = self._rng.normal(0.0, scale, len(changed))
        return step


def _given(trial: FrozenTrial) -> Mapping[str, Any]:
    """The parameters that a trial was enqueued with."""
    given: Mapping[str, Any] = trial.system_attrs.get("fixed_params", {})
    return given


def _pools(trials: Sequence[FrozenTrial], budget: float | None) -> list[list[FrozenTrial]]:
    """Pools of parents, best first: for `budget`, then for the next smaller and the next larger one that has trials."""
    by_budget: dict[float | None, list[FrozenTrial]] = {}
    for trial in sorted(trials, key=lambda trial: (-trial.values[0], trial.number)):
        by_budget.setdefault(trial.params.get(BUDGET), []).append(trial)
    if budget is None:
        return [[trial for pool in by_budget.values() for trial in pool][:PARENTS]]
    others = sorted(other for other in by_budget if other is not None)
    below, above = ([o for o in others if o < budget][-1:], [o for o in others if o > budget][:1])
    return [by_budget.get(wanted, [])[:PARENTS] for wanted in (budget, *below, *above)]
