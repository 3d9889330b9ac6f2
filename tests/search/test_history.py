from __future__ import annotations

import optuna
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from aebert.search.history import BestAndLatest, Shown


def _trial(number: int, score: float, budget: float | None = None) -> FrozenTrial:
    params = {"x": 0.5} | ({} if budget is None else {"budget": budget})
    space = {name: FloatDistribution(0, 1) for name in params}
    trial = optuna.trial.create_trial(values=[score], params=params, distributions=dict(space))
    trial.number = number
    return trial


def _shown(memory: BestAndLatest, trials: list[FrozenTrial]) -> list[int]:
    for trial in trials:
        memory.add(trial)
    return [trial.number for trial in memory.trials()]


def test_the_best_and_the_latest_by_hand() -> None:
    trials = [_trial(number, score) for number, score in enumerate([5, 1, 9, 9, 2, 0, 3], start=1)]
    assert _shown(BestAndLatest((0.5,), best=3, latest=2), trials) == [1, 3, 4, 6, 7]
    assert _shown(BestAndLatest((0.5,), best=1, latest=0), trials) == [3]  # of equals the earlier


def test_every_budget_keeps_its_own_best() -> None:
    tried = [(1, 0.3), (9, 0.7), (8, 0.69), (7, 0.7), (2, 0.3)]
    trials = [_trial(number, score, budget) for number, (score, budget) in enumerate(tried)]
    assert _shown(BestAndLatest((0.7, 0.3), best=2, latest=0), trials) == [1, 4]
    assert _shown(BestAndLatest((0.7, 0.3), best=3, latest=0), trials) == [0, 1, 2, 4]  # two each


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 6), st.integers(0, 6))
def test_it_shows_what_sorting_all_trials_would(scores: list[int], best: int, latest: int) -> None:
    trials = [_trial(number, score) for number, score in enumerate(scores)]
    wanted = {number for _, number in sorted((-score, number) for number, score in enumerate(scores))[:best]}
    wanted |= {number for number in range(len(scores)) if number >= len(scores) - latest}
    assert _shown(BestAndLatest((0.5,), best, latest), trials) == sorted(wanted)


def test_a_study_shows_finished_trials_beside_the_one_that_is_asked() -> None:
    storage = Shown()
    study = optuna.create_study(storage=storage, direction="maximize")
    storage.shown, storage.number = [_trial(3, 1.0), _trial(5, 2.0)], 7
    study.enqueue_trial({"x": 0.25})
    asked = study.ask()
    assert asked.suggest_float("x", 0, 1) == 0.25
    assert [(trial.number, trial.state) for trial in study.get_trials(deepcopy=False)] == [
        (3, TrialState.COMPLETE),
        (5, TrialState.COMPLETE),
        (7, TrialState.RUNNING),
    ]
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    assert complete == storage.shown
    assert complete[0] is storage.shown[0]
