from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from aebert.search.local import FEW, LocalSampler
from aebert.search.proposer import Proposer

NAMES = tuple("abcdefgh")


def _trial(number: int, shares: list[float], score: float, budget: float | None = None) -> FrozenTrial:
    params = dict(zip(NAMES, shares, strict=True)) | ({} if budget is None else {"budget": budget})
    values = [score] if budget is None else [score, budget]
    space = {name: FloatDistribution(0, 1) for name in params}
    trial = optuna.trial.create_trial(values=values, params=params, distributions=dict(space))
    trial.number = number
    return trial


def _asked(trials: list[FrozenTrial], targets: tuple[float, ...], budget: float, count: int = 200) -> np.ndarray:
    """Preferences [count, names] that it proposes at one moment under many numbers."""
    proposer = Proposer("local", 0, NAMES, targets)
    proposer.replay(trials)
    return np.array([proposer.preferences(proposer.ask(number, budget)) for number in range(100, 100 + count)])


def test_it_changes_few_preferences_of_the_best() -> None:
    rng = np.random.default_rng(0)
    good = [_trial(number, [0.6] * 8, 1.0) for number in range(1, 7)]
    bad = [_trial(number, rng.random(8).tolist(), 0.0) for number in range(7, 40)]
    changed = (np.abs(_asked([*good, *bad], (0.5,), 0.5) - 0.6) > 1e-12).sum(axis=1)
    assert set(changed.tolist()) == {1, 2, 3}


def test_a_move_gives_to_one_what_it_takes_from_another() -> None:
    steps = np.sort(_asked([_trial(number, [0.5] * 8, 1.0) for number in range(1, 7)], (0.5,), 0.5) - 0.5, axis=1)
    rest_is_left = np.abs(steps[:, 1:-1]).max(axis=1) < 1e-12
    moves = rest_is_left & (steps[:, -1] > 0) & (np.abs(steps[:, 0] + steps[:, -1]) < 1e-12)
    assert 70 <= moves.sum() <= 130  # every other of 200
    assert 0.03 < np.median(steps[moves, -1]) < 0.25


def test_shares_stay_in_range_and_leave_its_ends() -> None:
    asked = _asked([_trial(number, [0.0, 1.0] * 4, 1.0) for number in range(1, 7)], (0.5,), 0.5)
    assert asked.min() == 0.0
    assert asked.max() == 1.0
    assert ((asked > 0) & (asked < 1)).any(axis=0).all()


def test_a_crossover_mixes_two_parents() -> None:
    trials = [_trial(number, [0.2 if number % 2 else 0.8] * 8, 1.0) for number in range(1, 7)]
    low = (_asked(trials, (0.5,), 0.5) < 0.5).sum(axis=1)
    mixed = ((low >= 3) & (low <= 5)).mean()
    assert 0.02 < mixed < 0.2  # 0.2 crossed, about half of unlike parents, 0.71 of these with 3 to 5 of 8: 0.07


def test_parents_come_from_the_own_budget_and_sometimes_from_its_neighbours() -> None:
    level = {0.2: 0.1, 0.4: 0.4, 0.6: 0.7, 0.8: 1.0}
    trials = [_trial(number, [level[b]] * 8, b, b) for number, b in enumerate([*level] * 6, start=1)]
    middle = np.median(_asked(trials, tuple(level), 0.4), axis=1)
    parents = {budget: float((np.abs(middle - share) < 0.1).mean()) for budget, share in level.items()}
    assert parents[0.4] > 0.6
    assert 0.03 < parents[0.2] < 0.25
    assert 0.03 < parents[0.6] < 0.25
    assert parents[0.8] == 0.0


def test_a_budget_without_trials_starts_from_its_neighbours() -> None:
    trials = [_trial(number, [0.3] * 8, 1.0, 0.2) for number in range(1, 7)]
    assert np.median(np.abs(_asked(trials, (0.2, 0.9), 0.9, 20) - 0.3)) == 0.0


@pytest.mark.parametrize(("count", "random"), [(FEW - 1, True), (FEW, False)])
def test_it_draws_at_random_until_there_are_a_few_trials(count: int, random: bool) -> None:
    asked = _asked([_trial(number, [0.5] * 8, 1.0) for number in range(1, count + 1)], (0.5,), 0.5, 20)
    assert bool((np.abs(asked - 0.5) > 1e-12).all()) is random


def test_it_finds_more_than_random_draws() -> None:
    """On a smooth hill of 8 preferences, 80 trials, three seeds."""

    def loss(sampler: str, seed: int) -> float:
        proposer, found = Proposer(sampler, seed, NAMES, (0.5,)), []
        for number in range(1, 81):
            asked = proposer.ask(number, 0.5)
            found.append(float(((proposer.preferences(asked) - np.linspace(0, 1, 8)) ** 2).sum()))
            proposer.tell(asked, [-found[-1]], {})
        return min(found)

    assert all(loss("local", seed) < 0.5 * loss("random", seed) for seed in range(3))


def test_a_parameter_that_is_no_share_is_refused() -> None:
    study = optuna.create_study(sampler=LocalSampler(0))
    with pytest.raises(TypeError, match=r"^n must be a number from a range, got IntDistribution"):
        study.ask({"n": IntDistribution(0, 3)})
