"""Candidates that are scored in several processes, which die, hang and fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from aebert.errors import StudyError
from aebert.pruning.architecture import Architecture
from aebert.pruning.recipe import Recipe
from aebert.search.executor import InProcess, Work
from aebert.search.processes import ATTEMPTS, Processes, shares
from aebert.search.record import TrialRecord
from aebert.search.study import search
from tests.search.toy_scores import ToyWork, Unbuildable

pytestmark = pytest.mark.usefixtures("few_draws")
TARGETS, TRIALS = (0.3, 0.6), 14


class Says:
    """Progress that remembers the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def _search(toy: ModuleType, path: Path, executor: Any, trials: int = TRIALS) -> list[TrialRecord]:
    setup = toy.toy_setup(path, trials, "tpe", TARGETS)
    records: list[TrialRecord] = toy.without_times(search(setup, executor, toy.toy_first(setup, "uniform"))[0])
    return records


def _expected(toy: ModuleType, folder: Path, trials: int = TRIALS) -> list[TrialRecord]:
    """What a search with two workers finds, without workers."""
    return _search(toy, folder / "expected.db", InProcess(ToyWork().score, window=4), trials)


def _ended(processes: Sequence[int]) -> bool:
    return not any(psutil.pid_exists(process) for process in processes)


def _wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what the test waits for did not happen"
        time.sleep(0.02)


def _workers(marks: Path) -> list[int]:
    return [int(path.name.removeprefix("pid-")) for path in marks.glob("pid-*")]


def test_two_workers_find_the_same_whichever_is_faster(toy: ModuleType, tmp_path: Path) -> None:
    expected = _expected(toy, tmp_path)
    for study in ("one", "other"):
        marks = tmp_path / study
        marks.mkdir()
        assert _search(toy, tmp_path / f"{study}.db", Processes(ToyWork(0.05, marks), 2)) == expected
        assert len(_workers(marks)) == 2
        assert os.getpid() not in _workers(marks)
        assert _ended(_workers(marks))
    assert {record.known_until for record in expected[5:]} == {*range(2, TRIALS - 3)}


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ("die", "a worker died (SIGKILL): its candidate is scored again"),
        ("hang", "a worker took more than 1.5 s and was stopped: its candidate is scored again"),
    ],
)
def test_what_a_lost_worker_had_is_scored_by_another(order: str, says: str, toy: ModuleType, tmp_path: Path) -> None:
    expected = _expected(toy, tmp_path)
    victims = {sum(record.architecture.ffn) for record in expected if record.number in (0, 3, 8)}
    assert len(victims) == 3
    for neurons in victims:
        (tmp_path / str(neurons)).write_text(order)
    said = Says()
    executor = Processes(ToyWork(0.05, tmp_path), 2, timeout=1.5, progress=said)  # type: ignore[arg-type]
    assert _search(toy, tmp_path / "study.db", executor) == expected
    assert said.lines == [says] * 3
    assert len(_workers(tmp_path)) == 5  # two, and three in their places
    assert _ended(_workers(tmp_path))


def test_a_candidate_that_takes_every_worker_with_it_ends_the_search(toy: ModuleType, tmp_path: Path) -> None:
    expected = _expected(toy, tmp_path)
    (tmp_path / str(sum(expected[6].architecture.ffn))).write_text("always-die")
    with pytest.raises(
        StudyError, match=rf"scored by one of {ATTEMPTS} workers, but each was lost with it \(the last "
    ):
        _search(toy, tmp_path / "study.db", Processes(ToyWork(0.0, tmp_path), 2))
    assert _ended(_workers(tmp_path))
    assert _search(toy, tmp_path / "study.db", InProcess(ToyWork().score, window=4)) == expected


def test_an_error_in_a_worker_is_one_of_the_search(toy: ModuleType, tmp_path: Path) -> None:
    (tmp_path / str(3 * 64)).write_text("fail")
    with pytest.raises(ZeroDivisionError, match="on purpose") as caught:
        _search(toy, tmp_path / "study.db", Processes(ToyWork(0.0, tmp_path), 2))
    assert 'raise ZeroDivisionError("on purpose")' in caught.value.__notes__[0]
    assert _ended(_workers(tmp_path))


