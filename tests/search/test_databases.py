"""Studies in SQLite and in a real PostgreSQL, and from one to the other."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from sqlalchemy import create_engine

from aebert.errors import NoStudyError, StudyError
from aebert.pruning.architecture import Architecture
from aebert.search.claim import Claim
from aebert.search.connections import sqlite_url
from aebert.search.copying import copy_study
from aebert.search.executor import InProcess, Work
from aebert.search.outcomes import Outcomes
from aebert.search.reading import read_study
from aebert.search.record import TrialRecord
from aebert.search.scored import Scored
from aebert.search.storage import StudyDatabase
from aebert.search.study import search
from tests.search.toy_scores import ToyWork

if TYPE_CHECKING:
    from tests.search.conftest import Postgres

pytestmark = pytest.mark.usefixtures("few_draws")
TARGETS = (0.3, 0.6)


class Stop(Exception):
    """What ends a search in the middle."""


def _go(toy: ModuleType, url: str, trials: int, left: float = float("inf")) -> list[TrialRecord]:
    asked: list[Work] = []

    def score(work: Work) -> Scored:
        if len(asked) >= left:
            raise Stop
        asked.append(work)
        return ToyWork().score(work)

    setup = toy.toy_setup(Path("unused"), trials, "tpe", TARGETS, storage=url)
    records: list[TrialRecord] = search(setup, InProcess(score, window=4), toy.toy_first(setup, "uniform"))[0]
    return records


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def test_a_study_in_postgresql_is_stopped_and_goes_on_as_in_sqlite(
    postgres: Postgres, toy: ModuleType, tmp_path: Path
) -> None:
    expected, url = _go(toy, sqlite_url(tmp_path / "study.db"), 14), postgres.url()
    for left in (0, 3, 6):
        with pytest.raises(Stop):
            _go(toy, url, 14, left)
    found = _go(toy, url, 14)
    assert toy.without_times(found) == toy.without_times(expected)
    assert toy.stored(url) == toy.stored(sqlite_url(tmp_path / "study.db"))
    assert read_study(url, "toy").records == tuple(found)


def test_a_study_in_postgresql_has_one_driver(postgres: Postgres, toy: ModuleType) -> None:
    url = postgres.url()
    _go(toy, url, 4)
    engine = create_engine(url)
    claim = Claim(engine, 1, "toy")
    claim.take()
    with pytest.raises(StudyError, match=rf"^study 'toy' is in use by process {os.getpid()} on .*: wait until that"):
        _go(toy, url, 6)
    claim.release()
    engine.dispose()
    assert len(_go(toy, url, 6)) == 6


def test_a_server_that_is_away_for_a_while_is_waited_for(
    postgres: Postgres, toy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while a candidate is scored, so that its trial can't be written before the server is back."""
    monkeypatch.setattr("aebert.search.storage.AGAIN_SECONDS", 0.1)
    url, asked = postgres.url(), []
    back = threading.Timer(1.0, postgres.start)

    def score(architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        asked.append(architecture)
        if len(asked) == 4:
            postgres.stop()
            back.start()
        return Scored({"accuracy": 0.5}, 1.0)

    setup = toy.toy_setup(Path("unused"), 8, "random", TARGETS, storage=url)
    assert len(search(setup, score, toy.toy_first(setup, "uniform"))[0]) == 8
    back.join()
    assert [record.number for record in read_study(url, "toy").records] == list(range(8))


def test_a_server_that_stays_away_ends_the_search(
    postgres: Postgres, toy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aebert.search.storage.AGAIN_SECONDS", 0.01)
    monkeypatch.setattr("aebert.search.storage.AWAY_SECONDS", 0.1)
    url, asked = postgres.url(), []

    def score(architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        asked.append(architecture)
        if len(asked) == 3:
            postgres.stop()
        return Scored({"accuracy": 0.5}, 1.0)

    setup = toy.toy_setup(Path("unused"), 8, "random", TARGETS, storage=url)
    with pytest.raises(StudyError, match=r"can't be used: .*[Cc]onnection"):
        search(setup, score, toy.toy_first(setup, "uniform"))
    postgres.start()
    assert len(_trials_of(url)) == 2


def test_a_trial_whose_commit_was_not_answered_is_written_once(toy: ModuleType, tmp_path: Path) -> None:
    setup = toy.toy_setup(tmp_path / "study.db", 9)
    trial = optuna.trial.create_trial(value=1.0)
    with StudyDatabase.open(setup.storage, setup.info, setup.settings) as database:
        database.add(trial)
        database._count = 0  # as where the connection broke after the commit
        database.add(trial)
        database.add(trial)
    assert [trial.number for trial in toy.frozen_trials(setup.storage)] == [0, 1]


def _trials_of(url: str) -> tuple[TrialRecord, ...]:
    return read_study(url, "toy").records


def test_a_password_is_taken_from_the_users_file(
    postgres_server: Postgres, toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    url = postgres_server.url()
    with pytest.raises(StudyError) as caught:
        _go(toy, url, 2)
    assert str(caught.value).endswith(
        "needs a password, which is not kept with a run: set PGPASSWORD, or write it into ~/.pgpass"
    )
    secret = postgres_server.password.replace(":", "\\:")
    (tmp_path / "pgpass").write_text(f"127.0.0.1:{postgres_server.port}:*:{postgres_server.user}:{secret}\n")
    (tmp_path / "pgpass").chmod(0o600)
    assert len(_go(toy, url, 2)) == 2


def test_a_wrong_password_is_one_line_without_it(
    postgres: Postgres, toy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hush-hush")
    with pytest.raises(StudyError, match="password authentication failed") as caught:
        _go(toy, postgres.url(), 2)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


# --- SQLite with a reader --------------------------------------------------------------------------------------------


def test_a_search_and_a_reader_do_not_wait_for_each_other(toy: ModuleType, tmp_path: Path) -> None:
    """The reader stays in the middle of reading for the whole search."""
    path = tmp_path / "study.db"
    _go(toy, sqlite_url(path), 2)
    seen: list[Any] = []

    def score(architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        if not seen:
            reader.execute("BEGIN")
            seen.append(reader.execute("SELECT count(*) FROM trials").fetchone())
            seen.append(reader.execute("PRAGMA journal_mode").fetchone())
        return ToyWork().score(_work(architecture))

    with closing(sqlite3.connect(path, timeout=0)) as reader:
        setup = toy.toy_setup(path, 9, "tpe", TARGETS)
        records, _ = search(setup, score, toy.toy_first(setup, "uniform"))
        assert seen == [(2,), ("wal",)]
        assert reader.execute("SELECT count(*) FROM trials").fetchone() == (2,)  # what it began with
        reader.rollback()
        assert reader.execute("SELECT count(*) FROM trials").fetchone() == (9,)
    assert read_study(sqlite_url(path), "toy").records == tuple(records)
    _go(toy, sqlite_url(path), 10)
    assert [each.name for each in tmp_path.iterdir()] == ["study.db"]  # a single file again
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def _work(architecture: Architecture) -> Work:
    from aebert.pruning.recipe import Recipe

    return Work(Recipe(architecture))


# --- copying ---------------------------------------------------------------------------------------------------------


def test_a_copied_study_goes_on_as_the_original_would(postgres: Postgres, toy: ModuleType, tmp_path: Path) -> None:
    whole, here = sqlite_url(tmp_path / "whole.db"), sqlite_url(tmp_path / "here.db")
    expected = _go(toy, whole, 16)
    _go(toy, here, 5)
    there, back = postgres.url(), sqlite_url(tmp_path / "back.db")
    assert copy_study(here, "toy", there) == 5
    assert toy.stored(there) == toy.stored(here)
    _go(toy, there, 11)
    assert copy_study(there, "toy", back) == 11
    assert toy.without_times(_go(toy, back, 16)) == toy.without_times(expected)
    assert toy.stored(back) == toy.stored(whole)
    assert read_study(back, "toy").verdicts == read_study(whole, "toy").verdicts
    assert len(read_study(here, "toy").records) == 5


def test_copying_replaces_nothing(toy: ModuleType, tmp_path: Path) -> None:
    here, there = sqlite_url(tmp_path / "here.db"), sqlite_url(tmp_path / "there.db")
    _go(toy, here, 5)
    _go(toy, there, 3)
    expected = f"study 'toy' is in {there} already: choose another database, or delete it there first"
    with pytest.raises(StudyError) as caught:
        copy_study(here, "toy", there)
    assert str(caught.value) == expected
    assert len(read_study(there, "toy").records) == 3
    other = toy.toy_setup(Path("unused"), 2, "random", storage=sqlite_url(tmp_path / "other.db"))
    toy.study(dataclasses.replace(other, info=dataclasses.replace(other.info, name="other")), toy.ToyScorer())
    assert copy_study(here, "toy", other.storage) == 5  # beside another study
    assert len(read_study(other.storage, "other").records) == 2


def test_a_study_is_copied_to_another_place(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = sqlite_url(tmp_path / "here.db")
    _go(toy, here, 2)
    monkeypatch.chdir(tmp_path)
    for same in (here, "sqlite:///here.db"):
        with pytest.raises(StudyError, match="must be copied to another database, got the same one"):
            copy_study(here, "toy", same)
    with pytest.raises(NoStudyError, match="study 'boy' is not in"):
        copy_study(here, "boy", sqlite_url(tmp_path / "there.db"))
    with pytest.raises(StudyError, match="does not exist"):
        copy_study(sqlite_url(tmp_path / "none.db"), "toy", sqlite_url(tmp_path / "there.db"))
    with pytest.raises(StudyError, match="must be a database URL whose driver is installed, got nonsense"):
        copy_study(here, "toy", "nonsense")
    assert not (tmp_path / "there.db").exists()
    assert not (tmp_path / "none.db").exists()


def test_a_study_that_is_being_searched_is_not_copied(toy: ModuleType, tmp_path: Path) -> None:
    here, there = sqlite_url(tmp_path / "here.db"), sqlite_url(tmp_path / "there.db")
    tried: list[Architecture] = []

    def score(architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        tried.append(architecture)
        with pytest.raises(StudyError, match=r"^study 'toy' is in use by process \d+ on "):
            copy_study(here, "toy", there)
        return Scored({"accuracy": 0.5}, 1.0)

    setup = toy.toy_setup(Path("unused"), 3, "random", TARGETS, storage=here)
    search(setup, score, toy.toy_first(setup, "uniform"))
    assert len(tried) == 3
    assert copy_study(here, "toy", there) == 3
