from __future__ import annotations

import dataclasses
import shutil
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from aebert.errors import AebertError
from aebert.models.evaluation import evaluate
from aebert.pruning.recipe import Recipe
from aebert.pruning.subnetwork import load_subnetwork
from aebert.reporting.rows import Repair
from aebert.run.pipeline import Pipeline
from aebert.search.knowledge import recipe_of
from aebert.search.record import TrialRecord

from .conftest import MakePipeline

BUDGET = {"sparsity": [0.3, 0.8]}
LADDER = {"trials": 17, "space": "fine-grid", "first": ["knapsack"], "budget": BUDGET, "race": False}


def recipes(toy: Pipeline) -> dict[int, Recipe]:
    trials = {trial.number: trial for trial in toy.trials}
    return {number: recipe_of(trial, trials) for number, trial in trials.items()}


def plain(trials: list[TrialRecord]) -> list[TrialRecord]:
    return [dataclasses.replace(trial, seconds=0.0) for trial in trials]


@pytest.fixture
def toy(pipeline: MakePipeline) -> Pipeline:
    """A finished study of two budgets with two rungs between them."""
    made = pipeline(search=LADDER)
    assert [round(budget.target, 2) for budget in made.setup.rungs] == [0.3, 0.49, 0.63, 0.73, 0.8]
    assert {trial.origin for trial in made.trials} >= {"dense", "knapsack", "rung", "repaired"}
    return made


def test_every_trial_can_be_made_again_as_it_was_scored(toy: Pipeline) -> None:
    rows = toy.rows("search")
    assert max(_depth(recipe) for recipe in recipes(toy).values()) >= 2
    for trial in toy.trials:
        result = evaluate(toy.rungs.make(recipes(toy)[trial.number]), rows)
        assert result.loss == pytest.approx(trial.loss, abs=1e-5)
        assert result.metrics["accuracy"] == pytest.approx(trial.score)


def _depth(recipe: Recipe) -> int:
    return 0 if recipe.base is None else 1 + _depth(recipe.base)


def test_candidates_are_cut_from_the_repaired_best_of_the_rung_above(toy: Pipeline) -> None:
    for recipe in recipes(toy).values():
        if recipe.base is None:
            continue
        small, base = toy.rungs.make(recipe.unrepaired), toy.rungs.make(recipe.base)
        for one, most in zip(small.parameters(), base.parameters(), strict=False):
            assert one.numel() <= most.numel()
    models = sorted((toy.run.folder / "rungs").glob("*/model/model.safetensors"))
    libraries = sorted((toy.run.folder / "rungs").glob("*/library"))
    assert len(models) == len(libraries) == 4


def test_a_study_that_was_stopped_goes_on_as_if_it_had_not(toy: Pipeline, pipeline: MakePipeline) -> None:
    parts = pipeline(name="parts", search=LADDER)
    search = parts.setup.info.trials
    for stop in (15, 16, search):
        made = pipeline(name="parts", search={**LADDER, "trials": stop})
        again = made.trials
    assert plain(again) == plain(toy.trials)


