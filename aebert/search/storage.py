"""The study database: opening it, knowing that it is ours, and that it was made with the same settings."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from aebert import __version__
from aebert.errors import NoStudyError, StudyError
from aebert.search.history import directions
from aebert.search.record import StudyInfo, TrialRecord, Verdict
from aebert.search.rows import insert_trials

ATTRIBUTE = "aebert"  # of a study: version, settings, info; of a trial: its TrialRecord
OUTCOMES = "aebert-outcomes"  # of a trial that saw all search rows: what it did on each of them
VERDICTS = "aebert-verdicts"  # of a study: what it says about each budget
# one process writes, readers look in: a short wait is enough, and a lock held longer is worth an error
LOCK_SECONDS = 10.0


def sqlite_url(path: Path) -> str:
    """URL of the SQLite database at `path`, which may hold any character."""
    return URL.create("sqlite", database=str(path)).render_as_string()


@contextmanager
def database_errors(url: str) -> Iterator[None]:
    """Turn what goes wrong with a database into a `StudyError` of one line."""
    shown = _without_password(url)
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        raise StudyError(_problem(shown, error.__cause__ or error)) from error
    except DatabaseError as error:
        raise StudyError(_problem(shown, error)) from error
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise StudyError(_bad_url(shown, _first_line(error))) from error
    except (SQLAlchemyError, RuntimeError) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"study database {shown} can't be used: {_first_line(error)}") from error


def _problem(url: str, error: BaseException) -> str:
    # the driver's own words: SQLAlchemy adds the statement and its parameters, which may hold any word
    reason = _first_line(getattr(error, "orig", None) or error)
    if "locked" in reason:
        return f"study database {url} is locked by another process: wait for it or stop it, then run the command again"
    if "full" in reason or "No space left" in reason:
        return f"the disk of study database {url} is full: free some space and run the command again; no trial is lost"
    if "malformed" in reason:
        return f"study database {url} is damaged ({reason}): restore a copy of it, or delete it and start again"
    if isinstance(error, DatabaseError) and not isinstance(error, OperationalError):
        return f"study database {url} must be one of Optuna's, it is not ({reason})"
    return f"study database {url} can't be used: {reason}"


def _bad_url(url: str, reason: str) -> str:
    return (
        f"search.storage must be a database URL whose driver is installed, got {url} ({reason}); "
        "for PostgreSQL: pip install 'aebert[postgres]'"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise StudyError(_bad_url(_without_password(url), _first_line(error))) from None
    except ValueError:  # its text may be a piece of the password
        raise StudyError(_bad_url(_without_password(url), "the port must be a number")) from None


def _without_password(url: str) -> str:
    try:
        return make_url(url).difference_update_query(["password"]).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return re.sub(r"^(.*?//)?.*@", r"\1***@", url, flags=re.DOTALL)


class StudyDatabase:
    """One study in an Optuna storage. Trials are added whole when they are finished, in the order of their numbers.

    A study that is killed therefore holds only finished trials, and nothing has to be repaired. SQLite keeps its own
    settings (rollback journal, fully synchronous): a stored trial survives a power cut, and between two trials there is
    one file, which can be read, copied, and put on a network drive. A write-ahead log would save four fsyncs per trial
    and leave its last trials in a second file when the process is killed.

    Close it after use, or use it as a context manager. Trials are not kept in memory.
    """

    def __init__(self, url: str, storage: RDBStorage, study: optuna.Study) -> None:
        self.url = url
        self._storage, self._study = storage, study
        self._id = storage.get_study_id_from_name(study.study_name)

    @classmethod
    def open(cls, url: str, info: StudyInfo, settings: Mapping[str, Any]) -> StudyDatabase:
        """Create the study, or open it if it was made with the same settings.

        settings: everything that determines the trials, flat. Raises: StudyError naming what differs; for a database
        that is locked, not Optuna's, or holds a study of this name that aebert did not make.
        """
        with database_errors(url), _closed_on_error(_storage(url)) as storage:
            study = optuna.create_study(
                storage=storage, study_name=info.name, directions=directions(info.targets), load_if_exists=True
            )
            database = cls(url, storage, study)
            database._claim(info, settings)
        return database

    @classmethod
    def load(cls, url: str, name: str) -> StudyDatabase:
        """Open an existing study for reading."""
        with database_errors(url):
            if _sqlite_tables(url) == []:
                raise StudyError(
                    f"study database {_without_password(url)} does not exist: start the study with `aebert search`"
                )
            with _closed_on_error(_storage(url)) as storage:
                return cls._existing(url, storage, name)

    @classmethod
    def _existing(cls, url: str, storage: RDBStorage, name: str) -> StudyDatabase:
        names = optuna.get_all_study_names(storage)
        if name not in names:
            raise NoStudyError(
                f"study {name!r} is not in {_without_password(url)}; there: {', '.join(names) or 'none'}"
            )
        database = cls(url, storage, optuna.load_study(storage=storage, study_name=name))
        if ATTRIBUTE not in database._study.user_attrs:
            raise StudyError(f"study {name!r} in {_without_password(url)} was not made by aebert: choose another name")
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

    @property
    def info(self) -> StudyInfo:
        """What the study says of itself."""
        with database_errors(self.url):
            values = self._study.user_attrs[ATTRIBUTE]["info"]
        return StudyInfo(**{**values, "targets": tuple(values["targets"]), "notes": tuple(values["notes"])})

    def frozen_trials(self) -> list[FrozenTrial]:
        """Optuna's trials in the order of their numbers."""
        with database_errors(self.url):
            return self._storage.get_all_trials(self._id, deepcopy=False)

    def records(self) -> list[TrialRecord]:
        """All scored trials in the order of their numbers; failed ones are left out."""
        trials = [trial for trial in self.frozen_trials() if ATTRIBUTE in trial.user_attrs]
        return [TrialRecord.from_dict(trial.user_attrs[ATTRIBUTE]) for trial in trials]

    def store_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Store what the study says about its budgets; nothing is written when it says the same as before."""
        values = json.loads(json.dumps([verdict.to_dict() for verdict in verdicts]))
        with database_errors(self.url):
            if self._study.user_attrs.get(VERDICTS) != values:
                self._study.set_user_attr(VERDICTS, values)

    def verdicts(self) -> list[Verdict]:
        """What the study says about its budgets; nothing before the search ends, or in studies of version 0.1."""
        with database_errors(self.url):
            stored = self._study.user_attrs.get(VERDICTS, [])
        return [Verdict.from_dict(values) for values in stored]

    def add(self, *trials: FrozenTrial) -> None:
        """Store finished trials, all or none; they get the next numbers. Waits `LOCK_SECONDS` for a lock, once."""
        with database_errors(self.url):
            insert_trials(self._storage, self._id, trials)


def check_study(url: str, name: str, settings: Mapping[str, Any], later: Container[str] = ()) -> int:
    """Number of trials that a study has; 0 where there is no study of that name yet.

    settings: as far as they are known before the search. later: keys of those that are not known yet. A database that
    does not exist is not created.

    Raises: the `StudyError` that opening the study for a search would raise, before any work is put into it.
    """
    with database_errors(url):
        if _sqlite_tables(url) == []:
            return 0
    with database_errors(url), _closed_after(_storage(url)) as storage:
        if name not in optuna.get_all_study_names(storage):
            return 0
        database = StudyDatabase(url, storage, optuna.load_study(storage=storage, study_name=name))
        database.check(settings, later)
        return len(database.frozen_trials())


def check_storage(url: str) -> None:
    """Raise the `StudyError` that creating a study there would raise, before hours of work are put into one."""
    with database_errors(url):
        _close(_storage(url))


def _storage(url: str) -> RDBStorage:
    tables = _sqlite_tables(url)
    if tables and "studies" not in tables:  # the first that Optuna creates, and it would create them in any database
        raise StudyError(
            f"study database {_without_password(url)} must be one of Optuna's, it is not (it holds {tables[0]!r}): "
            "choose another file"
        )
    return RDBStorage(url, engine_kwargs=_engine_options(url))


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


def _sqlite_tables(url: str) -> list[str] | None:
    """Names of the tables in an SQLite file, none if it does not exist; None for what is no such file."""
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    if not parsed.database.startswith("file:") and not Path(parsed.database).is_file():
        return []  # connecting would create it
    engine = create_engine(parsed, **_engine_options(url))
    try:
        return inspect(engine).get_table_names()
    finally:
        engine.dispose()


def _engine_options(url: str) -> dict[str, Any]:
    if not url.startswith("sqlite"):
        return {}
    options: dict[str, Any] = {"connect_args": {"timeout": LOCK_SECONDS}}
    # connecting to a file takes a fraction of a millisecond, and what is not kept open can't be left open
    return options | ({"poolclass": NullPool} if make_url(url).database else {})


def _differences(stored: Mapping[str, Any], mine: Mapping[str, Any], later: Container[str] = ()) -> list[str]:
    keys = [key for key in {**stored, **mine} if key not in later and stored.get(key) != mine.get(key)]
    return [f"{key} was {stored.get(key)!r}, now {mine.get(key)!r}" for key in keys]
