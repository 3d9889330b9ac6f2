"""Our rows must be those that Optuna writes for the same trials."""

from __future__ import annotations

import datetime
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from aebert.search.rows import insert_trials


def _trials(objectives: int) -> list[FrozenTrial]:
    space = {"x": FloatDistribution(0, 1), "n": IntDistribution(1, 9), "c": CategoricalDistribution(["u", "v"])}
    attributes = {"aebert": {"number": 1, "score": 0.5, "list": [1, None, "ü"]}, "outcomes": "o" * 4000}
    system = {"fixed_params": {"x": 0.25}, "generation": 3}
    made = optuna.trial.create_trial
    return [
        made(values=[0.0] * objectives, user_attrs=attributes),
        made(
            values=[0.1 + 0.2, math.inf][:objectives],
            params={"x": 1 / 3, "n": 4, "c": "v"},
            distributions=dict(space),
            user_attrs=attributes,
            system_attrs=system,
        ),
        made(state=TrialState.FAIL, params={"x": 0.5}, distributions={"x": space["x"]}, user_attrs={"failure": "no"}),
        made(values=[-math.inf, -1.0][:objectives], params={"x": 0.0}, distributions={"x": space["x"]}),
    ]


def _storage(path: Path, objectives: int) -> tuple[RDBStorage, optuna.Study]:
    storage = RDBStorage(f"sqlite:///{path}")
    optuna.create_study(storage=storage, study_name="other").add_trial(optuna.trial.create_trial(value=1.0))
    return storage, optuna.create_study(storage=storage, study_name="s", directions=["maximize"] * objectives)


def _rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Rows of every table, without the keys that only number them."""
    tables = ("trials", "trial_values", "trial_params", "trial_user_attributes", "trial_system_attributes")
    with closing(sqlite3.connect(path)) as database:
        return {table: sorted(row[1:] for row in database.execute(f"SELECT * FROM {table}")) for table in tables}


@pytest.mark.parametrize("objectives", [1, 2])
def test_the_rows_are_those_of_optuna(objectives: int, tmp_path: Path) -> None:
    trials = _trials(objectives)
    for trial in trials:
        trial.datetime_start = trial.datetime_complete = datetime.datetime(2026, 7, 1, 12, 30, 1, 5)
    ours, study = _storage(tmp_path / "ours.db", objectives)
    theirs, expected = _storage(tmp_path / "theirs.db", objectives)
    for trial in trials:
        insert_trials(ours, study._study_id, [trial])
        expected.add_trial(trial)
    assert [
        (t.number, t.state, t.values, t.params, t.distributions, t.user_attrs, t.system_attrs, t.datetime_start)
        for t in study.get_trials()
    ] == [
        (t.number, t.state, t.values, t.params, t.distributions, t.user_attrs, t.system_attrs, t.datetime_start)
        for t in expected.get_trials()
    ]
    mine, optunas = _rows(tmp_path / "ours.db"), _rows(tmp_path / "theirs.db")
    for table in ("trial_values", "trial_params", "trial_user_attributes", "trial_system_attributes"):
        assert mine[table] == optunas[table], table
    ours.engine.dispose()
    theirs.engine.dispose()


def test_several_at_once_are_numbered_in_order(tmp_path: Path) -> None:
    storage, study = _storage(tmp_path / "s.db", 1)
    insert_trials(storage, study._study_id, _trials(1)[:2])
    insert_trials(storage, study._study_id, _trials(1) * 30)
    trials = study.get_trials()
    assert [trial.number for trial in trials] == list(range(122))
    assert [trial.user_attrs.get("failure") for trial in trials[:6]] == [None, None, None, None, "no", None]
    assert list(trials[1].params) == ["x", "n", "c"]
    storage.engine.dispose()


def test_a_trial_that_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    storage, study = _storage(tmp_path / "s.db", 1)
    before = _rows(tmp_path / "s.db")
    good, bad = _trials(1)[1], _trials(1)[3]
    bad.values = [None]
    bad.state = None  # type: ignore[assignment]
    with pytest.raises(SQLAlchemyError):
        insert_trials(storage, study._study_id, [good, bad])
    assert _rows(tmp_path / "s.db") == before
    storage.engine.dispose()
