from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import optuna
import psutil
import pytest
from optuna.trial import TrialState, create_trial

from aebert.errors import NoStudyError
from aebert.search.connections import sqlite_url
from aebert.search.reading import read_study
from aebert.search.record import ATTRIBUTE, VERDICTS, TrialRecord, Verdict
from aebert.search.study import search

GOLDEN = Path(__file__).parent.parent / "golden"
pytestmark = pytest.mark.usefixtures("few_draws")


def test_what_a_search_returned_is_read(toy: ModuleType, tmp_path: Path) -> None:
    setup = toy.toy_setup(tmp_path / "study.db", 8, targets=(0.3, 0.6))
    records, verdicts = search(setup, toy.RowScorer(), toy.toy_first(setup, "uniform"))
    found = read_study(setup.storage, "toy")
    assert (found.info, list(found.records), list(found.verdicts)) == (setup.info, records, verdicts)
    assert verdicts


@pytest.mark.parametrize("name", ["study-0.1", "study-0.2"])
def test_it_reads_what_optuna_reads(name: str, toy: ModuleType, tmp_path: Path) -> None:
    path = Path(shutil.copy(GOLDEN / f"{name}.db", tmp_path / "study.db"))
    theirs = optuna.load_study(storage=toy.unpooled(path), study_name="toy")
    found = read_study(sqlite_url(path), "toy")
    trials = [trial.user_attrs[ATTRIBUTE] for trial in theirs.trials if ATTRIBUTE in trial.user_attrs]
    assert list(found.records) == [TrialRecord.from_dict(values) for values in trials]
    assert list(found.verdicts) == [Verdict.from_dict(values) for values in theirs.user_attrs.get(VERDICTS, [])]
    assert json.loads(json.dumps(vars(found.info))).items() >= theirs.user_attrs[ATTRIBUTE]["info"].items()


def test_failed_trials_are_left_out(toy: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    records = toy.study(toy.toy_setup(path, 2), toy.ToyScorer())
    optuna.load_study(storage=toy.unpooled(path), study_name="toy").add_trial(create_trial(state=TrialState.FAIL))
    assert list(read_study(sqlite_url(path), "toy").records) == records


def test_reading_changes_nothing_and_leaves_nothing_open(tmp_path: Path) -> None:
    path = Path(shutil.copy(GOLDEN / "study-0.1.db", tmp_path / "study.db"))
    before = path.read_bytes()
    path.chmod(0o444)
    read_study(sqlite_url(path), "toy")
    with pytest.raises(NoStudyError, match=r"^study 'other' is not in sqlite:.*; there: toy$"):
        read_study(sqlite_url(path), "other")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    assert str(path) not in [file.path for file in psutil.Process().open_files()]
