"""A search that takes no model, and a server that runs it in processes of their own.

Run as a script it imports `aebert` once and then starts one forked process per line of JSON on its input, prints its
id, and "done" when it has ended, and waits for an empty line; so a test can kill real processes without paying for
imports each time.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.search.record import StudyInfo, TrialRecord
from aebert.search.space import Range, SearchSpace, make_grid
from aebert.search.storage import sqlite_url
from aebert.search.study import SearchSetup, search

SHAPE = ModelShape(
    family="bert",
    hidden=32,
    head_size=8,
    ffn_per_layer=1,
    heads=(4, 4, 4),
    ffn=(64, 64, 64),
    head_params=(1048,) * 3,
    ffn_params=(65,) * 3,
    head_macs=(1024,) * 3,
    ffn_macs=(64,) * 3,
    fixed_params=576,
    fixed_macs=0,
    other_params=5000,
)
SPACE = SearchSpace(source="toy", heads=Range(), ffn=Range(step=4))


@dataclass(frozen=True)
class ToyScore:
    metrics: dict[str, float]
    loss: float


@dataclass
class ToyScorer:
    """A separable score: later heads and earlier neurons are worth more. Remembers what it was asked."""

    seconds: float = 0.0
    asked: list[Architecture] = field(default_factory=list)

    def __call__(self, architecture: Architecture) -> ToyScore:
        self.asked.append(architecture)
        time.sleep(self.seconds)
        heads = sum((index + 1) ** 2 * count for index, count in enumerate(architecture.heads)) / 56
        ffn = sum((3 - index) ** 2 * count for index, count in enumerate(architecture.ffn)) / 896
        return ToyScore({"accuracy": (heads + ffn) / 2}, 1.0 - (heads + ffn) / 2)


def toy_setup(
    path: Path, trials: int, sampler: str = "random", targets: tuple[float, ...] = (0.5,), seed: int = 0, **change: Any
) -> SearchSetup:
    """A setup on the toy model; `change` replaces fields of the setup."""
    info = StudyInfo("toy", "task", "model", "accuracy", "sparsity", targets, 32, sampler, seed, trials, 10)
    values: dict[str, Any] = {
        "info": info,
        "shape": SHAPE,
        "grid": make_grid(SPACE, SHAPE),
        "objective": "metric",
        "storage": sqlite_url(path),
        "settings": {"seed": seed, "search.sampler": sampler, "search.budget.sparsity": list(targets)},
    }
    return SearchSetup(**{**values, **change})


Told = tuple[int, Architecture, float, float | None, int | None]


def told(records: list[TrialRecord]) -> list[Told]:
    """What two searches that did the same agree on: all but the seconds."""
    return [(each.number, each.architecture, each.score, each.budget, each.same_as) for each in records]


def run(path: str, trials: int, sampler: str, targets: list[float], seed: int, seconds: float) -> None:
    """One search."""
    search(toy_setup(Path(path), trials, sampler, tuple(targets), seed), ToyScorer(seconds))


def serve(work: Callable[..., None]) -> None:
    """Fork for every line of input. A child stays a zombie until the next line, so its id is not given away."""
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _work(work, line)
        print(child, flush=True)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        print("done", flush=True)
        sys.stdin.readline()
        os.waitpid(child, 0)


def _work(work: Callable[..., None], line: str) -> NoReturn:
    try:
        work(**json.loads(line))
    except BaseException:
        traceback.print_exc()
    os._exit(0)


if __name__ == "__main__":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if len(sys.argv) > 1:
        run(**json.loads(sys.argv[1]))
    else:
        serve(run)
