"""What every registered sampler must keep, whichever it is."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import optuna
import pytest

from aebert.errors import ConfigError
from aebert.search.samplers import SAMPLERS, trial_sampler
from aebert.search.storage import StudyDatabase
from aebert.search.study import search

if TYPE_CHECKING:
    from tests.search.conftest import Server

# Past what each draws at random before it models anything (NSGA-II: its first generation of 20), and no further.
TRIALS = {"random": 12, "tpe": 16, "nsga2": 44, "gp": 14}
TARGETS = [(0.5,), (0.3, 0.5, 0.7)]
every_sampler = pytest.mark.parametrize("sampler", list(SAMPLERS))
one_or_several_budgets = pytest.mark.parametrize("targets", TARGETS, ids=["one", "several"])


Whole = dict[tuple[str, tuple[float, ...]], list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def whole(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """What each sampler does when nobody stops it."""
    folder = tmp_path_factory.mktemp("whole")
    found: Whole = {}
    for sampler in SAMPLERS:
        for targets in TARGETS:
            path = folder / f"{sampler}{len(targets)}.db"
            setup = toy.toy_setup(path, TRIALS.get(sampler, 30), sampler, targets)
            found[sampler, targets] = toy.told(search(setup, toy.ToyScorer()))
    return found


@every_sampler
@one_or_several_budgets
def test_stopped_and_resumed_equals_never_stopped(
    sampler: str, targets: tuple[float, ...], toy: ModuleType, tmp_path: Path, whole: Whole
) -> None:
    trials = TRIALS.get(sampler, 30)
    stops = (1, 5, trials // 2, trials - 3, trials)
    for total in stops:
        records = search(toy.toy_setup(tmp_path / "study.db", total, sampler, targets), toy.ToyScorer())
        assert [record.number for record in records] == list(range(total))
    assert toy.told(records) == whole[sampler, targets]


@every_sampler
def test_the_same_seed_draws_the_same_in_another_process(
    sampler: str, toy: ModuleType, tmp_path: Path, whole: Whole, server: Server
) -> None:
    trials = {"nsga2": 26, "gp": 13}.get(sampler, 12)
    server.start(tmp_path / "other.db", trials, sampler, TARGETS[1])
    server.wait()
    records = StudyDatabase.load(f"sqlite:///{tmp_path / 'other.db'}", "toy").records()
    assert len(records) == trials
    assert toy.told(records) == whole[sampler, TARGETS[1]][:trials]


@every_sampler
def test_another_seed_draws_others_and_the_same_start(sampler: str, toy: ModuleType, tmp_path: Path) -> None:
    runs = [search(toy.toy_setup(tmp_path / f"{seed}.db", 6, sampler, seed=seed), toy.ToyScorer()) for seed in (0, 1)]
    first, second = ([record.architecture for record in records] for records in runs)
    assert first[:2] == second[:2]
    assert not set(first[2:]) & set(second[2:])


@every_sampler
def test_sampled_trials_differ_among_each_other(sampler: str, whole: Whole) -> None:
    architectures = [told[1] for told in whole[sampler, TARGETS[0]][2:]]
    assert len(set(architectures)) > len(architectures) / 2


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_learning_samplers_beat_the_uniform_start_and_their_own_first_draws(
    sampler: str, toy: ModuleType, tmp_path: Path
) -> None:
    trials = {"tpe": 60, "gp": 20, "nsga2": 100}[sampler]
    records = search(toy.toy_setup(tmp_path / "study.db", trials, sampler, seed=3), toy.ToyScorer())
    uniform, sampled = records[1].score, [record.score for record in records[2:]]
    assert max(sampled) > uniform + 0.1
    early, late = sampled[:9], sampled[-9:]
    assert sorted(late)[4] > sorted(early)[4]


def test_an_unknown_sampler_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        trial_sampler("nsga", 0, 1)
    assert str(caught.value) == "unknown sampler 'nsga' (did you mean 'nsga2'?); known: gp, nsga2, random, tpe"


def test_the_uniform_start_counts_for_the_first_generation_of_nsga2(toy: ModuleType, tmp_path: Path) -> None:
    """Nothing is drawn for it, and Optuna numbers generations only where it draws."""
    search(toy.toy_setup(tmp_path / "study.db", 25, "nsga2", (0.3, 0.6)), toy.ToyScorer())
    trials = optuna.load_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="toy").trials
    generations = [[v for k, v in trial.system_attrs.items() if k.endswith("generation")] for trial in trials]
    assert generations == [[], *[[0]] * 20, *[[1]] * 4]
