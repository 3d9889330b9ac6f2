"""The study database of a search: opening it, and checking that aebert made it, with the same settings."""

from __future__ import annotations

import json
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from types import TracebackType
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from aebert import __version__
from aebert.errors import StudyError
from aebert.search.claim import Claim
from aebert.search.connections import (
    check_is_of_optuna,
    database_errors,
    end_writing_ahead,
    engine_options,
    sqlite_tables,
    write_ahead,
)
from aebert.search.history import directions
from aebert.search.record import ATTRIBUTE, VERDICTS, StudyInfo, Verdict
from aebert.search.rows import count_trials, insert_trials

# A server may be started again, or a network be down for a while; the search tries again so often.
AWAY_SECONDS, AGAIN_SECONDS = 120.0, 1.0


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """As `database_errors`, also for what Optuna wraps."""
    with database_errors(url):
        try:
            yield
        except optuna.exceptions.StorageInternalError as error:
            raise error.__cause__ or RuntimeError(str(error)) from error


class StudyDatabase:
    """One study in an Optuna storage. Trials are added whole when they are finished, in the order of their numbers.

    So a study that is killed holds only finished trials, and nothing has to be repaired. One process at a time has it
    open for writing (see `Claim`).

    SQLite writes ahead, fully synchronous, while a study is open: readers and the writer don't wait for each other, and
    a stored trial survives a power cut. Once closed, the study is a single file, which can be copied and kept on a
    network drive; a process that is killed leaves two others beside it, which belong to it until it is opened again.

    Close it after use, or use it as a context manager. Trials are not kept in memory.
    """

    def __init__(self, url: str, storage: RDBStorage, study: optuna.Study) -> None:
        self.url = url
        self._storage, self._study = storage, study
        self._id = storage.get_study_id_from_name(study.study_name)
        self._claim: Claim | None = None
        self._count = 0

    @classmethod
    def open(cls, url: str, info: StudyInfo, settings: Mapping[str, Any]) -> StudyDatabase:
        """Create the study, or open it if it was made with the same settings.

        settings: everything that determines the trials, flat. Raises: StudyError when settings differ, which it names,
        when another process has the study open, and when the database is locked, is not Optuna's, or holds a study of
        this name that aebert did not make.
        """
        with storage_errors(url), _closed_on_error(_storage(url)) as storage:
            study = optuna.create_study(
                storage=storage, study_name=info.name, directions=directions(info.targets), load_if_exists=True
            )
            database = cls(url, storage, study)
            database.check(settings)
            if ATTRIBUTE not in study.user_attrs and study.directions != directions(info.targets):
                raise database._foreign()
            database._begin()
            try:
                database._describe(info, settings)
            except BaseException:
                database.close()
                raise
        return database

    def __enter__(self) -> StudyDatabase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others write, and close the connections."""
        try:
            if self._claim is not None:
                with suppress(SQLAlchemyError):  # it expires
                    self._claim.release()
            end_writing_ahead(self._storage.engine)
        finally:
            _close(self._storage)

    def _begin(self) -> None:
        """Keep others from writing."""
        write_ahead(self._storage.engine)
        claim = Claim(self._storage.engine, self._id, self._study.study_name)
        claim.take()
        self._claim, self._count = claim, self._storage.get_n_trials(self._id)

    def _describe(self, info: StudyInfo, settings: Mapping[str, Any]) -> None:
        stored = self._study.user_attrs.get(ATTRIBUTE)
        mine = json.loads(json.dumps({"version": __version__, "settings": dict(settings), "info": asdict(info)}))
        if stored is None:
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
        with storage_errors(self.url):
            return self._storage.get_all_trials(self._id, deepcopy=False)

    def store_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Store the verdicts on the study's budgets; nothing is written if they are the same as before."""
        values = json.loads(json.dumps([verdict.to_dict() for verdict in verdicts]))
        with storage_errors(self.url):
            if self._study.user_attrs.get(VERDICTS) != values:
                self._study.set_user_attr(VERDICTS, values)

    def add(self, *trials: FrozenTrial) -> None:
        """Store finished trials under the next numbers, all or none.

        Waits once for a lock, for `LOCK_SECONDS`; and for a server that can't be reached, for `AWAY_SECONDS`.
        """
        before, end = self._count, time.monotonic() + AWAY_SECONDS
        with storage_errors(self.url):
            while True:
                try:
                    insert_trials(self._storage, self._id, trials, lambda session: self._may_add(session, before))
                    break
                except OperationalError:
                    # whether it was written before the connection broke is seen at the next try
                    if self._storage.engine.dialect.name == "sqlite" or time.monotonic() > end:
                        raise
                    time.sleep(AGAIN_SECONDS)
        self._count = before + len(trials)

    def _may_add(self, session: Session, before: int) -> bool:
        """Whether trials are to be written after so many, which this process must still be allowed to do."""
        if self._claim is None:
            raise ValueError("a study must be opened for writing before trials are added")
        self._claim.hold(session)
        return count_trials(session, self._id) == before


def check_study(url: str, name: str, settings: Mapping[str, Any], later: Container[str] = ()) -> int:
    """Number of trials that a study has; 0 where there is no study of that name yet.

    settings: as far as they are known before the search. later: keys of those that are not known yet. A database that
    does not exist is not created.

    Raises: the `StudyError` that opening the study for a search would raise, before any work is put into it.
    """
    with storage_errors(url):
        if sqlite_tables(url) == []:
            return 0
    with storage_errors(url), opened_storage(url) as storage:
        if name not in optuna.get_all_study_names(storage):
            return 0
        database = StudyDatabase(url, storage, optuna.load_study(storage=storage, study_name=name))
        database.check(settings, later)
        return len(database.frozen_trials())


def check_storage(url: str) -> None:
    """Raise the `StudyError` that creating a study there would raise, before hours of work are put into one."""
    with storage_errors(url):
        _close(_storage(url))


def _storage(url: str) -> RDBStorage:
    check_is_of_optuna(url)
    return RDBStorage(url, engine_kwargs=engine_options(url))


def _close(storage: RDBStorage) -> None:
    storage.remove_session()
    storage.engine.dispose()


@contextmanager
def opened_storage(url: str) -> Iterator[RDBStorage]:
    """Optuna's storage on a database, which it creates where there is none; its connections are closed afterwards."""
    storage = _storage(url)
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
