"""Trials that are asked for before all trials before them are known."""

from __future__ import annotations

import dataclasses
import json
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aebert.errors import StudyError
from aebert.search.connections import sqlite_url
from aebert.search.executor import InProcess, Work
from aebert.search.record import TrialRecord
from aebert.search.scored import Scored
from aebert.search.scorers import scoring
from aebert.search.study import search

pytestmark = pytest.mark.usefixtures("few_draws")
ONE, SEVERAL = (0.5,), (0.3, 0.5, 0.7)


class Stop(Exception):
    """What ends a search in the middle."""


@dataclass
class Spoiled:
    """A scorer on rows, some of whose scores are no number. It breaks off after so many candidates."""

    rows: Any
    left: float = float("inf")
    asked: list[Work] = field(default_factory=list)

    def __call__(self, work: Work) -> Scored:
        if len(self.asked) >= self.left:
            raise Stop
        self.asked.append(work)
        scored: Scored = self.rows(work.recipe.architecture, work.rival)
        ffn = work.recipe.architecture.ffn
        return replace(scored, loss=float("nan")) if sum(ffn) // 4 % 5 == 3 and ffn[0] < 64 else scored


def _go(
    toy: ModuleType,
    path: Path,
    score: Any,
    window: int,
    trials: int | None,
    sampler: str = "tpe",
    targets: tuple[float, ...] = SEVERAL,
) -> list[TrialRecord]:
    setup = toy.toy_setup(path, trials, sampler, targets)
    return search(setup, InProcess(score, window), toy.toy_first(setup, "uniform", "magnitude"))[0]


@pytest.mark.parametrize(
    ("sampler", "targets", "window"),
    [
        ("tpe", SEVERAL, 4),
        ("local", ONE, 8),
        ("nsga2", SEVERAL, 4),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [("random", ONE, 2), ("tpe", ONE, 8), ("gp", ONE, 4), ("nsga2", ONE, 8)]
        ),
    ],
)
def test_interrupted_at_random_it_ends_as_if_never_interrupted(
    sampler: str, targets: tuple[float, ...], window: int, toy: ModuleType, tmp_path: Path
) -> None:
    trials = 44 if sampler == "nsga2" else 16 if sampler == "gp" else 30
    scorer = Spoiled(toy.RowScorer())
    expected = _go(toy, tmp_path / "whole.db", scorer, window, trials, sampler, targets)
    rng, stops, done, path = random.Random(1), 0, False, tmp_path / "killed.db"
    while not done:
        try:
            found = _go(toy, path, Spoiled(toy.RowScorer(), rng.randrange(1, 18)), window, trials, sampler, targets)
            done = True
        except Stop:
            stops += 1
    assert stops >= 1
    assert toy.without_times(found) == toy.without_times(expected)
    assert toy.stored(sqlite_url(path)) == toy.stored(sqlite_url(tmp_path / "whole.db"))
    if trials > 20:
        assert len(expected) < trials, "failures must have been put to the test"
        assert scorer.rows.stopped > 0, "races too"


def test_a_trial_records_how_many_were_known(toy: ModuleType, tmp_path: Path) -> None:
    records = _go(toy, tmp_path / "study.db", Spoiled(toy.RowScorer()), 4, 24)
    for record in records:
        assert record.known_until == (None if record.number == 0 else max(0, record.number - 3))
    one = _go(toy, tmp_path / "one.db", Spoiled(toy.RowScorer()), 1, 24)
    assert all(record.known_until is None for record in one)
    assert [record.architecture for record in records] != [record.architecture for record in one]


def test_a_candidate_is_scored_once_although_it_is_proposed_before_its_score_is_known(
    toy: ModuleType, tmp_path: Path
) -> None:
    setup = toy.toy_setup(tmp_path / "study.db", 5)
    same = toy.toy_first(setup, "uniform")["uniform"]
    scorer = Spoiled(toy.RowScorer())
    records, _ = search(setup, InProcess(scorer, 8), {"uniform": same, "fisher": same, "taylor": same})
    assert [(record.same_as, record.known_until) for record in records[1:4]] == [(None, 0), (1, 0), (1, 0)]
    assert len(scorer.asked) == 3
    assert toy.without_times(search(setup, InProcess(scorer, 8), {"uniform": same, "fisher": same, "taylor": same})[0])