def test_a_worker_that_cannot_start_says_why(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        _search(toy, tmp_path / "study.db", Processes(Unbuildable(), 2))
    assert str(caught.value) == "there is no dense model"


def test_a_score_that_is_no_number_fails_the_trial(toy: ModuleType, tmp_path: Path) -> None:
    """As it does in the search's own process; another candidate takes its place nowhere."""
    (tmp_path / str(3 * 64)).write_text("always-nan")
    records = _search(toy, tmp_path / "study.db", Processes(ToyWork(0.0, tmp_path), 2))
    assert [record.number for record in records] == list(range(1, TRIALS))
    again = _search(toy, tmp_path / "again.db", InProcess(ToyWork(0.0, tmp_path).score, window=4))
    assert records == again
    failed = toy.frozen_trials(toy.sqlite_url(tmp_path / "study.db"))[0]
    assert failed.state.name == "FAIL"
    assert failed.user_attrs["failure"] == "score or loss is not a finite number"


_DRIVER = """
import sys
from pathlib import Path
from tests.search import toy_search as toy
from tests.search.toy_scores import ToyWork, Unbuildable
from aebert.search.processes import Processes
from aebert.search.study import search

if __name__ == "__main__":
    setup = toy.toy_setup(Path(sys.argv[1]) / "study.db", 14, "tpe", (0.3, 0.6))
    search(setup, Processes(ToyWork(float(sys.argv[2]), Path(sys.argv[1])), 2), toy.toy_first(setup, "uniform"))
"""


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_workers_end_with_their_driver(stop: signal.Signals, tmp_path: Path) -> None:
    """In the middle of candidates that take minutes; Ctrl-C reaches the whole process group."""
    script = tmp_path / "driver.py"
    script.write_text(_DRIVER)
    root = str(Path(__file__).parents[2])
    driver = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), "1000"],
        env={**os.environ, "PYTHONPATH": root},
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        _wait(lambda: len(_workers(tmp_path)) == 2 or driver.poll() is not None, seconds=200)
        family = psutil.Process(driver.pid).children(recursive=True)
        assert {process.pid for process in family} >= {*_workers(tmp_path)}
        if stop == signal.SIGINT:
            os.killpg(driver.pid, stop)
        else:
            driver.send_signal(stop)
        _, err = driver.communicate(timeout=20)
        _wait(lambda: _ended([process.pid for process in family]), seconds=5)
    finally:
        driver.kill()
        driver.communicate()
    assert driver.returncode != 0
    assert err.count("Traceback") == (stop == signal.SIGINT), err  # of the driver alone


def test_a_search_that_fails_leaves_no_worker(tmp_path: Path) -> None:
    with Processes(ToyWork(1000.0, tmp_path), 2) as executor:
        for neurons in (1, 2, 3, 4):
            executor.submit(Work(Recipe(Architecture((1,), (neurons,)))))
        _wait(lambda: len(_workers(tmp_path)) == 2)
    assert _ended(_workers(tmp_path))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("aebert-worker")]


@pytest.mark.parametrize(
    ("cores", "workers", "expected"),
    [
        ({0, 1}, 2, [(0,), (1,)]),
        ({0, 2, 5, 7}, 2, [(0, 2), (5, 7)]),
        (set(range(5)), 2, [(0, 1), (2, 3, 4)]),
        ({3, 4}, 3, [(3,), (4,), (3,)]),
        ({0, 1, 2}, 1, [(0, 1, 2)]),
    ],
)
def test_cores_are_shared_out(
    cores: set[int], workers: int, expected: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: cores, raising=False)
    assert shares(workers) == expected


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not say which cores a process has")
def test_each_worker_has_its_cores(tmp_path: Path) -> None:
    with Processes(ToyWork(1000.0, tmp_path), 2) as executor:
        for neurons in (1, 2):
            executor.submit(Work(Recipe(Architecture((1,), (neurons,)))))
        _wait(lambda: len(_workers(tmp_path)) == 2)
        found = {tuple(sorted(os.sched_getaffinity(worker))) for worker in _workers(tmp_path)}
    assert found == {*shares(2)}
