"""Ctrl-C and kill -9 in the middle: nothing that was finished is lost."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from aebert.search.connections import sqlite_url
from aebert.search.reading import read_study

from .conftest import Aebert, Workspace, start


def _trials(database: Path) -> int:
    if not database.is_file():
        return 0
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        try:
            (count,) = connection.execute("select count(*) from trials").fetchone()
        except sqlite3.OperationalError:  # the tables are being made
            return 0
    connection.close()
    return int(count)


def _wait(condition: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what the test waits for did not happen"
        time.sleep(0.02)


def _sampled(database: Path) -> list[tuple[object, ...]]:
    records = read_study(sqlite_url(database), database.parent.name).records
    return [(r.number, r.architecture, r.score, r.budget, r.same_as) for r in records]


@pytest.mark.parametrize(
    ("stop", "workers"),
    [
        (signal.SIGKILL, 1),
        (signal.SIGINT, 1),
        pytest.param(signal.SIGKILL, 2, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_search_goes_on_as_if_nothing_had_happened(
    stop: signal.Signals, workers: int, aebert: Aebert, workspace: Workspace
) -> None:
    trials = ["--set", "search.trials=60", "--workers", str(workers)]
    process = start(["search", "reviews.yaml", "--name", "stopped", *trials], workspace)
    database = workspace / "results" / "stopped" / "study.db"
    _wait(lambda: _trials(database) >= 5 or process.poll() is not None)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= (workers if workers > 1 else 0)
    process.send_signal(stop)
    _, err = process.communicate(timeout=60)
    _wait(lambda: not any(child.is_running() for child in family), seconds=5)
    assert 5 <= _trials(database) < 60
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert err.strip().splitlines()[-1].startswith("interrupted: what was finished is kept")
        assert "Traceback" not in err
    else:
        assert process.returncode == -signal.SIGKILL

    assert aebert("search", "reviews.yaml", "--name", "stopped", *trials).code == 0
    assert aebert("search", "reviews.yaml", "--name", "whole", *trials).code == 0
    results = workspace / "results"
    assert _sampled(results / "stopped" / "study.db") == _sampled(results / "whole" / "study.db")


@pytest.mark.slow
def test_a_fine_tuning_that_was_killed_goes_on_from_its_checkpoint(aebert: Aebert, workspace: Workspace) -> None:
    arguments = ["dense", "reviews.yaml", "--model", "my-encoder", "--set", "dense.epochs=40", "--set", "name=killed"]
    process = start(arguments, workspace)
    checkpoints = workspace / "results" / "killed" / "checkpoints"
    _wait(lambda: bool(list(checkpoints.rglob("trainer_state.json"))) or process.poll() is not None)
    assert process.poll() is None
    process.kill()
    process.communicate()
    steps = [int(path.name.rpartition("-")[2]) for path in checkpoints.rglob("checkpoint-*")]
    assert steps
    assert max(steps) < 80
    assert aebert(*arguments).code == 0
    assert not list(checkpoints.iterdir())
