from __future__ import annotations

import dataclasses
import gc
import shutil
import sqlite3
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import psutil
import pytest
from optuna.trial import FrozenTrial
from sqlalchemy import event
from sqlalchemy.engine import Engine

from aebert.errors import StudyError
from aebert.search import connections
from aebert.search.connections import sqlite_url
from aebert.search.reading import read_study
from aebert.search.record import StudyInfo
from aebert.search.schedule import FirstTrials
from aebert.search.storage import StudyDatabase, check_study
from aebert.search.study import search

Connection = sqlite3.Connection


def _fails(setup: Any, scorer: Any, first: FirstTrials | None = None) -> str:
    """Message of the error that searching ends with; it must be one line."""
    with pytest.raises(StudyError) as caught:
        search(setup, scorer, first or {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextmanager
def _opened(path: Path) -> Iterator[Connection]:
    connection = sqlite3.connect(path)
    try:
        yield connection
    finally:
        connection.close()


def _dump(path: Path) -> list[str]:
    with _opened(path) as connection:
        return list(connection.iterdump())


def test_other_settings_are_named_with_both_values_and_nothing_changes(toy: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    settings = {"seed": 0, "search.sampler": "random", "data.max_length": 128, "model.weights": "ab"}
    toy.study(toy.toy_setup(path, 3, settings=settings), toy.ToyScorer(), "uniform")
    before, scorer = _dump(path), toy.ToyScorer()
    other = {"seed": 1, "search.sampler": "tpe", "data.max_length": 128, "pruning.criterion": "fisher"}
    message = _fails(toy.toy_setup(path, 9, "tpe", settings=other), scorer)
    assert message == (
        "study 'toy' was made with other settings: seed was 0, now 1; search.sampler was 'random', now 'tpe'; "
        "model.weights was 'ab', now None; pruning.criterion was None, now 'fisher'. "
        "Restore them to resume it, or choose another name"
    )
    assert _dump(path) == before
    assert scorer.asked == []


def test_settings_are_the_same_after_json(toy: ModuleType, tmp_path: Path) -> None:
    """A tuple is stored as a list: that is no difference."""
    settings = {"targets": (0.25, 0.5), "nested": {"a": (1,)}}
    for trials in (2, 3):
        assert (
            len(toy.study(toy.toy_setup(tmp_path / "study.db", trials, settings=settings), toy.ToyScorer(), "uniform"))
            == trials
        )


def test_what_a_report_says_follows_the_last_call(toy: ModuleType, tmp_path: Path) -> None:
    setup = toy.toy_setup(tmp_path / "study.db", 2)
    toy.study(setup, toy.ToyScorer(), "uniform")
    moved = dataclasses.replace(setup, info=dataclasses.replace(setup.info, trials=3, model="elsewhere", notes=("x",)))
    toy.study(moved, toy.ToyScorer(), "uniform")
    assert read_study(setup.storage, "toy").info == moved.info


def test_several_studies_share_a_database(toy: ModuleType, tmp_path: Path) -> None:
    setup = toy.toy_setup(tmp_path / "study.db", 2)
    toy.study(setup, toy.ToyScorer(), "uniform")
    second = dataclasses.replace(setup, info=dataclasses.replace(setup.info, name="second", trials=3))
    toy.study(second, toy.ToyScorer(), "uniform")
    assert len(read_study(setup.storage, "toy").records) == 2
    assert len(read_study(setup.storage, "second").records) == 3
    with pytest.raises(StudyError, match=r"^study 'third' is not in sqlite:///.*study\.db; there: toy, second$"):
        read_study(setup.storage, "third")


def test_a_foreign_database_is_left_alone(toy: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "diary.db"
    with _opened(path) as connection:
        connection.execute("CREATE TABLE diary (day TEXT)")
    before = path.read_bytes()
    expected = f"study database sqlite:///{path} must be one of Optuna's, it is not (it holds 'diary'): "
    assert _fails(toy.toy_setup(path, 2), toy.ToyScorer()) == expected + "choose another file"
    with pytest.raises(StudyError, match=r"it holds 'diary'"):
        read_study(sqlite_url(path), "toy")
    with pytest.raises(StudyError, match=r"it holds 'diary'"):
        check_study(sqlite_url(path), "toy", {})
    assert path.read_bytes() == before


def test_a_foreign_table_of_the_same_name_is_told(toy: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "school.db"
    with _opened(path) as connection:
        connection.execute("CREATE TABLE studies (subject TEXT)")
    message = _fails(toy.toy_setup(path, 2), toy.ToyScorer())
    assert message == f"study database sqlite:///{path} can't be used: table studies has no column named study_name"


@pytest.mark.parametrize("text", ["hi", "a file that is longer than the header of a database, but text. " * 20])
def test_a_text_file_is_told_and_left_alone(text: str, toy: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text(text)
    expected = f"study database sqlite:///{path} must be one of Optuna's, it is not (file is not a database)"
    assert _fails(toy.toy_setup(path, 2), toy.ToyScorer()) == expected
    with pytest.raises(StudyError, match="file is not a database"):
        read_study(sqlite_url(path), "toy")
    assert path.read_text() == text


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_truncated_database_is_damaged(share: float, toy: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    toy.study(toy.toy_setup(path, 4), toy.ToyScorer(), "uniform")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    expected = f"study database sqlite:///{path} is damaged (database disk image is malformed): "
    assert _fails(toy.toy_setup(path, 6), toy.ToyScorer()).startswith(expected + "restore a copy of it")
    with pytest.raises(StudyError, match=r"is damaged"):
        read_study(sqlite_url(path), "toy")


@pytest.mark.parametrize("trials", [0, 1])
def test_a_study_that_someone_else_made_is_left_alone(trials: int, toy: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    study = optuna.create_study(storage=toy.unpooled(path), study_name="toy", directions=["minimize"])
    for _ in range(trials):
        study.add_trial(optuna.trial.create_trial(value=1.0))
    before = _dump(path)
    message = _fails(toy.toy_setup(path, 4), toy.ToyScorer())
    assert message == "study 'toy' in this database was not made by aebert: choose another name"
    with pytest.raises(StudyError, match=r"^study 'toy' in sqlite:.* was not made by aebert: choose another name$"):
        read_study(sqlite_url(path), "toy")
    assert _dump(path) == before


@pytest.mark.parametrize("content", [None, b""])
def test_loading_makes_no_database(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    if content is not None:
        path.write_bytes(content)
    for url in (sqlite_url(path), f"sqlite+pysqlite:///{path}", f"sqlite:///{path}?timeout=5"):
        with pytest.raises(
            StudyError, match=r"^study database sqlite.*study\.db.* does not exist: start the study with"
        ):
            read_study(url, "toy")
    assert (path.read_bytes() if path.exists() else None) == content


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%3Fb", "50 %", "{SCHEMA_VERSION}", 'it\'s "ü"', "x@y:z;[1]", "a\nb"])
def test_a_database_is_where_its_path_says(toy: ModuleType, tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "study.db"
    path.parent.mkdir()
    toy.study(toy.toy_setup(path, 2), toy.ToyScorer(), "uniform")
    assert list(tmp_path.rglob("*.db*")) == [path]
    assert len(read_study(sqlite_url(path), "toy").records) == 2
    assert list(tmp_path.iterdir()) == [path.parent]


def test_a_folder_that_is_not_there_is_told(toy: ModuleType, tmp_path: Path) -> None:
    message = _fails(toy.toy_setup(tmp_path / "none" / "study.db", 2), toy.ToyScorer())
    assert message == f"study database sqlite:///{tmp_path}/none/study.db can't be used: unable to open database file"


def test_a_locked_database_is_told(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LOCK_SECONDS", 0.05)
    path = tmp_path / "study.db"
    toy.study(toy.toy_setup(path, 2), toy.ToyScorer(), "uniform")
    with _opened(path) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        expected = f"study database sqlite:///{path} is locked by another process: wait for it or stop it"
        assert _fails(toy.toy_setup(path, 4), toy.ToyScorer()).startswith(expected)
        with pytest.raises(StudyError, match="is locked by another process"):
            read_study(sqlite_url(path), "toy")
    assert len(toy.study(toy.toy_setup(path, 4), toy.ToyScorer(), "uniform")) == 4


def test_a_lock_that_goes_away_is_waited_for(toy: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    toy.study(toy.toy_setup(path, 2), toy.ToyScorer(), "uniform")
    with _opened(path) as connection:
        connection.execute("BEGIN EXCLUSIVE")

        @event.listens_for(Engine, "do_connect", once=True)
        def release(*_: object) -> None:
            connection.rollback()

        assert len(toy.study(toy.toy_setup(path, 3), toy.ToyScorer(), "uniform")) == 3


@contextmanager
def _pages(count: int) -> Iterator[None]:
    """A disk with room for that many pages per database."""

    def limit(connection: Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {count}")

    event.listen(Engine, "connect", limit)
    try:
        yield
    finally:
        event.remove(Engine, "connect", limit)


def test_a_full_disk_loses_no_trial(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # Optuna waits between its tries
    path = tmp_path / "study.db"
    toy.study(toy.toy_setup(path, 2), toy.ToyScorer(), "uniform")
    with _opened(path) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    scorer = toy.ToyScorer()
    with _pages(pages + 1):
        setup = toy.toy_setup(path, 20)
        message = _fails(setup, scorer, toy.toy_first(setup, "uniform"))
    assert message == (
        f"the disk of study database sqlite:///{path} is full: free some space and run the command again; "
        "no trial is lost"
    )
    kept = read_study(sqlite_url(path), "toy").records
    assert len(kept) == 2 + len(scorer.asked) - 1  # all but the one that found no room
    whole = toy.study(toy.toy_setup(tmp_path / "whole.db", 20), toy.ToyScorer(), "uniform")
    assert toy.without_times(toy.study(toy.toy_setup(path, 20), toy.ToyScorer(), "uniform")) == toy.without_times(whole)


def test_a_read_only_database_is_told(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened so by its URL, since permissions don't stop the superuser. "full" is in what is written, not the error."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    path = tmp_path / "study.db"
    settings = {"data": "full and locked"}
    toy.study(toy.toy_setup(path, 2, settings=settings), toy.ToyScorer(), "uniform")
    url = f"sqlite:///file:{path}?mode=ro&uri=true"
    assert len(read_study(url, "toy").records) == 2
    setup = toy.toy_setup(path, 2, storage=url, settings=settings)
    noted = dataclasses.replace(setup, info=dataclasses.replace(setup.info, notes=("the full set, locked",)))
    assert _fails(noted, toy.ToyScorer()).endswith("can't be used: attempt to write a readonly database")


@pytest.mark.parametrize(
    ("url", "shown", "reason"),
    [
        ("foo://me:secret@host/db", "foo://me:***@host/db", "Can't load plugin: sqlalchemy.dialects:foo"),
        ("mssql+nodbc://me:secret@host/db", "mssql+nodbc://me:***@host/db", "Can't load plugin: "),
        ("postgresql//me:secret@host/db", "postgresql//***@host/db", "Could not parse SQLAlchemy URL"),
        ("postgresql://me:secret@host:port/db", "postgresql://***@host:port/db", "the port must be a number"),
        ("foo://host/db?password=secret", "foo://host/db", "Can't load plugin"),
        ("results/study.db", "results/study.db", "Could not parse SQLAlchemy URL"),
    ],
)
def test_a_url_that_can_not_be_used_is_told_without_its_password(
    url: str, shown: str, reason: str, toy: ModuleType, tmp_path: Path
) -> None:
    expected = f"search.storage must be a database URL whose driver is installed, got {shown} ({reason}"
    messages = [_fails(toy.toy_setup(tmp_path / "x", 2, storage=url), toy.ToyScorer())]
    for call in (lambda url: check_study(url, "toy", {}), lambda url: read_study(url, "toy")):
        with pytest.raises(StudyError) as caught:
            call(url)
        messages.append(str(caught.value))
    for message in messages:
        assert message.startswith(expected)
        assert message.endswith("for PostgreSQL: pip install 'aebert[postgres]'")
        assert "sec" not in message
        assert "ret" not in message


def test_a_bug_of_ours_is_not_taken_for_a_problem_of_the_database(toy: ModuleType, tmp_path: Path) -> None:
    def broken(architecture: object, rival: object = None) -> Any:
        raise RuntimeError("scorer broke")

    with pytest.raises(RuntimeError, match=r"^scorer broke$") as caught:
        search(toy.toy_setup(tmp_path / "study.db", 2), broken, {})
    assert not isinstance(caught.value, StudyError)


def test_a_study_is_checked_before_any_work_is_put_into_it(toy: ModuleType, tmp_path: Path) -> None:
    setup = toy.toy_setup(tmp_path / "study.db", 2)
    assert check_study(setup.storage, "toy", setup.settings) == 0
    assert not (tmp_path / "study.db").exists()
    search(setup, toy.ToyScorer(), {})
    assert check_study(setup.storage, "toy", setup.settings) == 2
    known = {**setup.settings, "model.weights": "not known yet"}
    assert check_study(setup.storage, "toy", known, later={"model.weights"}) == 2
    with pytest.raises(StudyError, match=r"model\.weights was .*, now 'not known yet'"):
        check_study(setup.storage, "toy", known)


def _database(path: Path) -> StudyDatabase:
    info = StudyInfo(
        name="toy",
        task="task",
        model="model",
        metric="accuracy",
        budget_kind="sparsity",
        targets=(0.5,),
        length=32,
        sampler="random",
        seed=0,
        trials=9,
        search_rows=10,
    )
    return StudyDatabase.open(sqlite_url(path), info, {})


def _finished(number: int) -> FrozenTrial:
    return optuna.trial.create_trial(value=float(number), user_attrs={"outcomes": str(number) * 4000})


def test_a_lock_is_reported_after_the_time_to_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna alone would wait for it five times over, and up to two seconds more between its tries."""
    monkeypatch.setattr(connections, "LOCK_SECONDS", 0.3)
    path = tmp_path / "study.db"
    with _database(path) as database, _opened(path) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        with pytest.raises(StudyError, match="is locked by another process"):
            database.add(_finished(0))
        assert 0.25 < time.monotonic() - started < 1.2
        connection.rollback()
        database.add(_finished(0))
        assert [trial.number for trial in database.frozen_trials()] == [0]


def test_between_trials_nothing_is_open_and_there_is_one_file(toy: ModuleType, tmp_path: Path) -> None:
    """So a copy of it is whole, whatever becomes of the process."""
    path = tmp_path / "study.db"
    database = _database(path)
    for number in range(3):
        database.add(_finished(number))
        assert [file.name for file in tmp_path.iterdir()] == ["study.db"]
        copy = shutil.copy(path, tmp_path.parent / f"{tmp_path.name}-copy.db")
        assert len(toy.frozen_trials(sqlite_url(Path(copy)))) == number + 1
        opened = [file.path for file in psutil.Process().open_files()]
        assert str(path) not in opened
        with path.open("rb"):  # the test of the test: an open file is found
            assert str(path) in [file.path for file in psutil.Process().open_files()]


def test_a_closed_database_can_be_used_again(tmp_path: Path) -> None:
    with _database(tmp_path / "study.db") as database:
        database.add(_finished(0))
    database.close()
    assert len(database.frozen_trials()) == 1


def test_it_keeps_no_trials_in_memory(tmp_path: Path) -> None:
    with _database(tmp_path / "study.db") as database:
        database.add(*[_finished(number) for number in range(3)])
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for number in range(20):
                database.add(*[_finished(number) for _ in range(10)])
            database.frozen_trials()
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    assert grown < 400_000  # their attributes are more than 800,000
