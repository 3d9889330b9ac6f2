"""Reading a study from its database, for reports.

This reads the attributes that are ours straight from Optuna's tables: loading Optuna takes longer than all the rest of
showing a study.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from aebert.errors import NoStudyError, StudyError
from aebert.search.connections import existing_database, without_password
from aebert.search.record import ATTRIBUTE, VERDICTS, StudyInfo, TrialRecord, Verdict

_STUDIES = text("SELECT study_name FROM studies ORDER BY study_id")
_OF_STUDY = text(
    "SELECT attributes.key, attributes.value_json FROM studies "
    "JOIN study_user_attributes AS attributes ON attributes.study_id = studies.study_id "
    "WHERE studies.study_name = :study"
)
_OF_TRIALS = text(
    "SELECT attributes.value_json FROM studies "
    "JOIN trials ON trials.study_id = studies.study_id "
    "JOIN trial_user_attributes AS attributes ON attributes.trial_id = trials.trial_id "
    "WHERE studies.study_name = :study AND attributes.key = :key ORDER BY trials.number"
)


@dataclass(frozen=True)
class StoredStudy:
    """What a study database says to a report.

    records: of all scored trials in the order of their numbers; failed trials are left out. verdicts: none before the
    search ends, or in studies of version 0.1.
    """

    info: StudyInfo
    records: tuple[TrialRecord, ...]
    verdicts: tuple[Verdict, ...]


def read_study(url: str, name: str) -> StoredStudy:
    """A study by its name, as far as it is done; also while it runs.

    Raises: NoStudyError where the database has no such study; StudyError for one that aebert did not make, and for a
    database that does not exist, is locked or is not Optuna's.
    """
    with existing_database(url) as connection:
        names = connection.execute(_STUDIES).scalars().all()
        if name not in names:
            there = ", ".join(names) or "none"
            raise NoStudyError(f"study {name!r} is not in {without_password(url)}; there: {there}")
        stored = _attributes(connection, name)
        if ATTRIBUTE not in stored:
            raise StudyError(f"study {name!r} in {without_password(url)} was not made by aebert: choose another name")
        trials = connection.execute(_OF_TRIALS, {"study": name, "key": ATTRIBUTE}).scalars().all()
    return StoredStudy(
        info=StudyInfo.from_dict(stored[ATTRIBUTE]["info"]),
        records=tuple(TrialRecord.from_dict(json.loads(values)) for values in trials),
        verdicts=tuple(Verdict.from_dict(values) for values in stored.get(VERDICTS, ())),
    )


def _attributes(connection: Connection, name: str) -> dict[str, Any]:
    return {key: json.loads(values) for key, values in connection.execute(_OF_STUDY, {"study": name})}
