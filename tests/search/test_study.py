from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from aebert.errors import BudgetError
from aebert.models.shape import ModelShape
from aebert.progress import Silent
from aebert.pruning.architecture import Architecture
from aebert.search.space import SearchSpace, make_grid
from aebert.search.storage import StudyDatabase
from aebert.search.study import search


def _stored(path: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(storage=f"sqlite:///{path}", study_name="toy").trials


def test_dense_first_then_uniform_then_budgets_in_turn(toy: ModuleType, tmp_path: Path) -> None:
    records = search(toy.toy_setup(tmp_path / "study.db", 9, targets=(0.25, 0.5, 0.75)), toy.ToyScorer())
    assert [record.origin for record in records] == ["dense", *["uniform"] * 3, *["sampled"] * 5]
    assert [record.budget for record in records] == [None, 0.25, 0.5, 0.75, 0.25, 0.5, 0.75, 0.25, 0.5]
    assert records[0].architecture == Architecture((4, 4, 4), (64, 64, 64))
    assert (records[0].sparsity, records[0].macs_removed, records[0].score) == (0.0, 0.0, 1.0)
    # half of 25,632 parameters may stay, 576 are fixed: 2 heads and 28 neurons of each layer are 12,324, and a step of
    # 4 neurons is 260: one more fits
    assert records[2].architecture == Architecture((2, 2, 2), (32, 28, 28))
    assert records[2].params == 5000 + 576 + 6 * 1048 + 88 * 65
    for record in records[1:]:
        assert record.budget is not None
        assert record.sparsity >= record.budget


def test_what_is_counted_of_a_trial(toy: ModuleType, tmp_path: Path) -> None:
    record = search(toy.toy_setup(tmp_path / "study.db", 2, targets=(0.5,)), toy.ToyScorer())[1]
    scored = toy.ToyScorer()(record.architecture)
    heads, neurons = sum(record.architecture.heads), sum(record.architecture.ffn)
    assert (record.metrics, record.loss, record.score) == (scored.metrics, scored.loss, scored.metrics["accuracy"])
    assert record.params == 5576 + 1048 * heads + 65 * neurons
    assert record.sparsity == pytest.approx(1 - (576 + 1048 * heads + 65 * neurons) / 25_632)
    assert record.macs == 32 * ((1024 + 2 * 8 * 32) * heads + 64 * neurons)
    assert record.macs_removed == pytest.approx(1 - record.macs / (32 * (1536 * 12 + 64 * 192)))
    assert record.seconds > 0


def test_trials_are_whole_in_the_database(toy: ModuleType, tmp_path: Path) -> None:
    records = search(toy.toy_setup(tmp_path / "study.db", 5), toy.ToyScorer())
    trials = _stored(tmp_path / "study.db")
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 5
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    assert trials[0].params == {}
    names = {"heads.0", "heads.1", "heads.2", "ffn.0", "ffn.1", "ffn.2"}
    assert set(trials[1].params) == set(trials[4].params) == names
    assert set(trials[1].params.values()) == {0.5}
    assert [trial.values for trial in trials] == [[record.score] for record in records]


@pytest.mark.parametrize("kind", ["sparsity", "macs"])
def test_several_budgets_have_the_share_removed_as_second_objective(kind: str, toy: ModuleType, tmp_path: Path) -> None:
    setup = toy.toy_setup(tmp_path / "study.db", 6, targets=(0.25, 0.5))
    setup = dataclasses.replace(setup, info=dataclasses.replace(setup.info, budget_kind=kind))
    records = search(setup, toy.ToyScorer())
    trials = _stored(tmp_path / "study.db")
    removed = [record.sparsity if kind == "sparsity" else record.macs_removed for record in records]
    assert [trial.values for trial in trials] == [
        [record.score, share] for record, share in zip(records, removed, strict=True)
    ]
    assert [trial.params["budget"] for trial in trials[1:]] == [0.25, 0.5, 0.25, 0.5, 0.25]
    study = optuna.load_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="toy")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MAXIMIZE"]


def test_objective_loss_is_its_negative(toy: ModuleType, tmp_path: Path) -> None:
    records = search(toy.toy_setup(tmp_path / "study.db", 4, objective="loss"), toy.ToyScorer())
    assert [record.score for record in records] == [-record.loss for record in records]
    assert records[1].loss > records[0].loss == 0.0


