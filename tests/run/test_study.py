from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from aebert.errors import ConfigError, DataError, StudyError
from aebert.pruning.architecture import Architecture
from aebert.reporting.checked import checked_lines
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


def test_candidates_are_ranked_by_divergence_without_labels(pipeline: MakePipeline, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("A film that nobody has labelled.\nAnother one of these films.\n")
    unlabelled = {"train_rows": 10, "texts": [str(tmp_path / "more.txt")]}
    search = {"trials": 10, "space": "fine-grid", "budget": {"sparsity": 0.5}}
    search |= {"objective": "divergence", "unlabelled": unlabelled}
    toy = pipeline(search=search)
    trials = toy.trials
    assert trials[0].loss == pytest.approx(0.0, abs=1e-6)
    assert all(trial.score == -trial.loss < 0 for trial in trials[1:])
    assert (toy.setup.info.unlabelled_rows, toy.setup.info.objective) == (12, "divergence")
    assert "without labels: 12, on which candidates are compared" in " ".join(checked_lines(toy.checked))
    seen = toy.scorer(Architecture.dense(toy.dense.shape)).outcomes
    assert seen is not None
    assert len(seen) == toy.setup.info.scored_rows == toy.setup.info.search_rows + 12
    again = pipeline(search={**search, "trials": 12}).trials
    assert [trial.architecture for trial in again[:10]] == [trial.architecture for trial in trials]
    (tmp_path / "more.txt").write_text("Some other text.\n")
    with pytest.raises(StudyError, match=r"search\.unlabelled was '\w+', now '\w+'"):
        _ = pipeline(search=search).inspect()


@pytest.mark.parametrize("objective", ["metric", "loss"])
def test_rows_without_labels_need_the_objective_that_has_none(objective: str, pipeline: MakePipeline) -> None:
    with pytest.raises(ConfigError, match=r"unlabelled rows are for objective divergence, got "):
        pipeline(search={"objective": objective, "unlabelled": {"train_rows": 5}})


def test_texts_that_are_all_labelled_rows_are_refused(
    pipeline: MakePipeline, made: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copy(made["data"] / "test.csv", tmp_path / "again.csv")
    search = {"objective": "divergence", "unlabelled": {"texts": [str(tmp_path / "again.csv")]}}
    with pytest.raises(DataError, match=r"^search\.unlabelled\.texts must have a text that is in no role, [^\n]+$"):
        _ = pipeline(search=search).inspect()


def test_a_study_goes_on_where_it_was(pipeline: MakePipeline) -> None:
    search = {"space": "fine-grid", "budget": {"sparsity": 0.5}, "first": ["uniform"], "rungs": "none"}
    half = pipeline(search={**search, "trials": 3}).trials
    whole = pipeline(search={**search, "trials": 6}).trials
    assert [trial.number for trial in whole] == list(range(6))
    assert [trial.architecture for trial in whole[:3]] == [trial.architecture for trial in half]