def test_the_latest_repaired_models_are_not_made_again(toy: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    repaired = list(dict.fromkeys(recipe for recipe in recipes(toy).values() if recipe.repaired))[:3]
    one, two, three = (toy.rungs.make(recipe) for recipe in repaired)
    with torch.no_grad():
        for parameter in three.parameters():
            parameter.zero_()  # what is handed out is a copy
    made: list[Any] = []
    monkeypatch.setattr("aebert.run.rungs.repair_sequentially", lambda dense, small, *_: made.append(small))
    for recipe, before in ((repaired[1], two), (repaired[2], None)):
        again = toy.rungs.make(recipe)
        assert any(parameter.abs().sum() > 0 for parameter in again.parameters())
        for mine, other in zip(again.parameters(), before.parameters() if before is not None else (), strict=False):
            torch.testing.assert_close(mine, other, rtol=0, atol=0)
    assert made == []
    toy.rungs.make(repaired[0])
    assert len(made) == 1
    del one


def test_what_was_deleted_is_made_again(toy: Pipeline, pipeline: MakePipeline) -> None:
    last = max(trial.number for trial in toy.trials if trial.base is not None)
    recipe, before = recipes(toy)[last], toy.rungs.make(recipes(toy)[last])
    shutil.rmtree(toy.run.folder / "rungs")
    again = pipeline(search=LADDER).rungs.make(recipe)
    for one, other in zip(before.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_only_libraries_that_are_asked_for_are_kept(toy: Pipeline) -> None:
    bases = {recipe.base for recipe in recipes(toy).values() if recipe.base is not None}
    deepest = max(bases, key=_depth)
    shallow = min(bases, key=_depth)
    toy.rungs.keep([deepest])
    assert len(list((toy.run.folder / "rungs").iterdir())) == 1 + _depth(deepest)  # what it is cut from, too
    toy.rungs.keep([shallow])
    (left,) = (toy.run.folder / "rungs").iterdir()
    kept = load_subnetwork(left / "model")
    for one, other in zip(kept.parameters(), toy.rungs.make(shallow).parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def starts(toy: Pipeline, monkeypatch: pytest.MonkeyPatch) -> dict[str, PreTrainedModel]:
    """The repaired finalists as their training begins, by name; nothing is trained."""
    started: dict[str, PreTrainedModel] = {}
    monkeypatch.setattr(
        "aebert.run.finalists.train_model",
        lambda run, model, *_, title, **__: started.update({title.replace("fine-tune trial ", "trial-"): model}),
    )
    repaired = {finalist.name for finalist in toy.finalists if finalist.trial.repaired}
    assert repaired
    return {name: started[name] for name in repaired}


FOUR = {"count": 4, "epochs": 1}


@pytest.mark.usefixtures("toy")
def test_a_finalist_starts_from_what_was_scored(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = pipeline(search=LADDER, finalists=FOUR)
    for name, model in starts(toy, monkeypatch).items():
        (finalist,) = (one for one in toy.finalists if one.name == name)
        assert finalist.repair is not None
        assert finalist.repair.used
        assert finalist.budget in (0.3, 0.8)
        assert evaluate(model, toy.rows("search")).loss == pytest.approx(finalist.trial.loss, abs=1e-5)


@pytest.mark.usefixtures("toy")
def test_repair_that_is_worse_beyond_doubt_is_not_used(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def worse(dense: Any, small: Any, *_: Any) -> None:
        with torch.no_grad():
            small.classifier.weight.neg_()

    toy = pipeline(search=LADDER, finalists=FOUR)
    monkeypatch.setattr("aebert.run.rungs.repair_sequentially", worse)
    started = starts(toy, monkeypatch)
    worst = [finalist for finalist in toy.finalists if finalist.repair is not None and not finalist.repair.used]
    assert worst
    for finalist in worst:
        unrepaired = toy.rungs.make(recipes(toy)[finalist.trial.number].unrepaired)
        for one, other in zip(started[finalist.name].parameters(), unrepaired.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("repair", "used"), [((0.1, 0.0, 0.2), True), ((-0.1, -0.2, 0.0), True), ((-0.2, -0.3, -0.1), False)]
)
def test_repair_is_used_unless_its_whole_interval_is_below_zero(repair: tuple[float, float, float], used: bool) -> None:
    assert Repair(*repair).used is used


@pytest.mark.parametrize(
    ("search", "pruning", "message"),
    [
        (
            {"rungs": [0.9]},
            "library",
            r"search\.rungs must lie between the dense model \(0\) and the hardest budget \(0\.8\), got 0\.9",
        ),
        ({"rungs": [0.5]}, "magnitude", r"search\.rungs: rungs need the block library; .* got 'magnitude'"),
        (
            {"trials": 14},
            "library",
            r"search\.trials must be at least 15: the dense model, 1 first trials .* \(5 rungs\), got 14",
        ),
    ],
)
def test_a_ladder_that_cannot_be_is_one_line(
    search: dict[str, Any], pruning: str, message: str, pipeline: MakePipeline
) -> None:
    first = ["knapsack"] if pruning == "library" else ["uniform"]
    with pytest.raises(AebertError, match=f"^{message}") as no:
        _ = pipeline(search={**LADDER, "first": first, **search}, pruning={"method": pruning}).inspect()
    assert "\n" not in str(no.value)


def test_without_rungs_the_trials_are_those_of_older_versions(pipeline: MakePipeline) -> None:
    made = pipeline(search={**LADDER, "rungs": "none", "trials": 6})
    assert made.setup.between is None
    assert "search.rungs" not in made.setup.settings
    assert {trial.origin for trial in made.trials} <= {"dense", "knapsack", "sampled", "neighbour"}


def test_given_rungs_are_gone_down(pipeline: MakePipeline) -> None:
    made = pipeline(search={**LADDER, "rungs": [0.5], "trials": 11})
    assert [budget.target for budget in made.setup.rungs] == [0.3, 0.5, 0.8]
    assert [trial.budget for trial in made.trials if trial.origin == "rung"] == [0.5, 0.8]
