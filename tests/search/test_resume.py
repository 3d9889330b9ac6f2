"""Searches that are killed for real."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.trial import TrialState

from aebert.pruning.architecture import Architecture
from aebert.search.connections import sqlite_url
from aebert.search.outcomes import Outcomes
from aebert.search.reading import read_study
from aebert.search.record import TrialRecord, Verdict
from aebert.search.samplers import SAMPLERS
from aebert.search.scoring import Scored
from aebert.search.study import search

if TYPE_CHECKING:
    from tests.search.conftest import Server

TARGETS = (0.3, 0.6)
ONE, SEVERAL = (0.5,), (0.3, 0.5, 0.7)


class Stop(Exception):
    """What ends a search in the middle."""


@dataclass
class Breaking:
    """A scorer that breaks off after some candidates."""

    scorer: Any
    left: int

    def __call__(self, architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        if len(self.scorer.asked) == self.left:
            raise Stop
        return _spoiled(architecture, self.scorer(architecture, rival))


def _interrupted(
    toy: ModuleType, path: Path, trials: int, sampler: str, targets: tuple[float, ...], seed: int
) -> tuple[int, list[TrialRecord], list[Verdict]]:
    """Search, with the scorer breaking off at random again and again; how often it did, and what came of it."""
    rng, stops = random.Random(seed), 0
    while True:
        breaking = Breaking(toy.RowScorer(), rng.randrange(18))
        setup = toy.toy_setup(path, trials, sampler, targets)
        try:
            records, verdicts = search(setup, breaking, toy.toy_first(setup, "uniform", "magnitude"))
        except Stop:
            stops += 1
        else:
            return stops, records, verdicts


def _spoiled(architecture: Architecture, scored: Scored) -> Scored:
    """Some architectures have no score."""
    return (
        replace(scored, loss=float("nan"))
        if sum(architecture.ffn) // 4 % 5 == 3 and architecture.ffn[0] < 64
        else scored
    )


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize(
    ("sampler", "targets"),
    [
        ("tpe", ONE),
        ("tpe", SEVERAL),
        ("nsga2", SEVERAL),
        ("local", SEVERAL),
        ("random", ONE),
        *(
            pytest.param(name, targets, marks=pytest.mark.slow)
            for name, targets in (("nsga2", ONE), ("local", ONE), ("random", SEVERAL))
        ),
    ],
)
def test_interrupted_at_random_it_ends_as_if_never_interrupted(
    sampler: str, targets: tuple[float, ...], toy: ModuleType, tmp_path: Path
) -> None:
    _compare(toy, tmp_path, 44 if sampler == "nsga2" else 30, sampler, targets)


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize(
    "targets", [(0.5,), pytest.param((0.3, 0.6), marks=pytest.mark.slow)], ids=["one budget", "several"]
)
def test_interrupted_at_random_with_gaussian_processes(
    targets: tuple[float, ...], toy: ModuleType, tmp_path: Path
) -> None:
    """Fewer trials, since each takes tenths of a second; the first ten are drawn at random."""
    _compare(toy, tmp_path, 16, "gp", targets)


def _compare(toy: ModuleType, folder: Path, trials: int, sampler: str, targets: tuple[float, ...]) -> None:
    whole, killed = folder / "whole.db", folder / "killed.db"
    setup, scorer = toy.toy_setup(whole, trials, sampler, targets), toy.RowScorer()
    expected, judged = search(
        setup,
        lambda architecture, rival=None: _spoiled(architecture, scorer(architecture, rival)),
        toy.toy_first(setup, "uniform", "magnitude"),
    )
    stops, records, verdicts = _interrupted(toy, killed, trials, sampler, targets, seed=1)
    assert stops >= 2
    assert toy.without_times(records) == toy.without_times(expected)
    assert verdicts == judged
    assert toy.stored(sqlite_url(killed)) == toy.stored(sqlite_url(whole))
    if trials > 20:  # or races and failures would not have been put to the test
        assert len(expected) < trials
        assert scorer.stopped > 0


def test_no_sampler_is_left_out() -> None:
    assert {"tpe", "nsga2", "local", "random", "gp"} == set(SAMPLERS)


def _check_whole(toy: ModuleType, path: Path) -> int:
    """Number of trials in a database that a killed process left; each must be finished and have all its parts."""
    if not path.is_file():
        return 0
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    database.close()
    if "alembic_version" not in tables:
        return 0
    storage = toy.unpooled(path)
    if "toy" not in optuna.get_all_study_names(storage):
        return 0
    trials = optuna.load_study(storage=storage, study_name="toy").trials
    assert [trial.number for trial in trials] == list(range(len(trials)))
    for trial in trials:
        assert trial.state == TrialState.COMPLETE
        assert trial.user_attrs["aebert"]["number"] == trial.number
        assert len(trial.values) == 2
        assert len(trial.params) == (7 if trial.number else 0)
    return len(trials)


def test_killed_again_and_again_it_ends_as_if_never_killed(server: Server, toy: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "killed.db"
    rng = random.Random(0)
    seen = [0]
    for kill in range(5):
        process = server.start(path, 16, "tpe", TARGETS, seconds=0.04)
        if kill > 1:  # the first ones may fall into the making of the tables
            _wait_for(path, seen[-1] + 1)
        server.kill_after(rng.uniform(0, 0.15), process)
        seen.append(_check_whole(toy, path))
    assert seen == sorted(seen)
    assert 0 < seen[-1] < 16, "the kills must fall into the search to show anything"
    server.start(path, 16, "tpe", TARGETS)
    server.wait()
    assert _check_whole(toy, path) == 16
    expected = toy.study(toy.toy_setup(tmp_path / "whole.db", 16, "tpe", TARGETS), toy.ToyScorer())
    assert toy.without_times(read_study(sqlite_url(path), "toy").records) == toy.without_times(expected)
    assert toy.stored(sqlite_url(path)) == toy.stored(sqlite_url(tmp_path / "whole.db"))


@pytest.mark.slow
@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_killed_at_any_moment_of_any_sampler(sampler: str, toy: ModuleType, tmp_path: Path) -> None:
    """With interpreters of their own, at moments that differ on every run."""
    path, trials = tmp_path / "killed.db", 50 if sampler == "nsga2" else 26
    order = {
        "path": str(path),
        "trials": trials,
        "sampler": sampler,
        "targets": TARGETS,
        "seed": 0,
        "seconds": 0.1,
        "rows": True,
    }
    command = [sys.executable, str(Path(__file__).parent / "toy_search.py"), json.dumps(order)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    rng = random.Random()
    for _ in range(12):
        before = path.stat().st_size if path.is_file() else 0
        process = subprocess.Popen(command, env=environment)
        deadline = time.monotonic() + 60
        while not path.is_file() or (before == 0 and path.stat().st_size == 0):  # imports take most of the time
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 1) + (4 if before else 0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        _check_whole(toy, path)
    subprocess.run(command, env=environment, check=True)
    assert _check_whole(toy, path) == trials
    setup = toy.toy_setup(tmp_path / "whole.db", trials, sampler, TARGETS)
    expected, verdicts = search(setup, toy.RowScorer(), toy.toy_first(setup, "uniform", "magnitude"))
    found = read_study(sqlite_url(path), "toy")
    assert toy.without_times(found.records) == toy.without_times(expected)
    assert list(found.verdicts) == verdicts
    assert toy.stored(sqlite_url(path)) == toy.stored(setup.storage)


def test_a_running_study_can_be_read(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    server.start(path, 12, seconds=0.15)
    counts: list[int] = []
    deadline = time.monotonic() + 30
    while (not counts or counts[-1] < 12) and time.monotonic() < deadline:
        if _finished(path):
            records = read_study(sqlite_url(path), "toy").records
            assert [record.number for record in records] == list(range(len(records)))
            counts.append(len(records))
    server.wait()
    assert counts == sorted(counts)
    assert counts[-1] == 12
    assert len(set(counts)) > 2, "it must have been read while it ran"


def _wait_for(path: Path, trials: int) -> None:
    deadline = time.monotonic() + 30
    while _finished(path) < trials:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _finished(path: Path) -> int:
    """Number of finished trials, also while the tables are being made."""
    if not path.is_file():
        return 0
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(database.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        database.close()
