"""Copying a study from one database into another, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from aebert.errors import NoStudyError, StudyError
from aebert.search.claim import KEY, Claim
from aebert.search.connections import existing_database, parsed_url, without_password
from aebert.search.reading import read_study
from aebert.search.rows import models, trial_row
from aebert.search.storage import opened_storage, storage_errors


def copy_study(source: str, name: str, target: str) -> int:
    """Copy a study, with all that belongs to it, into another database; return its number of trials.

    It is resumed there as it would be here. The target is created where it does not exist.

    Raises: StudyError where a process is writing to the study, where the target holds one of that name, and for
    databases that can't be used; then the target is as it was. NoStudyError where the source has no such study.
    """
    if _place(source) == _place(target):
        raise StudyError(f"a study must be copied to another database, got the same one: {without_password(target)}")
    with existing_database(source):
        pass  # opening it would create it
    with storage_errors(source), opened_storage(source) as here:
        if name not in optuna.get_all_study_names(here):
            raise NoStudyError(f"study {name!r} is not in {without_password(source)}")
        study_id = here.get_study_id_from_name(name)
        claim = Claim(here.engine, study_id, name)
        claim.take()
        try:
            read_study(source, name)  # one that aebert did not make is refused
            trials = here.get_all_trials(study_id, deepcopy=False)
            with storage_errors(target), opened_storage(target) as there:
                _insert(here, study_id, name, trials, there, target)
            _compare(source, target, name)
        finally:
            claim.release()
    return len(trials)


def _place(url: str) -> str:
    parsed = parsed_url(url)
    is_file = parsed.get_backend_name() == "sqlite" and parsed.database
    return str(Path(parsed.database).resolve()) if is_file and parsed.database else without_password(url)


def _insert(
    here: RDBStorage, study_id: int, name: str, trials: list[FrozenTrial], there: RDBStorage, target: str
) -> None:
    """All rows in one transaction."""
    taken = StudyError(
        f"study {name!r} is in {without_password(target)} already: choose another database, or delete it there first"
    )
    if name in optuna.get_all_study_names(there):
        raise taken
    study = models.StudyModel(study_name=name)
    study.directions = [
        models.StudyDirectionModel(direction=direction, objective=objective)
        for objective, direction in enumerate(here.get_study_directions(study_id))
    ]
    user, system = here.get_study_user_attrs(study_id), here.get_study_system_attrs(study_id)
    try:
        with Session(there.engine) as session, session.begin():
            session.add(study)
            session.flush()
            number = int(study.study_id)
            session.add_all(_attributes(models.StudyUserAttributeModel, number, user))
            session.add_all(_attributes(models.StudySystemAttributeModel, number, system))
            session.add_all(trial_row(number, trial, trial.number) for trial in trials)
    except IntegrityError:
        raise taken from None


def _attributes(table: Any, study_id: int, values: dict[str, Any]) -> list[Any]:
    return [
        table(study_id=study_id, key=key, value_json=json.dumps(value)) for key, value in values.items() if key != KEY
    ]


def _compare(source: str, target: str, name: str) -> None:
    if read_study(source, name) != read_study(target, name):
        raise StudyError(
            f"study {name!r} reads differently in {without_password(target)} than in {without_password(source)}: that "
            "database does not keep what was written; delete the study there"
        )
