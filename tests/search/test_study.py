from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from aebert.errors import BudgetError
from aebert.models.shape import ModelShape
from aebert.progress import Silent
from aebert.pruning.architecture import Architecture
from aebert.search.axis import Axis, share_axis, study_axis
from aebert.search.budget import project
from aebert.search.connections import sqlite_url
from aebert.search.front import Reference, best_per_budget, hypervolume, meets, pareto_front
from aebert.search.judge import Judge, Objective
from aebert.search.kinds import KINDS
from aebert.search.outcomes import Outcomes
from aebert.search.ranking import pick
from aebert.search.reading import read_study
from aebert.search.record import TrialRecord, Verdict
from aebert.search.schedule import FirstTrials
from aebert.search.scoring import Scored
from aebert.search.setup import SearchSetup
from aebert.search.space import SearchSpace, make_grid
from aebert.search.study import search

SPARSITY = Axis(KINDS["sparsity"])
pytestmark = pytest.mark.usefixtures("few_draws")


def test_dense_first_then_uniform_then_budgets_in_turn(toy: ModuleType, tmp_path: Path) -> None:
    records = toy.study(toy.toy_setup(tmp_path / "study.db", 9, targets=(0.25, 0.5, 0.75)), toy.ToyScorer())
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
    record = toy.study(toy.toy_setup(tmp_path / "study.db", 2, targets=(0.5,)), toy.ToyScorer())[1]
    scored = toy.ToyScorer()(record.architecture)
    heads, neurons = sum(record.architecture.heads), sum(record.architecture.ffn)
    assert (record.metrics, record.loss, record.score) == (scored.metrics, scored.loss, scored.metrics["accuracy"])
    assert record.params == 5576 + 1048 * heads + 65 * neurons
    assert record.sparsity == pytest.approx(1 - (576 + 1048 * heads + 65 * neurons) / 25_632)
    assert record.macs == 32 * ((1024 + 2 * 8 * 32) * heads + 64 * neurons)
    assert record.macs_removed == pytest.approx(1 - record.macs / (32 * (1536 * 12 + 64 * 192)))
    assert record.seconds > 0


def test_trials_are_whole_in_the_database(toy: ModuleType, tmp_path: Path) -> None:
    records = toy.study(toy.toy_setup(tmp_path / "study.db", 5), toy.ToyScorer())
    trials = toy.frozen_trials(sqlite_url(tmp_path / "study.db"))
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 5
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    assert trials[0].params == {}
    names = {"heads.0", "heads.1", "heads.2", "ffn.0", "ffn.1", "ffn.2"}
    assert set(trials[1].params) == set(trials[4].params) == names
    # the shares of (2, 2, 2) of 4 heads and (32, 28, 28) of 64 neurons: they mean the same architecture again
    assert [trials[1].params[name] for name in sorted(names)] == [0.5, 0.4375, 0.4375, 0.5, 0.5, 0.5]
    # ties are broken by the loss, by less than half of what one of the 192 rows counts
    broken = [record.score - record.loss / (1 + record.loss) / 384 for record in records]
    assert [trial.values for trial in trials] == [[pytest.approx(value, abs=1e-12)] for value in broken]


@pytest.mark.parametrize("kind", ["sparsity", "macs"])
def test_several_budgets_have_the_share_removed_as_second_objective(kind: str, toy: ModuleType, tmp_path: Path) -> None:
    setup = toy.toy_setup(tmp_path / "study.db", 6, targets=(0.25, 0.5))
    setup = dataclasses.replace(setup, info=dataclasses.replace(setup.info, budget_kind=kind))
    records = toy.study(setup, toy.ToyScorer())
    trials = toy.frozen_trials(sqlite_url(tmp_path / "study.db"))
    removed = [record.sparsity if kind == "sparsity" else record.macs_removed for record in records]
    assert [trial.values[1] for trial in trials] == removed
    for trial, record in zip(trials, records, strict=True):
        assert record.score - 1 / 384 < trial.values[0] <= record.score
    assert [trial.params["budget"] for trial in trials[1:]] == [0.25, 0.5, 0.25, 0.5, 0.25]
    study = optuna.load_study(storage=toy.unpooled(tmp_path / "study.db"), study_name="toy")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MAXIMIZE"]


