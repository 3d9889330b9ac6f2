from __future__ import annotations

import numpy as np
import pytest

from aebert.pruning.architecture import Architecture
from aebert.run.study import first_trials

from .conftest import MakePipeline


def test_every_method_proposes_for_every_budget(pipeline: MakePipeline) -> None:
    toy = pipeline(search={"trials": 15, "space": "fine-grid", "budget": {"sparsity": [0.3, 0.6]}})
    proposed = first_trials(toy.candidates, toy.setup.budgets)
    assert list(proposed) == ["uniform", "magnitude", "fisher", "knapsack"]
    for architectures in proposed.values():
        for architecture, budget in zip(architectures, toy.setup.budgets, strict=True):
            cost = budget.cost(toy.setup.grid.levels(architecture))
            assert cost >= budget.target - 1e-9


def test_only_methods_that_are_asked_for_propose(pipeline: MakePipeline) -> None:
    toy = pipeline(search={"trials": 6, "budget": {"sparsity": 0.5}, "first": ["uniform"]})
    assert list(first_trials(toy.candidates, toy.setup.budgets)) == ["uniform"]


def test_rows_come_in_the_same_order_after_a_resume(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = pipeline()
    whole = Architecture.dense(toy.dense.shape)
    first = toy.scorer(whole).outcomes
    monkeypatch.setattr("aebert.run.study.dense_logits", lambda *_: pytest.fail("the doubt of each row is known"))
    again = pipeline().scorer(whole).outcomes
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.losses, again.losses)


def test_a_study_goes_on_where_it_was(pipeline: MakePipeline) -> None:
    search = {"space": "fine-grid", "budget": {"sparsity": 0.5}, "first": ["uniform"], "rungs": "none"}
    half = pipeline(search={**search, "trials": 3}).trials
    whole = pipeline(search={**search, "trials": 6}).trials
    assert [trial.number for trial in whole] == list(range(6))
    assert [trial.architecture for trial in whole[:3]] == [trial.architecture for trial in half]
