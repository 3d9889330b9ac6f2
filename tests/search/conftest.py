"""The toy search as a fixture, since test files import no other files of this folder."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import pytest

TOY = Path(__file__).parent / "toy_search.py"
ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # the toys import each other by their full names, also in processes of their own


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    return _load(TOY)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts from 10 bootstrap draws, since 200 take most of the time of a study on toy rows."""
    monkeypatch.setattr("aebert.search.verdict.RESAMPLES", 10)


class Server:
    """Searches in processes of their own; see `toy_search.py`."""

    def __init__(self) -> None:
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": path}
        self._process = subprocess.Popen(
            [sys.executable, str(TOY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._answer() == "ready"

    def start(
        self,
        path: Path,
        trials: int,
        sampler: str = "random",
        targets: tuple[float, ...] = (0.5,),
        seed: int = 0,
        seconds: float = 0.0,
        rows: bool = False,
    ) -> int:
        """Start a search and return the id of its process; call `wait` before the next."""
        order: dict[str, Any] = {"trials": trials, "sampler": sampler, "targets": targets, "seed": seed}
        self._tell(json.dumps({"path": str(path), "seconds": seconds, "rows": rows, **order}))
        return int(self._answer())

    def wait(self) -> None:
        """Return when the search has ended."""
        assert self._answer() == "done"
        self._tell("")

    def kill_after(self, seconds: float, process: int) -> None:
        """SIGKILL."""
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()