def test_an_architecture_is_scored_once(toy: ModuleType, tmp_path: Path) -> None:
    """2 layers of 2 heads and 2 neurons: 19 architectures fill half of it, so 40 trials must repeat some."""
    shape = ModelShape("bert", 8, 4, 1, (2, 2), (2, 2), (1, 1), (1, 1), (1, 1), (1, 1), 0, 0, 0)
    grid = make_grid(SearchSpace(source="", ffn={"step": 1}), shape)  # type: ignore[arg-type]

    @dataclasses.dataclass
    class Scorer:
        asked: list[Architecture]

        def __call__(self, architecture: Architecture) -> Any:
            self.asked.append(architecture)
            return toy.ToyScore({"accuracy": architecture.heads[0] / 2}, 0.0)

    scorer = Scorer([])
    for total in (17, 40):  # across a restart too
        records = search(toy.toy_setup(tmp_path / "study.db", total, shape=shape, grid=grid), scorer)
    assert len(records) == 40
    assert len(scorer.asked) == len(set(scorer.asked)) == len({record.architecture for record in records}) <= 20
    first: dict[Architecture, int] = {}
    for record in records:
        assert record.same_as == first.get(record.architecture)
        first.setdefault(record.architecture, record.number)
        assert record.score == record.architecture.heads[0] / 2
        assert record.same_as is None or record.seconds == 0.0


def test_the_total_counts_all_trials_and_adds_none_the_second_time(toy: ModuleType, tmp_path: Path) -> None:
    path, scorer = tmp_path / "study.db", toy.ToyScorer()
    first = search(toy.toy_setup(path, 6), scorer)
    asked = len(scorer.asked)
    assert search(toy.toy_setup(path, 6), scorer) == first
    assert search(toy.toy_setup(path, 3), scorer) == first
    assert len(scorer.asked) == asked
    more = search(toy.toy_setup(path, 8), scorer)
    assert more[:6] == first
    assert len(more) == 8


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("objective", "spoiled"), [("metric", "metric"), ("metric", "loss"), ("loss", "loss")])
def test_a_score_that_is_no_number_fails_the_trial_and_not_the_study(
    objective: str, wrong: float, spoiled: str, toy: ModuleType, tmp_path: Path
) -> None:
    scorer = toy.ToyScorer()

    def spoil(architecture: Architecture) -> Any:
        scored = scorer(architecture)
        if len(scorer.asked) not in (1, 4):
            return scored
        return toy.ToyScore({"accuracy": wrong}, 0.0) if spoiled == "metric" else toy.ToyScore(scored.metrics, wrong)

    path = tmp_path / "study.db"
    search(toy.toy_setup(path, 5, objective=objective), spoil)
    records = search(toy.toy_setup(path, 8, objective=objective), spoil)
    assert [record.number for record in records] == [1, 2, 4, 5, 6, 7]
    trials = _stored(path)
    assert [trial.number for trial in trials if trial.state == TrialState.FAIL] == [0, 3]
    for trial in (trials[0], trials[3]):
        assert trial.user_attrs["failure"] == "score or loss is not a finite number"
        assert trial.user_attrs["architecture"] == scorer.asked[trial.number].to_dict()
        assert trial.values is None
    assert set(trials[3].params) == set(trials[4].params)


def test_a_scorer_that_breaks_leaves_the_trials_before_it(toy: ModuleType, tmp_path: Path) -> None:
    scorer = toy.ToyScorer()

    def broken(architecture: Architecture) -> Any:
        if len(scorer.asked) == 4:
            raise KeyboardInterrupt
        return scorer(architecture)

    with pytest.raises(KeyboardInterrupt):
        search(toy.toy_setup(tmp_path / "study.db", 9), broken)
    assert [trial.state for trial in _stored(tmp_path / "study.db")] == [TrialState.COMPLETE] * 4
    resumed = search(toy.toy_setup(tmp_path / "study.db", 9), toy.ToyScorer())
    assert toy.told(resumed) == toy.told(search(toy.toy_setup(tmp_path / "whole.db", 9), toy.ToyScorer()))


def test_an_unreachable_budget_is_told_before_anything_is_made(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match=r"sparsity 0\.99 asks to remove more than the 0\.97752 that"):
        search(toy.toy_setup(tmp_path / "study.db", 3, targets=(0.5, 0.99)), toy.ToyScorer())
    assert not (tmp_path / "study.db").exists()


def test_the_bar_tells_how_far_and_how_good(toy: ModuleType, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []

    class Bar:
        def advance(self, steps: float = 1, note: str = "") -> None:
            told.append((steps, note))

    class Watcher(Silent):
        def bar(self, title: str, total: float) -> object:  # type: ignore[override]
            assert (title, total) == ("search toy", 3)
            return contextlib.nullcontext(Bar())

    search(toy.toy_setup(tmp_path / "study.db", 2), toy.ToyScorer())
    search(toy.toy_setup(tmp_path / "study.db", 3), toy.ToyScorer(), Watcher())  # type: ignore[arg-type]
    assert [steps for steps, _ in told] == [2, 1]
    # the uniform architecture scores (0.5 + (9 * 32 + 4 * 28 + 28) / 896) / 2 = 0.489 and keeps 12,584 of 25,632
    assert told[0][1] == "best accuracy 48.9 (trial 1, 51% removed)"


def test_load_reads_what_search_returned(toy: ModuleType, tmp_path: Path) -> None:
    setup = toy.toy_setup(tmp_path / "study.db", 4, targets=(0.3, 0.6))
    records = search(setup, toy.ToyScorer())
    database = StudyDatabase.load(setup.storage, "toy")
    assert database.records() == records
    assert database.info == setup.info
