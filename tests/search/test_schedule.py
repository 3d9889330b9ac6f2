"""The order of a search that goes down a ladder."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from aebert.errors import BudgetError, StudyError
from aebert.pruning.architecture import Architecture
from aebert.pruning.recipe import Recipe
from aebert.search.connections import sqlite_url
from aebert.search.outcomes import Outcomes
from aebert.search.ranking import pick
from aebert.search.reading import read_study
from aebert.search.record import TrialRecord
from aebert.search.rungs import STEP, between, check_given
from aebert.search.schedule import EACH_VISIT, PATIENCE
from aebert.search.scoring import Scored
from aebert.search.setup import SearchSetup
from aebert.search.study import search

pytestmark = pytest.mark.usefixtures("few_draws")
TARGETS = (0.3, 0.6, 0.8)


def descend(
    toy: ModuleType,
    path: Path,
    trials: int | None,
    ladder: Any = None,
    between: tuple[float, ...] = (0.45,),
    **change: Any,
) -> list[TrialRecord]:
    setup = laddered(toy, path, trials, between, **change)
    first = toy.toy_first(setup, "uniform")
    return search(setup, toy.RowScorer(), first, ladder=ladder or toy.ToyLadder())[0]


def laddered(
    toy: ModuleType, path: Path, trials: int | None, between: tuple[float, ...] = (0.45,), **change: Any
) -> SearchSetup:
    setup: SearchSetup = toy.toy_setup(path, trials, "tpe", TARGETS)
    return dataclasses.replace(setup, between=between, **change)


def widths(architecture: Architecture) -> tuple[int, ...]:
    return (*architecture.heads, *architecture.ffn)


def test_the_first_descent_reaches_the_hardest_budget_before_anything_is_sampled(
    toy: ModuleType, tmp_path: Path
) -> None:
    records = descend(toy, tmp_path / "study.db", 30)
    assert [record.origin for record in records[:4]] == ["dense", *["uniform"] * 3]
    order = [(record.origin, record.budget) for record in records[4:]]
    seen = list(dict.fromkeys(order))
    on_the_way_down = [pair for pair in seen if pair[0] != "sampled"][:8]
    assert on_the_way_down == [(origin, budget) for budget in (0.3, 0.45, 0.6, 0.8) for origin in ("rung", "repaired")]
    start = next(place for place, (origin, _) in enumerate(order) if origin == "sampled")
    assert set(order[start : start + EACH_VISIT]) <= {("sampled", 0.3), ("neighbour", 0.3)}
    assert not any(record.budget == 0.45 for record in records if record.origin in ("sampled", "neighbour", "uniform"))


def test_widths_only_fall_from_a_base_to_what_is_cut_from_it(toy: ModuleType, tmp_path: Path) -> None:
    records = descend(toy, tmp_path / "study.db", 60)
    based = [record for record in records if record.base is not None]
    assert {record.origin for record in based} >= {"rung", "repaired", "sampled"}
    for record in based:
        assert record.base is not None
        base = records[record.base]
        assert base.number < record.number
        assert all(
            one <= most for one, most in zip(widths(record.architecture), widths(base.architecture), strict=True)
        )
        assert record.library == f"of {base.architecture.key()}"
    assert all(record.library is None for record in records if record.base is None)


def test_the_second_round_repairs_what_was_scored_before(toy: ModuleType, tmp_path: Path) -> None:
    records = descend(toy, tmp_path / "study.db", 60)
    repaired = [record for record in records if record.repaired]
    assert len(repaired) >= 6
    for record in repaired:
        (twin,) = (one for one in records if not one.repaired and one.same_as is None and _made(one) == _made(record))
        assert twin.number < record.number
        assert record.score >= twin.score
    assert len({_made(record) for record in repaired}) == len(repaired)  # each once


def _made(record: TrialRecord) -> tuple[Architecture, int | None]:
    return record.architecture, record.base


def test_what_a_rung_hands_down_is_tied_with_its_best(toy: ModuleType, tmp_path: Path) -> None:
    records = descend(toy, tmp_path / "study.db", 20)
    first = next(record for record in records if record.origin == "rung" and record.budget == 0.45)
    assert first.base is not None
    base = records[first.base]
    assert (base.budget, base.repaired) == (0.3, True)


@pytest.mark.parametrize("stop", [5, 6, 7, 9, 12, 20, 33])
def test_a_study_that_was_stopped_goes_on_as_if_it_had_not(stop: int, toy: ModuleType, tmp_path: Path) -> None:
    whole = descend(toy, tmp_path / "whole.db", 40)
    descend(toy, tmp_path / "study.db", stop)
    ladder = toy.ToyLadder()
    assert toy.without_times(descend(toy, tmp_path / "study.db", 40, ladder)) == toy.without_times(whole)
    before = {(record.base, record.budget) for record in whole[:stop] if record.origin == "rung"}
    after = [record for record in whole[stop:] if record.origin == "rung"]
    assert [target for _, target in ladder.proposed] == [record.budget for record in after]  # none is built again
    assert all((record.base, record.budget) not in before for record in after)


def test_a_better_base_above_begins_the_rungs_below_anew(toy: ModuleType, tmp_path: Path) -> None:
    class Late(toy.RowScorer):  # type: ignore[misc,name-defined]
        """Finds out after a while how much better candidates can be."""

        def __call__(self, architecture: Architecture, rival: Outcomes | None = None) -> Scored:
            self.asked.append(architecture)
            outcomes = toy.toy_outcomes(architecture, 0.4 if len(self.asked) > 8 else 0.0)
            right = float(np.mean(outcomes.marks[:, 0] == outcomes.marks[:, 1]))
            return Scored({"accuracy": right}, float(outcomes.losses.mean()), outcomes)

    setup, ladder = laddered(toy, tmp_path / "study.db", 60), toy.ToyLadder()
    records = search(setup, Late(), toy.toy_first(setup, "uniform"), ladder=ladder)[0]
    begun = [record for record in records if record.origin == "rung" and record.budget == 0.45]
    assert len({record.base for record in begun}) == len(begun) == 2
    better = records[begun[1].base or 0]
    assert (better.budget, better.origin) == (0.3, "sampled")
    later = [record for record in records if record.budget == 0.6 and record.number > begun[1].number]
    assert later[0].origin == "rung"  # and so on down the ladder
    for kept in ladder.kept:
        assert len(kept) <= 3  # one base for each rung but the first
    assert better.architecture in {recipe.architecture for recipe in ladder.kept[-1]}


def test_budgets_that_change_nothing_are_visited_less(toy: ModuleType, tmp_path: Path) -> None:
    class Settled(toy.ToyLadder):  # type: ignore[misc,name-defined]
        """What is cut from a base scores so high that nothing can beat it, but for the hardest budget."""

        def score(self, recipe: Recipe, rival: Outcomes | None = None) -> Scored:
            self.library_worth = 2.0
            found: Scored = super().score(recipe, rival)
            return found

    records = descend(toy, tmp_path / "study.db", 300, Settled())
    of = {
        budget: sum(record.budget == budget and record.origin in ("sampled", "neighbour") for record in records)
        for budget in TARGETS
    }
    assert min(of.values()) >= EACH_VISIT
    assert sum(of.values()) > 250  # trials are spent somewhere


SAMPLED = ("sampled", "neighbour")


def test_a_search_ends_by_itself_when_no_budget_finds_anything_more(toy: ModuleType, tmp_path: Path) -> None:
    records = descend(toy, tmp_path / "auto.db", None)
    given = descend(toy, tmp_path / "given.db", len(records) + 30)
    assert toy.without_times(given[: len(records)]) == toy.without_times(records)
    for target in TARGETS:
        begun = max(one.number for one in records if one.budget == target and one.origin in ("rung", "repaired"))
        after = [one for one in records if one.number > begun or one.origin in SAMPLED]
        assert sum(one.budget == target and one.origin in SAMPLED for one in after) >= PATIENCE * EACH_VISIT


@pytest.mark.parametrize("stop", [5, 12, 33, 60])
def test_a_search_that_ends_by_itself_is_resumed(stop: int, toy: ModuleType, tmp_path: Path) -> None:
    whole = descend(toy, tmp_path / "whole.db", None)
    descend(toy, tmp_path / "study.db", min(stop, len(whole)))
    assert toy.without_times(descend(toy, tmp_path / "study.db", None)) == toy.without_times(whole)
    assert len(descend(toy, tmp_path / "study.db", None)) == len(whole)
    more = descend(toy, tmp_path / "study.db", len(whole) + 7)  # a total can still be given
    assert len(more) == len(whole) + 7
    assert len(descend(toy, tmp_path / "study.db", None)) >= len(more)


def test_what_is_found_late_keeps_a_search_going(toy: ModuleType, tmp_path: Path) -> None:
    class Lucky(toy.RowScorer):  # type: ignore[misc,name-defined]
        """From a certain candidate on, all are better beyond doubt."""

        def __call__(self, architecture: Architecture, rival: Outcomes | None = None) -> Scored:
            self.asked.append(architecture)
            outcomes = toy.toy_outcomes(architecture, 0.4 if len(self.asked) > self.late else 0.0)
            right = float(np.mean(outcomes.marks[:, 0] == outcomes.marks[:, 1]))
            return Scored({"accuracy": right}, float(outcomes.losses.mean()), outcomes)

    def count(late: int) -> int:
        setup, scorer = toy.toy_setup(tmp_path / f"{late}.db", None, "tpe", (0.3,), race=False), Lucky()
        scorer.late = late
        records = search(setup, scorer, toy.toy_first(setup, "uniform"))[0]
        assert len({record.number for record in records}) == len(records)
        return len(records)

    never = count(10**6)
    assert PATIENCE * EACH_VISIT < never < 60
    assert count(never - 4) >= never - 4 + PATIENCE * EACH_VISIT


def test_without_rungs_each_budget_has_its_patience(toy: ModuleType, tmp_path: Path) -> None:
    setup = toy.toy_setup(tmp_path / "auto.db", None, "tpe", TARGETS)
    records = search(setup, toy.RowScorer(), toy.toy_first(setup, "uniform"))[0]
    for target in TARGETS:
        assert sum(one.budget == target and one.origin in SAMPLED for one in records) >= PATIENCE * EACH_VISIT
    assert (len(records) - 1 - len(TARGETS)) % len(TARGETS) == 0  # it ends after a whole round


def test_a_study_that_was_made_in_another_order_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    toy.study(toy.toy_setup(tmp_path / "study.db", 12, "tpe", TARGETS), toy.RowScorer())
    with pytest.raises(
        StudyError, match=r"^trial 4 of study 'toy' must be 'rung' for budget 0.3, it is 'sampled' for"
    ) as no:
        descend(toy, tmp_path / "study.db", 20)
    assert "\n" not in str(no.value)
    assert len(read_study(sqlite_url(tmp_path / "study.db"), "toy").records) == 12


def test_of_a_repaired_candidate_only_that_form_is_fine_tuned(toy: ModuleType, tmp_path: Path) -> None:
    setup = laddered(toy, tmp_path / "study.db", 60)
    records, verdicts = search(setup, toy.RowScorer(), toy.toy_first(setup, "uniform"), ladder=toy.ToyLadder())
    for by in ("front", "score"):
        picked = pick(records, verdicts, setup.info, 12, by)
        made = [_made(record) for record in picked]
        assert len(set(made)) == len(made)
        repaired = {_made(record) for record in records if record.repaired}
        assert all(record.repaired for record in picked if _made(record) in repaired)
        assert all(record.sparsity >= 0.3 for record in picked)


# --- which rungs there are ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "count"),
    [((0.3,), 0), ((0.5,), 0), ((0.64,), 0), ((0.8,), 3), ((0.88,), 5), ((0.3, 0.5, 0.64, 0.8), 1), ((0.3, 0.88), 5)],
)
def test_rungs_lie_between_budgets_that_are_far_apart(
    targets: tuple[float, ...], count: int, toy: ModuleType, tmp_path: Path
) -> None:
    budgets = toy.toy_setup(tmp_path / "x", 1, targets=targets).budgets
    found = between(budgets)
    assert len(found) == count
    assert not set(found) & set(targets)
    rungs = sorted([*found, *targets])
    fixed = budgets[0].table.fixed / budgets[0].dense
    kept = [(1 - rung - fixed) / (1 - fixed) for rung in rungs]
    assert kept[0] > 0.34  # the dense model's library serves as far as that
    assert all(below / above >= STEP**1.1 for above, below in pairwise([0.5, *(one for one in kept if one < 0.499)]))


def test_rungs_of_other_kinds_are_in_the_unit_of_the_budget(toy: ModuleType, tmp_path: Path) -> None:
    setup = toy.toy_setup(tmp_path / "x", 1, targets=(9_000.0,))
    setup = dataclasses.replace(setup, info=dataclasses.replace(setup.info, budget_kind="params"))
    found = between(setup.budgets)
    assert len(found) == 4
    assert 30_632 > found[0] > found[1] > found[-1] > 9_000
    below = dataclasses.replace(setup, between=found).rungs
    assert [budget.target for budget in below] == [*found, 9_000.0]


@pytest.mark.parametrize("rung", [0.9, 0.0, -0.1, 1.5])
def test_a_rung_outside_the_range_is_refused(rung: float, toy: ModuleType, tmp_path: Path) -> None:
    budgets = toy.toy_setup(tmp_path / "x", 1, targets=(0.3, 0.8)).budgets
    with pytest.raises(BudgetError, match=r"^search.rungs must lie between the dense model \(0\) and .* \(0\.8\), got"):
        check_given([0.5, rung], budgets)


def test_given_rungs_are_those_besides_the_budgets(toy: ModuleType, tmp_path: Path) -> None:
    budgets = toy.toy_setup(tmp_path / "x", 1, targets=(0.3, 0.8)).budgets
    assert check_given([0.3, 0.5, 0.5, 0.8], budgets) == (0.5,)
