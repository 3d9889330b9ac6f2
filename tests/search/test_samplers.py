"""What every registered sampler must keep, whichever it is."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial, TrialState

from aebert.errors import ConfigError
from aebert.search.proposer import Proposer
from aebert.search.reading import read_study
from aebert.search.record import TrialRecord
from aebert.search.samplers import SAMPLERS, study_memory, trial_sampler

if TYPE_CHECKING:
    from tests.search.conftest import Server

# Past what each draws at random before it models anything (NSGA-II: its first generation of 20), and no further.
TRIALS = {"random": 12, "tpe": 16, "nsga2": 44, "gp": 14, "local": 16}
TARGETS = [(0.5,), (0.3, 0.5, 0.7)]
every_sampler = pytest.mark.parametrize("sampler", list(SAMPLERS))
one_or_several_budgets = pytest.mark.parametrize("targets", TARGETS, ids=["one", "several"])


Whole = dict[tuple[str, tuple[float, ...]], list[TrialRecord]]


@pytest.fixture(scope="module")
def whole(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """What each sampler does when nobody stops it."""
    folder = tmp_path_factory.mktemp("whole")
    found: Whole = {}
    for sampler in SAMPLERS:
        for targets in TARGETS:
            path = folder / f"{sampler}{len(targets)}.db"
            setup = toy.toy_setup(path, TRIALS.get(sampler, 30), sampler, targets)
            found[sampler, targets] = toy.without_times(toy.study(setup, toy.ToyScorer(), "uniform"))
    return found


@every_sampler
@one_or_several_budgets
def test_stopped_and_resumed_equals_never_stopped(
    sampler: str, targets: tuple[float, ...], toy: ModuleType, tmp_path: Path, whole: Whole
) -> None:
    trials = TRIALS.get(sampler, 30)
    stops = (1, 5, trials // 2, trials - 3, trials)
    for total in stops:
        records = toy.study(toy.toy_setup(tmp_path / "study.db", total, sampler, targets), toy.ToyScorer(), "uniform")
        assert [record.number for record in records] == list(range(total))
    assert toy.without_times(records) == whole[sampler, targets]


@every_sampler
def test_the_same_seed_draws_the_same_in_another_process(
    sampler: str, toy: ModuleType, tmp_path: Path, whole: Whole, server: Server
) -> None:
    trials = {"nsga2": 26, "gp": 13}.get(sampler, 12)
    server.start(tmp_path / "other.db", trials, sampler, TARGETS[1])
    server.wait()
    records = read_study(f"sqlite:///{tmp_path / 'other.db'}", "toy").records
    assert len(records) == trials
    assert toy.without_times(records) == whole[sampler, TARGETS[1]][:trials]


@every_sampler
def test_another_seed_draws_others_and_the_same_start(sampler: str, toy: ModuleType, tmp_path: Path) -> None:
    runs = [
        toy.study(toy.toy_setup(tmp_path / f"{seed}.db", 6, sampler, seed=seed), toy.ToyScorer(), "uniform")
        for seed in (0, 1)
    ]
    first, second = ([record.architecture for record in records] for records in runs)
    assert first[:2] == second[:2]
    assert not set(first[2:]) & set(second[2:])


@every_sampler
def test_sampled_trials_differ_among_each_other(sampler: str, whole: Whole) -> None:
    architectures = [record.architecture for record in whole[sampler, TARGETS[0]][2:]]
    assert len(set(architectures)) > len(architectures) / 2


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2", "local"])
def test_learning_samplers_beat_the_uniform_start_and_their_own_first_draws(
    sampler: str, toy: ModuleType, tmp_path: Path
) -> None:
    trials = {"tpe": 60, "gp": 20, "nsga2": 100, "local": 60}[sampler]
    records = toy.study(toy.toy_setup(tmp_path / "study.db", trials, sampler, seed=3), toy.ToyScorer(), "uniform")
    uniform, sampled = records[1].score, [record.score for record in records[2:]]
    assert max(sampled) > uniform + 0.1
    early, late = sampled[:9], sampled[-9:]
    assert sorted(late)[4] > sorted(early)[4]


def test_an_unknown_sampler_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        trial_sampler("nsga", 0, 1)
    assert str(caught.value) == "unknown sampler 'nsga' (did you mean 'nsga2'?); known: gp, local, nsga2, random, tpe"


def test_the_uniform_start_counts_for_the_first_generation_of_nsga2(toy: ModuleType, tmp_path: Path) -> None:
    """Nothing is drawn for it, and Optuna numbers generations only where it draws."""
    toy.study(toy.toy_setup(tmp_path / "study.db", 25, "nsga2", (0.3, 0.6)), toy.ToyScorer(), "uniform")
    trials = optuna.load_study(storage=toy.unpooled(tmp_path / "study.db"), study_name="toy").trials
    generations = [[v for k, v in trial.system_attrs.items() if k.endswith("generation")] for trial in trials]
    assert generations == [[], *[[0]] * 20, *[[1]] * 4]


def _study(generations: int, failed: frozenset[int], several: bool) -> list[FrozenTrial]:
    """Random NSGA-II trials of 20 per generation that were not failures; numbers from 1."""
    rng, complete = np.random.default_rng(5), 0
    trials: list[FrozenTrial] = []
    while complete < 20 * generations:
        number, x = len(trials) + 1, float(rng.random())
        trial = optuna.trial.create_trial(
            state=TrialState.FAIL if number in failed else TrialState.COMPLETE,
            values=None if number in failed else [round(x, 1), 1 - x][: 1 + several],
            params={"x": x},
            distributions={"x": FloatDistribution(0, 1)},
            system_attrs={"_OrderedNSGAII:generation": complete // 20},
        )
        trial.number, trial._trial_id = number, number + 1
        trials.append(trial)
        complete += number not in failed
    return trials


@pytest.mark.parametrize("several", [False, True])
def test_nsga2_is_shown_the_parents_that_optuna_finds_among_all_trials(several: bool) -> None:
    """Oracle: Optuna's own NSGA-II, which computes every generation's parents from the whole study."""
    trials = [t for t in _study(5, frozenset({3, 30, 31, 67}), several) if t.state == TrialState.COMPLETE]
    study = optuna.create_study(directions=["maximize"] * (1 + several))
    study.add_trials(trials)
    oracle = type("_OrderedNSGAII", (NSGAIISampler,), {})(population_size=20)  # the name is in the generations' key
    memory = study_memory("nsga2", (0.3, 0.6) if several else (0.5,))
    for done, trial in enumerate(trials, start=1):
        memory.add(trial)
        generation = (done - 1) // 20
        parents = [trials[parent.number].number for parent in oracle.get_parent_population(study, generation)]
        latest = [each.number for each in trials[20 * generation : done]]
        assert [shown.number for shown in memory.trials()] == sorted(parents) + latest


def test_nsga2_of_many_generations_resumes() -> None:
    """Optuna finds parents by recursion through all generations, which ends at some 250 of them."""
    proposer = Proposer("nsga2", 0, ("x",), (0.5,))
    proposer.replay(_study(400, frozenset(), several=False))
    asked = proposer.ask(8001, 0.5)
    assert proposer.tell(asked, [1.0], {}).system_attrs["_OrderedNSGAII:generation"] == 400


@pytest.mark.parametrize(("name", "most"), [("random", 0), ("tpe", 300), ("gp", 100), ("local", 10), ("nsga2", 40)])
def test_what_a_sampler_is_shown_does_not_grow(name: str, most: int) -> None:
    memory, sizes = study_memory(name, (0.5,)), []
    for trial in _study(40, frozenset(), several=False):
        memory.add(trial)
        sizes.append(len(memory.trials()))
    assert 0.9 * most <= max(sizes) <= most  # one of the latest may be one of the best


def test_a_sampler_without_a_memory_of_its_own_is_shown_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SAMPLERS, "_values", {**SAMPLERS._values, "mine": optuna.samplers.RandomSampler})
    memory, trials = study_memory("mine", (0.5,)), _study(3, frozenset(), several=False)
    for trial in trials:
        memory.add(trial)
    assert list(memory.trials()) == trials


def test_an_unknown_sampler_has_no_memory() -> None:
    with pytest.raises(ConfigError, match=r"^unknown sampler 'tpee' \(did you mean 'tpe'\?\)"):
        study_memory("tpee", (0.5,))