def test_objective_loss_is_its_negative(toy: ModuleType, tmp_path: Path) -> None:
    records = toy.study(toy.toy_setup(tmp_path / "study.db", 4, judge=Judge(toy.SPEC, "loss")), toy.ToyScorer())
    assert [record.score for record in records] == [-record.loss for record in records]
    assert records[1].loss > records[0].loss == 0.0


def test_an_architecture_is_scored_once(toy: ModuleType, tmp_path: Path) -> None:
    """2 layers of 2 heads and 2 neurons: 19 architectures fill half of it, so 40 trials must repeat some."""
    shape = ModelShape(
        family="bert",
        hidden=8,
        head_size=4,
        ffn_per_layer=1,
        heads=(2, 2),
        ffn=(2, 2),
        head_params=(1, 1),
        ffn_params=(1, 1),
        head_macs=(1, 1),
        ffn_macs=(1, 1),
        fixed_params=0,
        fixed_macs=0,
        other_params=0,
    )
    grid = make_grid(SearchSpace(source="", ffn={"step": 1}), shape)  # type: ignore[arg-type]

    @dataclasses.dataclass
    class Scorer:
        asked: list[Architecture]

        def __call__(self, architecture: Architecture, rival: Outcomes | None = None) -> Scored:
            self.asked.append(architecture)
            return Scored({"accuracy": architecture.heads[0] / 2}, 0.0)

    scorer = Scorer([])
    for total in (17, 40):  # across a restart too
        records = toy.study(toy.toy_setup(tmp_path / "study.db", total, shape=shape, grid=grid), scorer)
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
    first = toy.study(toy.toy_setup(path, 6), scorer)
    asked = len(scorer.asked)
    assert toy.study(toy.toy_setup(path, 6), scorer) == first
    assert toy.study(toy.toy_setup(path, 3), scorer) == first
    assert len(scorer.asked) == asked
    more = toy.study(toy.toy_setup(path, 8), scorer)
    assert more[:6] == first
    assert len(more) == 8


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("objective", "spoiled"), [("metric", "metric"), ("metric", "loss"), ("loss", "loss")])
def test_a_score_that_is_no_number_fails_the_trial_and_not_the_study(
    objective: Objective, wrong: float, spoiled: str, toy: ModuleType, tmp_path: Path
) -> None:
    scorer = toy.ToyScorer()

    def spoil(architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        scored: Scored = scorer(architecture)
        if len(scorer.asked) not in (1, 4):
            return scored
        return Scored({"accuracy": wrong}, 0.0) if spoiled == "metric" else Scored(scored.metrics, wrong)

    path = tmp_path / "study.db"
    toy.study(toy.toy_setup(path, 5, judge=Judge(toy.SPEC, objective)), spoil)
    records = toy.study(toy.toy_setup(path, 8, judge=Judge(toy.SPEC, objective)), spoil)
    assert [record.number for record in records] == [1, 2, 4, 5, 6, 7]
    trials = toy.frozen_trials(sqlite_url(path))
    assert [trial.number for trial in trials if trial.state == TrialState.FAIL] == [0, 3]
    for trial in (trials[0], trials[3]):
        assert trial.user_attrs["failure"] == "score or loss is not a finite number"
        assert trial.user_attrs["architecture"] == scorer.asked[trial.number].to_dict()
        assert trial.values is None
    assert set(trials[3].params) == set(trials[4].params)


def test_a_scorer_that_breaks_leaves_the_trials_before_it(toy: ModuleType, tmp_path: Path) -> None:
    scorer = toy.ToyScorer()

    def broken(architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        if len(scorer.asked) == 4:
            raise KeyboardInterrupt
        found: Scored = scorer(architecture)
        return found

    with pytest.raises(KeyboardInterrupt):
        toy.study(toy.toy_setup(tmp_path / "study.db", 9), broken)
    assert [trial.state for trial in toy.frozen_trials(sqlite_url(tmp_path / "study.db"))] == [TrialState.COMPLETE] * 4
    resumed = toy.study(toy.toy_setup(tmp_path / "study.db", 9), toy.ToyScorer())
    assert toy.without_times(resumed) == toy.without_times(
        toy.study(toy.toy_setup(tmp_path / "whole.db", 9), toy.ToyScorer())
    )


def test_an_unreachable_budget_is_refused_before_anything_is_made(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match=r"sparsity 0\.99 asks to remove more than the 0\.97752 that"):
        search(toy.toy_setup(tmp_path / "study.db", 3, targets=(0.5, 0.99)), toy.ToyScorer(), {})
    assert not (tmp_path / "study.db").exists()


def test_the_bar_tells_how_far_and_how_good(toy: ModuleType, tmp_path: Path) -> None:
    shown: list[tuple[float, str]] = []

    class Bar:
        def advance(self, steps: float = 1, note: str = "") -> None:
            shown.append((steps, note))

    class Watcher(Silent):
        def bar(self, title: str, total: float) -> object:  # type: ignore[override]
            assert (title, total) == ("search toy", 3)
            return contextlib.nullcontext(Bar())

    toy.study(toy.toy_setup(tmp_path / "study.db", 2), toy.ToyScorer())
    toy.study(toy.toy_setup(tmp_path / "study.db", 3), toy.ToyScorer(), progress=Watcher())
    assert [steps for steps, _ in shown] == [2, 1]
    # the uniform architecture scores (0.5 + (9 * 32 + 4 * 28 + 28) / 896) / 2 = 0.489 and keeps 12,584 of 25,632
    assert shown[0][1] == "best accuracy 48.9 (trial 1, 51% removed)"


# --- first trials, neighbours, races, verdicts -----------------------------------------------------------------------

TARGETS = (0.3, 0.5, 0.7)


@dataclasses.dataclass(frozen=True)
class Raced:
    """A study on rows with two methods of first trials."""

    setup: SearchSetup
    scorer: Any
    records: list[TrialRecord]


@pytest.fixture(scope="module")
def raced(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Raced:
    setup, scorer = toy.toy_setup(tmp_path_factory.mktemp("raced") / "study.db", 60, targets=TARGETS), toy.RowScorer()
    return Raced(setup, scorer, toy.study(setup, scorer, "uniform", "magnitude"))


def test_first_trials_come_method_by_method_as_they_are_and_are_never_raced(raced: Raced, toy: ModuleType) -> None:
    setup, scorer, records = raced.setup, raced.scorer, raced.records
    assert [record.origin for record in records[:7]] == ["dense", *["uniform"] * 3, *["magnitude"] * 3]
    assert [record.budget for record in records[:7]] == [None, *TARGETS, *TARGETS]
    first = toy.toy_first(setup, "uniform", "magnitude")
    assert [record.architecture for record in records[1:7]] == [*first["uniform"], *first["magnitude"]]
    assert scorer.rivals[:7] == [None] * 7
    assert all(record.stopped_at is None for record in records[:7])
    # and every later one has a rival, since the first trials meet all budgets
    assert None not in scorer.rivals[7:]
    assert {record.origin for record in records[7:]} == {"sampled", "neighbour"}


def test_the_rival_is_the_best_that_costs_no_more(raced: Raced, toy: ModuleType) -> None:
    scorer, records = raced.scorer, raced.records
    scored = [record for record in records if record.same_as is None]
    assert len(scored) == len(scorer.asked)
    for place, (record, rival) in enumerate(zip(scored, scorer.rivals, strict=True)):
        if rival is None:
            continue
        assert record.budget is not None
        able = [r for r in scored[1:place] if r.stopped_at is None and r.sparsity >= record.budget - 1e-9]
        best = min(able, key=lambda r: (-r.score, r.loss, r.number))
        assert rival.encode() == toy.toy_outcomes(best.architecture).encode()


def test_without_races_nothing_has_a_rival(toy: ModuleType, tmp_path: Path) -> None:
    scorer = toy.RowScorer()
    records = toy.study(toy.toy_setup(tmp_path / "study.db", 20, targets=TARGETS, race=False), scorer)
    assert (scorer.stopped, set(scorer.rivals)) == (0, {None})
    assert all(record.stopped_at is None for record in records)


def test_a_neighbour_s_best_is_brought_onto_the_budget(raced: Raced) -> None:
    setup, records = raced.setup, raced.records
    near = [record for record in records if record.origin == "neighbour"]
    assert len(near) >= 5
    assert {record.budget for record in near} == {*TARGETS}
    budgets = {budget.target: budget for budget in setup.budgets}
    for record in near:
        assert record.budget is not None
        before = [r for r in records[1 : record.number] if r.stopped_at is None and r.same_as is None]
        place = TARGETS.index(record.budget)
        expected = []
        for other in (place + 1, place - 1):
            able = [r for r in before if 0 <= other < 3 and r.sparsity >= TARGETS[other] - 1e-9]
            if able:
                best = min(able, key=lambda r: (-r.score, r.loss, r.number))
                expected.append(project(setup.grid.preferences(best.architecture), setup.grid, budgets[record.budget]))
        assert record.architecture in expected
        assert record.same_as is None  # one that is known would say nothing new
    turns = [(record.number - 7) // 3 for record in near]
    assert {turn % 4 for turn in turns} == {3}


def test_one_budget_has_no_neighbours(toy: ModuleType, tmp_path: Path) -> None:
    records = toy.study(toy.toy_setup(tmp_path / "study.db", 25), toy.ToyScorer())
    assert {record.origin for record in records[2:]} == {"sampled"}


def test_a_stopped_candidate_is_an_estimate_and_wins_nothing(raced: Raced, toy: ModuleType) -> None:
    setup, scorer, records = raced.setup, raced.scorer, raced.records
    stopped = [record for record in records if record.stopped_at is not None]
    assert scorer.stopped >= 10
    assert {record.stopped_at for record in stopped} == {64, 96}
    numbers = {record.number for record in stopped}
    best = best_per_budget(records, setup.info)
    assert not numbers & {record.number for record in best.values()}
    assert not numbers & {record.number for record in pareto_front(records, study_axis(setup.info, records))}
    for by in ("front", "score"):
        picked = pick(records, (), setup.info, 60, by)
        assert not numbers & {record.number for record in picked}
        assert len(picked) == len({r.architecture for r in records if r.stopped_at is None and r.budget})
    trials, verdicts = toy.frozen_trials(setup.storage), read_study(setup.storage, "toy").verdicts
    assert not numbers & {number for verdict in verdicts for number in verdict.tied}
    for record in stopped:
        rival = scorer.rivals[scorer.asked.index(record.architecture)]
        assert rival is not None
        assert record.score < toy.JUDGE.score(rival)
        assert record.std_error is None
        assert record.drift is None
        assert "aebert-outcomes" not in trials[record.number].user_attrs
        # the sampler learns from the estimate: score, less than half a row for the loss
        assert record.score - 1 / 384 < trials[record.number].values[0] <= record.score
    whole = [record for record in records if record.stopped_at is None and record.same_as is None]
    dense = toy.toy_outcomes(records[0].architecture)
    for record in whole:
        outcomes = toy.toy_outcomes(record.architecture)
        assert trials[record.number].user_attrs["aebert-outcomes"] == outcomes.encode()
        assert record.std_error == toy.JUDGE.error(outcomes) > 0
        assert record.drift == pytest.approx(np.abs(outcomes.losses - dense.losses).mean())


def test_the_best_never_rises_from_a_budget_to_a_harder_one(raced: Raced) -> None:
    setup, records = raced.setup, raced.records
    best = best_per_budget(records, setup.info)
    scores = [best[target].score for target in TARGETS]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[2]


@pytest.mark.parametrize("objective", ["metric", "loss"])
def test_the_stored_hypervolume_is_that_of_all_trials_so_far(
    objective: Objective, toy: ModuleType, tmp_path: Path
) -> None:
    setup = toy.toy_setup(tmp_path / "study.db", 40, targets=TARGETS, judge=Judge(toy.SPEC, objective))
    records = toy.study(setup, toy.RowScorer())
    reference = 0.0 if objective == "metric" else 3 * records[0].score
    for count, record in enumerate(records, start=1):
        expected = hypervolume(records[:count], SPARSITY, Reference(reference))
        assert record.hypervolume == pytest.approx(expected, abs=1e-12)
    volumes = [record.hypervolume or 0.0 for record in records]
    assert volumes == sorted(volumes)
    assert 0 < volumes[3] < volumes[-1]


@pytest.mark.parametrize(("kind", "targets"), [("params", (2.2e4, 1.5e4)), ("size_mb", (0.058, 0.045))])
def test_a_hypervolume_is_of_shares_of_the_dense_cost(
    kind: str, targets: tuple[float, ...], toy: ModuleType, tmp_path: Path
) -> None:
    setup = toy.toy_setup(tmp_path / "study.db", 12, targets=targets)
    setup = dataclasses.replace(setup, info=dataclasses.replace(setup.info, budget_kind=kind))
    records = toy.study(setup, toy.ToyScorer())
    dense = records[0].cost
    assert dense is not None
    shares = [1 - (record.cost or 0.0) / dense for record in records]
    best = max(record.score * share for record, share in zip(records, shares, strict=True))
    assert best < (records[-1].hypervolume or 0.0) < 1
    # samplers learn from the share of parameters, as they did before fronts were over the budget's own unit
    for record, trial in zip(records, toy.frozen_trials(sqlite_url(tmp_path / "study.db")), strict=True):
        assert trial.values[1] == record.sparsity
    # whether the study was resumed makes no difference
    again = dataclasses.replace(setup, info=dataclasses.replace(setup.info, trials=14))
    whole = dataclasses.replace(again, storage=sqlite_url(tmp_path / "whole.db"))
    assert toy.without_times(toy.study(again, toy.ToyScorer())) == toy.without_times(toy.study(whole, toy.ToyScorer()))


@pytest.mark.parametrize(
    ("kind", "step"),
    # of 30,632 parameters and 25,632 in the encoder, 4 neurons are 260; a token's MACs of a head are 1024 + 2 · 8 · 32
    # beside 256 of 4 neurons, three layers of 4 heads and 64 neurons in all; a neuron is 64 weights and 9 bytes for its
    # bias, scale and zero point
    [("sparsity", 260 / 25_632), ("macs", 256 / 30_720), ("params", 260.0), ("size_mb", 4 * 73 / 1e6)],
)
def test_the_grid_step_is_known_and_stored(kind: str, step: float, toy: ModuleType, tmp_path: Path) -> None:
    targets = {"sparsity": (0.5,), "macs": (0.5,), "params": (2e4,), "size_mb": (0.058,)}[kind]
    setup = toy.toy_setup(tmp_path / "study.db", 2, targets=targets)
    setup = dataclasses.replace(setup, info=dataclasses.replace(setup.info, budget_kind=kind))
    assert setup.info.step == pytest.approx(step)
    toy.study(setup, toy.ToyScorer())
    assert read_study(setup.storage, "toy").info == setup.info


def test_an_old_study_whose_sizes_were_not_recorded_goes_on_over_shares(toy: ModuleType, tmp_path: Path) -> None:
    setup = toy.toy_setup(tmp_path / "study.db", 6, targets=(0.058, 0.045))
    setup = dataclasses.replace(setup, info=dataclasses.replace(setup.info, budget_kind="size_mb"))
    toy.study(setup, toy.ToyScorer())
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as connection, connection:
        rows = connection.execute("SELECT rowid, value_json FROM trial_user_attributes WHERE key = 'aebert'").fetchall()
        for row, text in rows:
            old = json.dumps({key: value for key, value in json.loads(text).items() if key != "cost"})
            connection.execute("UPDATE trial_user_attributes SET value_json = ? WHERE rowid = ?", (old, row))
    longer = dataclasses.replace(setup, info=dataclasses.replace(setup.info, trials=10))
    records = toy.study(longer, toy.ToyScorer())
    assert all(record.cost is None for record in records[:6])
    assert any(record.cost is not None for record in records[6:])
    assert study_axis(setup.info, records) == share_axis(setup.info) == SPARSITY
    assert records[-1].hypervolume == hypervolume(records, SPARSITY, Reference(0.0))


def test_verdicts_are_stored_read_back_and_made_anew_with_more_trials(toy: ModuleType, tmp_path: Path) -> None:
    def go(trials: int) -> tuple[list[TrialRecord], list[Verdict]]:
        setup = toy.toy_setup(tmp_path / "study.db", trials, "tpe", TARGETS)
        found = search(setup, toy.RowScorer(), toy.toy_first(setup, "uniform", "magnitude"))
        assert list(read_study(setup.storage, "toy").verdicts) == found[1]
        return found

    _, early = go(10)
    records, late = go(45)
    assert go(45) == (records, late)
    best = best_per_budget(records, toy.toy_setup(tmp_path / "x.db", 1, targets=TARGETS).info)
    assert [verdict.budget for verdict in late] == [verdict.budget for verdict in early] == [*TARGETS]
    assert early != late
    for before, verdict in zip(early, late, strict=True):
        assert verdict.best == best[verdict.budget].number == verdict.tied[0]
        seen = {r.number for r in records if r.stopped_at is None and r.same_as is None and r.budget is not None}
        able = [number for number in seen if records[number].sparsity >= verdict.budget - 1e-9]
        assert verdict.candidates == len(able) > before.candidates
        assert {*verdict.tied} <= {*able}
        assert verdict.optimism is not None
        assert set(verdict.gains) == {"uniform", "magnitude"}
        for gain in verdict.gains.values():
            assert gain.value == pytest.approx(records[verdict.best].score - records[gain.number].score)
            assert gain.low is not None
            assert gain.high is not None
            assert gain.low <= gain.value <= gain.high
            assert records[gain.number].budget == verdict.budget


def test_two_methods_that_propose_the_same_are_both_compared(toy: ModuleType, tmp_path: Path) -> None:
    """The second one's trial takes over the first one's score; so must its outcomes, also when resumed."""
    setup = toy.toy_setup(tmp_path / "study.db", 4)
    same = toy.toy_first(setup, "uniform")["uniform"]
    first: FirstTrials = {"uniform": same, "fisher": same}
    scorer = toy.RowScorer()
    records, verdicts = search(setup, scorer, first)
    assert len(scorer.asked) == 3
    assert (records[2].origin, records[2].same_as) == ("fisher", 1)
    uniform, fisher = (verdicts[0].gains[name] for name in ("uniform", "fisher"))
    assert (fisher.number, fisher.value, fisher.low) == (2, uniform.value, uniform.low)
    assert fisher.low is not None
    assert search(setup, scorer, first)[1] == verdicts


def test_an_architecture_that_failed_is_not_scored_again(toy: ModuleType, tmp_path: Path) -> None:
    """Not in the same process and not after a restart; both methods propose it here."""
    setup = toy.toy_setup(tmp_path / "study.db", 2)
    same = toy.toy_first(setup, "uniform")["uniform"]
    first: Any = {"uniform": same, "magnitude": same, "fisher": same}
    asked: list[Architecture] = []

    def failing(architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        asked.append(architecture)
        return Scored({"accuracy": float("nan")}, 1.0) if architecture == same[0] else toy.RowScorer()(architecture)

    for trials in (2, 3, 4, 6):
        records, _ = search(toy.toy_setup(tmp_path / "study.db", trials), failing, first)
    assert asked.count(same[0]) == 1
    assert [record.number for record in records] == [0, 4, 5]
    assert [trial.state.name for trial in toy.frozen_trials(sqlite_url(tmp_path / "study.db"))] == [
        "COMPLETE",
        *["FAIL"] * 3,
        *["COMPLETE"] * 2,
    ]


@pytest.mark.parametrize("kind", ["sparsity", "macs", "params", "size_mb"])
def test_every_kind_of_budget_is_met_by_every_trial(kind: Any, toy: ModuleType, tmp_path: Path) -> None:
    # of 30,632 parameters, 2.5 bytes each at most
    targets = {"sparsity": (0.3, 0.6), "macs": (0.3, 0.6), "params": (2.2e4, 1.5e4), "size_mb": (0.058, 0.045)}[kind]
    setup = toy.toy_setup(tmp_path / "study.db", 16, targets=targets)
    setup = dataclasses.replace(setup, info=dataclasses.replace(setup.info, budget_kind=kind))
    records = toy.study(setup, toy.RowScorer(), "uniform", "magnitude")
    budgets = {budget.target: budget for budget in setup.budgets}
    for record in records[1:]:
        assert record.budget is not None
        assert meets(record, record.budget, setup.info)
        budget, levels = budgets[record.budget], setup.grid.levels(record.architecture)
        assert budget.table.total(levels) <= budget.limit
        assert record.cost == budget.cost(levels)


def test_blocks_of_a_layer_that_share_a_preference(toy: ModuleType, tmp_path: Path) -> None:
    grid = make_grid(toy.SPACE.model_copy(update={"per": "layer"}), toy.SHAPE)
    records = toy.study(
        toy.toy_setup(tmp_path / "study.db", 20, targets=TARGETS, grid=grid), toy.RowScorer(), "uniform", "magnitude"
    )
    trials = toy.frozen_trials(sqlite_url(tmp_path / "study.db"))
    assert set(trials[-1].params) == {"layer.0", "layer.1", "layer.2", "budget"}
    assert all(record.budget is None or record.sparsity >= record.budget for record in records)
