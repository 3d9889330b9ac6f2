"""A study of an earlier version must load for as long as its README promises."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aebert.pruning.architecture import Architecture
from aebert.search.connections import sqlite_url
from aebert.search.reading import StoredStudy, read_study
from aebert.search.study import search

pytestmark = pytest.mark.usefixtures("few_draws")
GOLDEN = Path(__file__).parents[1] / "golden"
# what a trial of 0.1 says nothing about
SINCE_02: dict[str, Any] = {"cost": None, "std_error": None, "stopped_at": None, "hypervolume": None, "drift": None}
# what studies before rungs say nothing about
SINCE_02 |= {"repaired": False, "base": None, "library": None}
# what studies before workers say nothing about
SINCE_02 |= {"known_until": None}
# what studies before latency budgets, before fronts went by grid steps, and before divergences say nothing about
LATER = {"device": "", "estimated": False, "step": 0.0, "objective": "", "unlabelled_rows": 0}


@pytest.fixture
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[StoredStudy, dict[str, Any]]:
    """A copy, since opening a database may write to it, and what was in it when it was made."""
    shutil.copy(GOLDEN / f"{request.param}.db", tmp_path / "study.db")
    stored = json.loads((GOLDEN / f"{request.param}.json").read_text(encoding="utf-8"))
    return read_study(sqlite_url(tmp_path / "study.db"), "toy"), stored


@pytest.mark.parametrize("golden", ["study-0.1", "study-0.2"], indirect=True)
def test_its_records_are_those_that_were_stored(golden: tuple[StoredStudy, dict[str, Any]]) -> None:
    study, stored = golden
    assert [record.to_dict() for record in study.records] == [{**SINCE_02, **old} for old in stored["records"]]
    assert json.loads(json.dumps(vars(study.info))) == {**LATER, **stored["info"]}
    assert [json.loads(json.dumps(verdict.to_dict())) for verdict in study.verdicts] == stored.get("verdicts", [])
    first, _, third, *_ = study.records  # by hand: the file beside it could be wrong in the same way
    assert (first.origin, first.architecture) == ("dense", Architecture((4, 4, 4), (64, 64, 64)))
    # 9,676 parameters besides the fixed ones: 1 head and 24 neurons per layer are 7,824, then a head and 12 neurons
    assert (third.origin, third.budget) == ("uniform", 0.6)
    assert third.architecture == Architecture((2, 1, 1), (28, 28, 28))


@pytest.mark.parametrize("golden", ["study-0.1"], indirect=True)
def test_a_study_of_0_1_resumes(golden: tuple[StoredStudy, dict[str, Any]], toy: ModuleType, tmp_path: Path) -> None:
    before = list(golden[0].records)
    setup = toy.toy_setup(tmp_path / "study.db", 8, "tpe", (0.3, 0.6))
    after, verdicts = search(setup, toy.ToyScorer(), toy.toy_first(setup, "uniform"))
    assert after[:6] == before
    assert len(after) == 8
    # its trials have no outcomes: the best is known, who is tied with it is not
    assert [(verdict.tied, verdict.optimism) for verdict in verdicts] == [
        ((verdict.best,), None) for verdict in verdicts
    ]
    assert [list(verdict.gains) for verdict in verdicts] == [["uniform"], ["uniform"]]


@pytest.mark.parametrize("golden", ["study-0.2"], indirect=True)
def test_a_study_of_0_2_goes_on_as_if_it_was_made_now(
    golden: tuple[StoredStudy, dict[str, Any]], toy: ModuleType, tmp_path: Path
) -> None:
    before = list(golden[0].records)
    assert {"dense", "uniform", "magnitude", "sampled", "neighbour"} == {record.origin for record in before}
    assert any(record.stopped_at for record in before)
    setup = toy.toy_setup(tmp_path / "study.db", len(before) + 4, "tpe", (0.3, 0.6))
    after, verdicts = search(setup, toy.RowScorer(), toy.toy_first(setup, "uniform", "magnitude"))
    assert after[: len(before)] == before
    whole = toy.toy_setup(tmp_path / "whole.db", len(before) + 4, "tpe", (0.3, 0.6))
    expected = search(whole, toy.RowScorer(), toy.toy_first(whole, "uniform", "magnitude"))
    assert (toy.without_times(after), verdicts) == (toy.without_times(expected[0]), expected[1])
