"""The study database of a search: opening it, and checking that aebert made it, with the same settings."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from types import TracebackType
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from aebert import __version__
from aebert.errors import StudyError
from aebert.search.connections import check_is_of_optuna, database_errors, engine_options, sqlite_tables
from aebert.search.history import directions
from aebert.search.record import ATTRIBUTE, VERDICTS, StudyInfo, Verdict
from aebert.search.rows import insert_trials


@contextmanager
def _storage_errors(url: str) -> Iterator[None]:
    """As `database_errors`, also for what Optuna wraps."""
    with database_errors(url):
        try:
            yield
        except optuna.exceptions.StorageInternalError as error:
            raise error.__cause__ or RuntimeError(str(error)) from error


class StudyDatabase:
    """One study in an Optuna storage. Trials are added whole when they are finished, in the order of their numbers.

    So a study that is killed holds only finished trials, and nothing has to be repaired. SQLite keeps its default
    settings (rollback journal, fully synchronous): a stored trial survives a power cut, and between two trials there is
    a single file, which can be read, copied, and kept on a network drive. A write-ahead log would save four fsyncs per
    trial, but leave the last trials in a second file when the process is killed.

    Close it after use, or use it as a context manager. Trials are not kept in memory.
    """

    def __init__(self, url: str, storage: RDBStorage, study: optuna.Study) -> None:
        self.url = url
        self._storage, self._study = storage, study
        self._id = storage.get_study_id_from_name(study.study_name)

    @classmethod
    def open(cls, url: str, info: StudyInfo, settings: Mapping[str, Any]) -> StudyDatabase:
        """Create the study, or open it if it was made with the same settings.

        settings: everything that determines the trials, flat. Raises: StudyError when settings differ, which it names,
        and when the database is locked, is not Optuna's, or holds a study of this name that aebert did not make.
        """
        with _storage_errors(url), _closed_on_error(_storage(url)) as storage:
            study = optuna.create_study(
                storage=storage, study_name=info.name, directions=directions(info.targets), load_if_exists=True
            )
            database = cls(url, storage, study)
            database._claim(info, settings)
        return database

    def __enter__(self) -> StudyDatabase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; using the database again opens new ones."""
        _close(self._storage)

    def _claim(self, info: StudyInfo, settings: Mapping[str, Any]) -> None:
        self.check(settings)
        stored = self._study.user_attrs.get(ATTRIBUTE)
        mine = json.loads(json.dumps({"version": __version__, "settings": dict(settings), "info": asdict(info)}))
        if stored is None:
            if self._study.directions != directions(info.targets):
                raise self._foreign()
            self._study.set_user_attr(ATTRIBUTE, mine)
        elif stored["info"] != mine["info"]:  # a higher total of trials, or a model or data set that moved
            self._study.set_user_attr(ATTRIBUTE, {**stored, "info": mine["info"]})

    def check(self, settings: Mapping[str, Any], later: Container[str] = ()) -> None:
        """Raise StudyError for a study that aebert did not make, or made with other settings; it names what differs.

        later: keys of settings that are not known yet.
        """
        stored = self._study.user_attrs.get(ATTRIBUTE)
        if stored is None:
            if self._storage.get_n_trials(self._id):
                raise self._foreign()
            return
        differing = _differences(stored["settings"], json.loads(json.dumps(dict(settings))), later)
        if differing:
            raise StudyError(
                f"study {self._study.study_name!r} was made with other settings: {'; '.join(differing)}. "
                "Restore them to resume it, or choose another name"
            )

    def _foreign(self) -> StudyError:
        name = self._study.study_name
        return StudyError(f"study {name!r} in this database was not made by aebert: choose another name")

    def frozen_trials(self) -> list[FrozenTrial]:
        """Optuna's trials in the order of their numbers."""
        with _storage_errors(self.url):
            return self._storage.get_all_trials(self._id, deepcopy=False)

    def store_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Store the verdicts on the study's budgets; nothing is written if they are the same as before."""
        values = json.loads(json.dumps([verdict.to_dict() for verdict in verdicts]))
        with _storage_errors(self.url):
            if self._study.user_attrs.get(VERDICTS) != values:
                self._study.set_user_attr(VERDICTS, values)

    def add(self, *trials: FrozenTrial) -> None:
        """Store finished trials under the next numbers, all or none. Waits once for a lock, for `LOCK_SECONDS`."""
        with _storage_errors(self.url):
            insert_trials(self._storage, self._id, trials)


def check_study(url: str, name: str, settings: Mapping[str, Any], later: Container[str] = ()) -> int:
    """Number of trials that a study has; 0 where there is no study of that name yet.

    settings: as far as they are known before the search. later: keys of those that are not known yet. A database that
    does not exist is not created.

    Raises: the `StudyError` that opening the study for a search would raise, before any work is put into it.
    """
    with _storage_errors(url):
        if sqlite_tables(url) == []:
            return 0
    with _storage_errors(url), _closed_after(_storage(url)) as storage:
        if name not in optuna.get_all_study_names(storage):
            return 0
        database = StudyDatabase(url, storage, optuna.load_study(storage=storage, study_name=name))
        database.check(settings, later)
        return len(database.frozen_trials())


def check_storage(url: str) -> None:
    """Raise the `StudyError` that creating a study there would raise, before hours of work are put into one."""
    with _storage_errors(url):
        _close(_storage(url))


def _storage(url: str) -> RDBStorage:
    check_is_of_optuna(url)
    return RDBStorage(url, engine_kwargs=engine_options(url))


def _close(storage: RDBStorage) -> None:
    storage.remove_session()
    storage.engine.dispose()


@contextmanager
def _closed_after(storage: RDBStorage) -> Iterator[RDBStorage]:
    try:
        yield storage
    finally:
        _close(storage)


@contextmanager
def _closed_on_error(storage: RDBStorage) -> Iterator[RDBStorage]:
    try:
        yield storage
    except BaseException:
        _close(storage)
        raise


def _differences(stored: Mapping[str, Any], mine: Mapping[str, Any], later: Container[str] = ()) -> list[str]:
    keys = [key for key in {**stored, **mine} if key not in later and stored.get(key) != mine.get(key)]
    return [f"{key} was {stored.get(key)!r}, now {mine.get(key)!r}" for key in keys]
