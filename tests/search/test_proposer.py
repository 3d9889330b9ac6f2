"""What the search relies on; which sampler draws what is in test_samplers.py."""

from __future__ import annotations

import tracemalloc

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from aebert.search.proposer import Proposer
from aebert.search.samplers import SAMPLERS

NAMES = ("a", "b", "c")
TARGETS = [(0.5,), (0.3, 0.6)]


def _run(proposer: Proposer, start: int, stop: int, targets: tuple[float, ...]) -> list[FrozenTrial]:
    """Trials `start` to `stop - 1`, every seventh failed, as the database would number them."""
    told = []
    for number in range(start, stop):
        budget = targets[number % len(targets)]
        asked = proposer.ask(number, budget, np.full(3, 0.5) if number < 3 else None)
        score = -float(((proposer.preferences(asked) - 0.2) ** 2).sum())
        values = None if number % 7 == 4 else [score, budget][: len(targets)]
        told.append(proposer.tell(asked, values, {"aebert": {"number": number}}))
        told[-1].number = number
    return told


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_resumed_at_any_trial_it_draws_the_same(sampler: str, targets: tuple[float, ...]) -> None:
    """NSGA-II in its third generation."""
    trials = {"nsga2": 52, "gp": 15}.get(sampler, 24)
    whole = _run(Proposer(sampler, 3, NAMES, targets), 1, trials, targets)
    for done in (12,) if sampler == "gp" else range(1, trials - 3, 2):
        proposer = Proposer(sampler, 3, NAMES, targets)
        proposer.replay(whole[:done])
        after, expected = _run(proposer, done + 1, done + 3, targets), whole[done : done + 2]
        assert [(each.params, each.system_attrs) for each in after] == [
            (each.params, each.system_attrs) for each in expected
        ]


def test_what_is_told_is_what_the_database_shall_hold() -> None:
    proposer = Proposer("random", 0, NAMES, (0.3, 0.6))
    told = proposer.tell(proposer.ask(1, 0.6, np.array([0.1, 0.2, 0.3])), [0.7, 0.6], {"aebert": {"k": 1}})
    assert (told.state, told.values) == (TrialState.COMPLETE, [0.7, 0.6])
    assert told.params == {"a": 0.1, "b": 0.2, "c": 0.3, "budget": 0.6}
    assert told.user_attrs == {"aebert": {"k": 1}}
    assert told.datetime_start is not None
    assert told.datetime_complete is not None
    failed = proposer.tell(proposer.ask(2, 0.3), None, {"failure": "no number"})
    assert (failed.state, failed.values, failed.user_attrs) == (TrialState.FAIL, None, {"failure": "no number"})


def test_preferences_are_in_the_order_of_the_names() -> None:
    proposer = Proposer("random", 0, ("b", "a"), (0.5,))
    assert proposer.preferences(proposer.ask(1, 0.5, np.array([0.1, 0.9]))).tolist() == [0.1, 0.9]


@pytest.mark.parametrize("sampler", ["tpe", "local"])
def test_the_dense_model_and_failed_trials_are_no_experience(sampler: str) -> None:
    trials = _run(Proposer("random", 0, NAMES, (0.5,)), 1, 30, (0.5,))
    dense = optuna.trial.create_trial(values=[9.0])
    with_all, without = (Proposer(sampler, 1, NAMES, (0.5,)) for _ in range(2))
    with_all.replay([dense, *trials])
    without.replay([trial for trial in trials if trial.state == TrialState.COMPLETE])
    assert with_all.ask(30, 0.5).params == without.ask(30, 0.5).params


def test_asking_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    proposer = Proposer("tpe", 0, NAMES, (0.3, 0.6))
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    try:
        caplog.clear()
        _run(proposer, 1, 15, (0.3, 0.6))
    finally:
        optuna.logging.disable_propagation()
    assert caplog.messages == []


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "local"])
def test_memory_does_not_grow_with_the_trials(sampler: str) -> None:
    """100 trials with 10 kB each, after as many as the sampler may remember."""
    proposer = Proposer(sampler, 0, NAMES, (0.5,))

    def run(start: int, stop: int) -> None:
        for number in range(start, stop):
            proposer.tell(proposer.ask(number, 0.5), [-float(number)], {"outcomes": "o" * 10_000 + str(number)})

    run(1, 320)
    tracemalloc.start()
    try:
        run(320, 360)
        before = tracemalloc.get_traced_memory()[0]
        run(360, 460)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 400_000  # the attributes alone would be 1,000,000
