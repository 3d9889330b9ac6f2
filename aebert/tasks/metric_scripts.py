"""Metrics of `evaluate` that a user has as a script: nothing is asked of the hub."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import evaluate
import numpy as np

from aebert.errors import ConfigError
from aebert.files import expand_user
from aebert.tasks.offline_metric import OfflineMetric
from aebert.tasks.task import TaskKind

PREFIX = "evaluate:"
"""What a metric's name begins with if it is the path of a script, or of a folder with a script of the same name."""

# References, and predictions that are all wrong.
_PROBES: Mapping[TaskKind, tuple[list[Any], list[Any]]] = {
    "classification": ([0, 1, 1, 0, 1, 0, 0, 1], [1, 0, 0, 1, 0, 1, 1, 0]),
    "regression": ([0.0, 0.2, 0.4, 0.6, 1.0], [1.0, 0.6, 0.4, 0.2, 0.0]),
}


class ScriptMetric(OfflineMetric):
    """The metric of a script; where it is undefined (not finite), it is 0, as ours are.

    Raises: ConfigError if the script can't be loaded or run, has no value to rank models by, or if that is not higher
    (and at most 1) for right predictions than for wrong ones.
    """

    kinds = ("classification", "regression")
    feature = datasets.Value("float64")

    def __init__(self, path: str, kind: TaskKind) -> None:
        self._path = _script_file(path)
        with _one_line(self._path):
            self._script = evaluate.load(str(self._path), keep_in_memory=True)
            self.script_hash = str(self._script._hash)  # of the script and of what it imports from its folder
        super().__init__()
        right, wrong = _PROBES[kind]
        best, worst = self._values(right, right), self._values(wrong, right)
        self.headline = _headline(best, self._path)
        high, low = best[self.headline], worst[self.headline]
        if not low < high <= 1:
            rule = f"task.metric {self._path} must be at most 1 and higher for better predictions"
            got = f"its {self.headline} is {high:g} for right ones and {low:g} for wrong ones"
            raise ConfigError(f"{rule}, but {got}; return another value")

    def compute(self, *, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        """The script's values that are numbers; `evaluate` would convert what it is given, and is not asked."""
        return self._compute(predictions, references)

    def _compute(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        values = self._values(predictions, references)
        return {name: value if math.isfinite(value) else 0.0 for name, value in values.items()}

    def _values(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        with _one_line(self._path):
            found = self._script._compute(predictions=list(predictions), references=list(references))
            return {name: float(value) for name, value in found.items() if isinstance(value, int | float | np.number)}


def _script_file(path: str) -> Path:
    """The script at a path or in the folder there. Raises: ConfigError if there is none."""
    given = expand_user(path)
    script = given / f"{given.name}.py" if given.is_dir() else given
    if not script.is_file() or script.suffix != ".py":
        rule = f"task.metric {PREFIX}PATH must name a script (.py) of evaluate, or a folder with one of its name"
        raise ConfigError(f"{rule}, got {path!r}; metrics by name are read from the hub, copy their folder here")
    return script


def _headline(values: Mapping[str, float], path: Path) -> str:
    """The only number of a result, or the one that is called like the script."""
    if len(values) == 1 or path.stem in values:
        return path.stem if path.stem in values else next(iter(values))
    got = ", ".join(values) or "no number"
    raise ConfigError(f"task.metric {path} must return one number, or one called {path.stem!r}, got {got}")


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turn whatever a script raises into a `ConfigError` of one line."""
    try:
        yield
    except Exception as error:  # anybody's code
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"task.metric {path} can't be computed: {reason}; correct the script") from error
