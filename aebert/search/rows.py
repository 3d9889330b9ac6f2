"""Writes finished trials into Optuna's tables, all rows in one transaction.

`Study.add_trial` reads before it writes each parameter and attribute (about 45 statements for 12 parameters), tries
five times when the database is locked, and keeps a copy of every trial in memory. Whole trials with known parameters,
written by one process, need none of this.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import (
    models as models,  # private, but Optuna can hardly change them: they are in old databases
)
from optuna.trial import FrozenTrial
from sqlalchemy import func, select
from sqlalchemy.orm import Session


def insert_trials(
    storage: RDBStorage, study_id: int, trials: Sequence[FrozenTrial], allow: Callable[[Session], bool] | None = None
) -> None:
    """Add finished trials under the study's next numbers. Raises: SQLAlchemyError, and then none has been written.

    allow: is called in the same transaction; where it says no, or raises, nothing is written.
    """
    with Session(storage.engine) as session, session.begin():
        if allow is not None and not allow(session):
            return
        session.add_all(trial_row(study_id, trial) for trial in trials)


def count_trials(session: Session, study_id: int) -> int:
    """How many trials a study has."""
    table = models.TrialModel
    return int(session.execute(select(func.count()).select_from(table).where(table.study_id == study_id)).scalar_one())


def trial_row(study_id: int, trial: FrozenTrial, number: int | None = None) -> models.TrialModel:
    """A finished trial as a row with what hangs on it; under the study's next number where none is given."""
    table = models.TrialModel
    following = select(func.count()).select_from(table).where(table.study_id == study_id).scalar_subquery()
    return table(
        study_id=study_id,
        number=following if number is None else number,
        state=trial.state,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        values=[_value(objective, value) for objective, value in enumerate(trial.values or ())],
        params=[_parameter(trial, name) for name in trial.params],
        user_attributes=[
            models.TrialUserAttributeModel(key=key, value_json=json.dumps(value))
            for key, value in trial.user_attrs.items()
        ],
        system_attributes=[
            models.TrialSystemAttributeModel(key=key, value_json=json.dumps(value))
            for key, value in trial.system_attrs.items()
        ],
    )


def _value(objective: int, value: float) -> models.TrialValueModel:
    stored, kind = models.TrialValueModel.value_to_stored_repr(value)
    return models.TrialValueModel(objective=objective, value=stored, value_type=kind)


def _parameter(trial: FrozenTrial, name: str) -> models.TrialParamModel:
    distribution = trial.distributions[name]
    return models.TrialParamModel(
        param_name=name,
        param_value=distribution.to_internal_repr(trial.params[name]),
        distribution_json=distribution_to_json(distribution),
    )