@pytest.mark.parametrize(("before", "after"), [(4, 1), (1, 4), (8, 2)])
def test_a_study_goes_on_with_another_number_of_workers(
    before: int, after: int, toy: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "study.db"
    first = _go(toy, path, Spoiled(toy.RowScorer()), before, 15)
    both = _go(toy, path, Spoiled(toy.RowScorer()), after, 24)
    assert both[: len(first)] == first
    late = [record for record in both if record.number >= 15 + max(before, after)]
    assert late
    assert {record.known_until for record in late} == (
        {None} if after == 1 else {record.number + 1 - after for record in late}
    )
    known = [record.number if record.known_until is None else record.known_until for record in both]
    assert known == sorted(known)
    assert _go(toy, path, Spoiled(toy.RowScorer(), left=0), 2, 24) == both  # replayed, nothing is scored


def test_a_trial_that_knew_more_than_the_schedule_says_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    _go(toy, path, Spoiled(toy.RowScorer()), 4, 12)
    with closing(sqlite3.connect(path)) as connection, connection:
        (row, text), *_ = connection.execute(
            "SELECT a.rowid, value_json FROM trial_user_attributes a JOIN trials USING (trial_id) "
            "WHERE key = 'aebert' AND number = 9"
        ).fetchall()
        record = {**json.loads(text), "known_until": 4}
        connection.execute("UPDATE trial_user_attributes SET value_json = ? WHERE rowid = ?", (json.dumps(record), row))
    with pytest.raises(StudyError, match=r"^trial 9 of study 'toy' must be 'sampled'"):
        _go(toy, path, Spoiled(toy.RowScorer()), 4, 16)


def test_a_search_that_ends_by_itself_ends_at_the_same_trial(toy: ModuleType, tmp_path: Path) -> None:
    whole = _go(toy, tmp_path / "whole.db", Spoiled(toy.RowScorer()), 4, None, targets=ONE)
    path = tmp_path / "study.db"
    with pytest.raises(Stop):
        _go(toy, path, Spoiled(toy.RowScorer(), left=20), 4, None, targets=ONE)
    assert toy.without_times(_go(toy, path, Spoiled(toy.RowScorer()), 4, None, targets=ONE)) == toy.without_times(whole)
    assert _go(toy, path, Spoiled(toy.RowScorer(), left=0), 4, None, targets=ONE)[-1].number == whole[-1].number


# --- the ladder ------------------------------------------------------------------------------------------------------


def _descend(toy: ModuleType, path: Path, window: int, trials: int, left: float = float("inf")) -> list[TrialRecord]:
    setup = dataclasses.replace(toy.toy_setup(path, trials, "tpe", (0.3, 0.6, 0.8)), between=(0.45,))
    ladder = toy.ToyLadder()
    score = scoring(toy.RowScorer(), ladder)
    asked: list[Work] = []

    def limited(work: Work) -> Scored:
        if len(asked) >= left:
            raise Stop
        asked.append(work)
        assert work.recipe.base is None or work.recipe.base in ladder.built  # workers only read
        return score(work)

    return search(setup, InProcess(limited, window), toy.toy_first(setup, "uniform"), ladder=ladder)[0]


def test_a_descent_waits_where_all_results_are_needed(toy: ModuleType, tmp_path: Path) -> None:
    records = _descend(toy, tmp_path / "study.db", 4, 60)
    begun = [record for record in records if record.origin == "rung"]
    assert len(begun) >= 4
    assert all(record.known_until is None for record in begun)  # a library was built
    repaired = [record for record in records if record.origin == "repaired"]
    firsts = [record for record in repaired if records[record.number - 1].origin != "repaired"]
    assert all(record.known_until is None for record in firsts)
    sampled = [record for record in records if record.origin in ("sampled", "neighbour")]
    assert any(record.known_until == record.number - 3 for record in sampled)


@pytest.mark.parametrize("stop", [3, 6, 9, 14, 25, 37])
def test_a_descent_that_was_stopped_goes_on_as_if_it_had_not(stop: int, toy: ModuleType, tmp_path: Path) -> None:
    whole = _descend(toy, tmp_path / "whole.db", 4, 45)
    with pytest.raises(Stop):
        _descend(toy, tmp_path / "study.db", 4, 45, left=stop)
    assert toy.without_times(_descend(toy, tmp_path / "study.db", 4, 45)) == toy.without_times(whole)


def test_with_one_worker_a_descent_is_what_it_was(toy: ModuleType, tmp_path: Path) -> None:
    setup = dataclasses.replace(toy.toy_setup(tmp_path / "study.db", 45, "tpe", (0.3, 0.6, 0.8)), between=(0.45,))
    before = search(setup, toy.RowScorer(), toy.toy_first(setup, "uniform"), ladder=toy.ToyLadder())[0]
    assert toy.without_times(_descend(toy, tmp_path / "one.db", 1, 45)) == toy.without_times(before)
