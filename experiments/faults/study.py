"""A search on toy scores that is started many times; every fault is done to it.

Run as a script, it imports `aebert` once, and then starts a process for each line of JSON on its input (see `Order`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TARGETS = (0.3, 0.6)


@dataclass(frozen=True)
class Order:
    """One search: where its study is, how many trials, of which seed, with how many workers.

    seconds: most that a candidate takes. marks: folder of what workers are told to do, see `ToyWork`.
    """

    url: str
    trials: int
    workers: int = 1
    seed: int = 0
    seconds: float = 0.0
    marks: str | None = None
    timeout: float | None = None


def run(order: Order) -> list[Any]:
    """The records of the search."""
    from aebert.search.executor import InProcess
    from aebert.search.processes import Processes
    from aebert.search.study import search
    from tests.search import toy_search as toy
    from tests.search.toy_scores import ToyWork

    work = ToyWork(order.seconds, None if order.marks is None else Path(order.marks))
    setup = toy.toy_setup(Path("unused"), order.trials, "tpe", TARGETS, order.seed, storage=order.url)
    executor = Processes(work, order.workers, timeout=order.timeout) if order.workers > 1 else InProcess(work.score)
    found: list[Any] = search(setup, executor, toy.toy_first(setup, "uniform", "magnitude"))[0]
    return found


def expected(order: Order, folder: Path) -> list[dict[str, Any]]:
    """What the database holds after the same search without faults, in one process."""
    from aebert.search.connections import sqlite_url
    from aebert.search.executor import InProcess
    from aebert.search.study import search
    from tests.search import toy_search as toy
    from tests.search.toy_scores import ToyWork

    url = sqlite_url(folder / f"expected-{order.workers}-{order.seed}-{order.trials}.db")
    setup = toy.toy_setup(Path("unused"), order.trials, "tpe", TARGETS, order.seed, storage=url)
    window = 1 if order.workers == 1 else 2 * order.workers
    search(setup, InProcess(ToyWork().score, window), toy.toy_first(setup, "uniform", "magnitude"))
    found: list[dict[str, Any]] = toy.stored(url)
    return found


class Starter:
    """Starts searches in processes of their own, without importing everything anew."""

    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": path}
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._answer() == "ready"

    def start(self, order: Order) -> int:
        """Id of the process of the search; call `wait` before the next."""
        self._tell(json.dumps(asdict(order)))
        return int(self._answer())

    def wait(self) -> str:
        """Wait for its end; what it ended with: `0`, `-9`, or the last line of an error."""
        return self._answer()

    def close(self) -> None:
        """End the process that starts searches."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _serve() -> None:
    import optuna

    from aebert.search import verdict
    from tests.search import toy_search

    _ = toy_search
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    verdict.RESAMPLES = 10  # 200 bootstrap draws take most of the time of a study on toy rows
    print("ready", flush=True)
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _work(Order(**json.loads(line)), writing)
        os.close(writing)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        with os.fdopen(reading, "rb") as said:
            print((said.read().decode() if code == 1 else "") or code, flush=True)


def _work(order: Order, writing: int) -> None:
    try:
        run(order)
    except BaseException as error:
        os.write(writing, traceback.format_exception_only(error)[0].strip().encode()[:3000])
        os._exit(1)
    os._exit(0)


def wait_until(condition: Any, seconds: float) -> bool:
    """Whether something came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    _serve()
