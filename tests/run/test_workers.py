"""A run whose candidates are scored by workers, which read its folder."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aebert.errors import StudyError
from aebert.pruning.recipe import Recipe
from aebert.run.pipeline import Pipeline
from aebert.run.workers import WorkerSetup, worker_setup
from aebert.search.executor import InProcess, Score, Work
from aebert.search.record import TrialRecord
from aebert.search.scorers import scoring
from aebert.search.study import search

MakePipeline = Callable[..., Pipeline]


def _made(toy: Pipeline) -> Score:
    """What a worker of this run makes, in this process."""
    setup = pickle.loads(worker_setup(toy.candidates).pickled)
    assert isinstance(setup, WorkerSetup)
    return setup(torch.get_num_threads())


@pytest.mark.parametrize("method", ["library", "kwon", "magnitude"])
def test_a_worker_scores_as_the_search_does(method: str, pipeline: MakePipeline) -> None:
    toy = pipeline(pruning={"method": method, "calibration_rows": 16}, search=_search(rungs="none"))
    score = _made(toy)
    dense = toy.setup.grid.architecture(toy.setup.grid.last)
    small = toy.first_trials["uniform"][0]
    for architecture in (dense, small):
        mine, theirs = toy.scorer(architecture), score(Work(Recipe(architecture)))
        assert mine.metrics == theirs.metrics
        assert mine.loss == pytest.approx(theirs.loss, abs=1e-6)


def test_a_worker_scores_recipes_of_rungs(pipeline: MakePipeline) -> None:
    toy = pipeline(search=_search())
    base = Recipe(toy.first_trials["uniform"][0], True)
    toy.rungs.build(base)
    recipe = Recipe(toy.rungs.propose(base, toy.setup.budgets[0]), True, base)
    assert _made(toy)(Work(recipe)).loss == pytest.approx(toy.rungs.score(recipe).loss, abs=1e-5)


def test_a_worker_builds_nothing(pipeline: MakePipeline) -> None:
    toy = pipeline(search=_search())
    score, base = _made(toy), Recipe(toy.first_trials["uniform"][0], True)
    with pytest.raises(StudyError, match=r"^stage rung-\w+-model in .* must be done before workers read it, it is not"):
        score(Work(Recipe(base.architecture, False, base)))
    assert not list(toy.run.folder.glob("rungs/*/library/*"))


def test_a_worker_refuses_another_dense_model(pipeline: MakePipeline) -> None:
    toy = pipeline(search=_search())
    setup = pickle.loads(worker_setup(toy.candidates).pickled)
    with pytest.raises(StudyError, match="must hold the dense model of the search, its weights have changed"):
        replace(setup, dense="another")(1)


def test_workers_are_no_setting_that_trials_depend_on(pipeline: MakePipeline) -> None:
    one = pipeline(search=_search())
    assert len(one.trials) == 8
    more = pipeline(search=_search(workers=4, timeout=60))
    assert more.trials == one.trials  # replayed, so no worker is started


@pytest.mark.slow
def test_two_workers_find_what_one_process_finds_that_asks_ahead(pipeline: MakePipeline, tmp_path: Path) -> None:
    toy = pipeline(search=_search(trials=20, budget={"sparsity": [0.3, 0.6]}, workers=2))
    ahead = pipeline(name="ahead", search=_search(trials=20, budget={"sparsity": [0.3, 0.6]}))
    executor = InProcess(scoring(ahead.scorer, ahead.rungs), window=4)
    expected, _ = search(ahead.setup, executor, ahead.first_trials, ladder=ahead.rungs)
    found = toy.trials
    assert [_parts(record) for record in found] == [_parts(record) for record in expected]
    assert {"rung", "repaired", "sampled"} <= {record.origin for record in found}
    assert any(record.known_until is not None for record in found)


def _parts(record: TrialRecord) -> tuple[object, ...]:
    return (record.origin, record.architecture, record.base, record.repaired, record.known_until, record.score)


def _search(**change: object) -> dict[str, object]:
    return {"trials": 8, "space": "fine-grid", "budget": {"sparsity": 0.5}, **change}
