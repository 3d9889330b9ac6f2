"""Connections to study databases: their URLs, and what goes wrong with them, in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, inspect
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from aebert.errors import StudyError

# one process writes, readers look in: a short wait is enough, and a lock held longer is worth an error
LOCK_SECONDS = 10.0


def sqlite_url(path: Path) -> str:
    """URL of the SQLite database at `path`, which may hold any character."""
    return URL.create("sqlite", database=str(path)).render_as_string()


@contextmanager
def database_errors(url: str) -> Iterator[None]:
    """Turn what goes wrong with a database into a `StudyError` of one line."""
    shown = without_password(url)
    try:
        yield
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
    if "no password supplied" in reason:
        rule = "needs a password, which is not kept with a run"
        return f"study database {url} {rule}: set PGPASSWORD, or write it into ~/.pgpass"
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


def parsed_url(url: str) -> URL:
    """The parts of a URL. Raises: StudyError for a text that is none."""
    try:
        return make_url(url)
    except ArgumentError as error:
        raise StudyError(_bad_url(without_password(url), _first_line(error))) from None
    except ValueError:  # its text may be a piece of the password
        raise StudyError(_bad_url(without_password(url), "the port must be a number")) from None


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    try:
        return make_url(url).difference_update_query(["password"]).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return re.sub(r"^(.*?//)?.*@", r"\1***@", url, flags=re.DOTALL)


def kept_url(url: str) -> str:
    """The URL as it may be kept on disk, without a password: drivers have PGPASSWORD and ~/.pgpass for that."""
    full = parsed_url(url).difference_update_query(["password"])
    kept = URL.create(full.drivername, full.username, None, full.host, full.port, full.database, full.query)
    return kept.render_as_string()


def check_is_of_optuna(url: str) -> list[str] | None:
    """Names of the tables in an SQLite file, empty where there is no such file; None for other databases.

    Raises: StudyError for a file whose tables are not Optuna's.
    """
    tables = sqlite_tables(url)
    if tables and "studies" not in tables:  # the first table that Optuna creates, and it would in any database
        raise StudyError(
            f"study database {without_password(url)} must be one of Optuna's, it is not (it holds {tables[0]!r}): "
            "choose another file"
        )
    return tables


@contextmanager
def existing_database(url: str) -> Iterator[Connection]:
    """A connection to a study database; `StudyError` where there is none, since connecting would create it."""
    with database_errors(url):
        if check_is_of_optuna(url) == []:
            raise StudyError(
                f"study database {without_password(url)} does not exist: start the study with `aebert search`"
            )
        engine = create_engine(url, **engine_options(url))
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()


def sqlite_tables(url: str) -> list[str] | None:
    """Names of the tables in an SQLite file, empty where there is no such file; None for other databases."""
    parsed = parsed_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    if not parsed.database.startswith("file:") and not Path(parsed.database).is_file():
        return []  # connecting would create it
    engine = create_engine(parsed, **engine_options(url))
    try:
        return inspect(engine).get_table_names()
    finally:
        engine.dispose()


def write_ahead(engine: Engine) -> None:
    """Have SQLite write ahead, so that readers and the writer don't wait for each other; where it can't, they do."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")


def end_writing_ahead(engine: Engine) -> None:
    """Bring what was written ahead into the one file again, unless a reader has it open."""
    if engine.dialect.name == "sqlite":
        with suppress(OperationalError), engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 0")
            connection.exec_driver_sql("PRAGMA journal_mode = DELETE")


def engine_options(url: str) -> dict[str, Any]:
    """How an engine for a database is made."""
    if not url.startswith("sqlite"):
        return {"pool_pre_ping": True}  # a server may have been started again between two trials
    options: dict[str, Any] = {"connect_args": {"timeout": LOCK_SECONDS}}
    # connecting to a file takes a fraction of a millisecond, and what is not kept open can't be left open
    return options | ({"poolclass": NullPool} if make_url(url).database else {})
