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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import optuna
from optuna.storages import RDBStorage
from sqlalchemy.pool import NullPool

from aebert.models.shape import ModelShape
from aebert.progress import SILENT, Progress
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import Importance
from aebert.pruning.recipe import Recipe
from aebert.search.budget import Budget, project
from aebert.search.connections import sqlite_url
from aebert.search.first import greedy, uniform
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.search.racing import is_beaten
from aebert.search.record import ATTRIBUTE, Origin, StudyInfo, TrialRecord
from aebert.search.schedule import FirstTrials
from aebert.search.scorers import Scorer
from aebert.search.scoring import Scored
from aebert.search.setup import SearchSetup
from aebert.search.space import Range, SearchSpace, make_grid
from aebert.search.study import search
from aebert.tasks.task import TaskSpec
from tests.search.toy_scores import ROWS, toy_outcomes, toy_quality

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


@dataclass
class ToyScorer:
    """A separable score: later heads and earlier neurons are worth more. Remembers what it was asked."""

    seconds: float = 0.0
    asked: list[Architecture] = field(default_factory=list)

    def __call__(self, architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        self.asked.append(architecture)
        time.sleep(self.seconds)
        quality = toy_quality(architecture)
        return Scored({"accuracy": quality}, 1.0 - quality)


def unpooled(path: Path) -> RDBStorage:
    """Optuna's storage on a study's file, which keeps no connection open."""
    return RDBStorage(sqlite_url(path), engine_kwargs={"poolclass": NullPool})


def frozen_trials(url: str) -> list[optuna.trial.FrozenTrial]:
    """Optuna's trials of the toy study."""
    storage = RDBStorage(url, engine_kwargs={"poolclass": NullPool})
    return optuna.load_study(storage=storage, study_name="toy").trials


LEGS = (64, 96, ROWS)
SPEC = TaskSpec(
    name="task",
    kind="classification",
    columns=("text",),
    label_column="label",
    labels=("bad", "good"),
    metric="accuracy",
    headline="accuracy",
)
JUDGE = Judge(SPEC)


@dataclass
class RowScorer(ToyScorer):
    """The same quality on rows: each is right if it is easy enough, by luck of its own; races like the real scorer."""

    stopped: int = 0
    rivals: list[Outcomes | None] = field(default_factory=list)

    def __call__(self, architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        super().__call__(architecture)
        self.rivals.append(rival)
        outcomes = toy_outcomes(architecture)
        for end in LEGS[:-1]:
            seen = outcomes.first(end)
            if rival is not None and is_beaten(JUDGE, seen, rival, np.zeros(ROWS, int)):
                self.stopped += 1
                right, loss = (_mean(rival, what) + _mean(seen, what) - _mean(rival.first(end), what) for what in WHAT)
                return Scored(metrics={"accuracy": right}, loss=loss, outcomes=seen, stopped=True)
        right, loss = (_mean(outcomes, what) for what in WHAT)
        return Scored(metrics={"accuracy": right}, loss=loss, outcomes=outcomes)


WHAT: tuple[Callable[[Outcomes], np.ndarray], ...] = (
    lambda outcomes: outcomes.marks[:, 0] == outcomes.marks[:, 1],
    lambda outcomes: outcomes.losses,
)


def _mean(outcomes: Outcomes, what: Callable[[Outcomes], np.ndarray]) -> float:
    return float(np.mean(what(outcomes), dtype=np.float64))


@dataclass
class ToyLadder:
    """Rungs on the same rows: repair makes any candidate better, and so does a library of its own.

    asked, proposed, kept, built: what it was asked to score, propose, keep and build.
    """

    repair: float = 0.06
    library_worth: float = 0.04
    asked: list[Recipe] = field(default_factory=list)
    proposed: list[tuple[Recipe | None, float]] = field(default_factory=list)
    kept: list[list[Recipe]] = field(default_factory=list)
    built: list[Recipe] = field(default_factory=list)
    grid: Any = None

    def propose(self, base: Recipe | None, budget: Budget) -> Architecture:
        self.proposed.append((base, budget.target))
        grid = self.grid or make_grid(SPACE, SHAPE)
        most = None if base is None else grid.levels(base.architecture)
        return project(np.array([0.2, 0.5, 0.9, 0.9, 0.5, 0.2]), grid, budget, most)

    def library(self, base: Recipe) -> str:
        return f"of {base.architecture.key()}"

    def build(self, base: Recipe) -> None:
        if base not in self.built:
            self.built.append(base)

    def score(self, recipe: Recipe, rival: Outcomes | None = None) -> Scored:
        self.asked.append(recipe)
        worth = self.repair * recipe.repaired + (0.0 if recipe.base is None else self.library_worth)
        outcomes = toy_outcomes(recipe.architecture, worth)
        right, loss = (_mean(outcomes, what) for what in WHAT)
        return Scored(metrics={"accuracy": right}, loss=loss, outcomes=outcomes)

    def keep(self, bases: Sequence[Recipe]) -> None:
        self.kept.append(list(bases))


def toy_setup(
    path: Path,
    trials: int | None,
    sampler: str = "random",
    targets: tuple[float, ...] = (0.5,),
    seed: int = 0,
    **change: Any,
) -> SearchSetup:
    """A setup on the toy model; `change` replaces fields of the setup."""
    info = StudyInfo(
        name="toy",
        task="task",
        model="model",
        metric="accuracy",
        budget_kind="sparsity",
        targets=targets,
        length=32,
        sampler=sampler,
        seed=seed,
        trials=trials,
        search_rows=ROWS,
    )
    values: dict[str, Any] = {
        "info": info,
        "shape": SHAPE,
        "grid": make_grid(SPACE, SHAPE),
        "judge": JUDGE,
        "storage": sqlite_url(path),
        "settings": {"seed": seed, "search.sampler": sampler, "search.budget.sparsity": list(targets)},
    }
    return SearchSetup(**{**values, **change})


def toy_first(setup: SearchSetup, *methods: Origin) -> FirstTrials:
    """First trials of some methods: uniform, or greedy by an importance that knows nothing."""
    rng = np.random.default_rng(3)
    shape = setup.shape
    blind = Importance(tuple(rng.random(n) for n in shape.heads), tuple(rng.random(n) for n in shape.ffn))
    return {
        method: [
            uniform(setup.grid, budget) if method == "uniform" else greedy(blind, setup.grid, budget)
            for budget in setup.budgets
        ]
        for method in methods
    }


def study(setup: SearchSetup, scorer: Scorer, *methods: Origin, progress: Progress = SILENT) -> list[TrialRecord]:
    """The trials of a search from the first trials of some methods, uniform alone if none is named."""
    return search(setup, scorer, toy_first(setup, *(methods or ("uniform",))), progress)[0]


def without_times(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """What two searches that did the same agree on: all but the seconds."""
    return [replace(record, seconds=0.0) for record in records]


def stored(url: str) -> list[dict[str, Any]]:
    """All that a database holds of each trial, but when it was and how long it took."""
    found = []
    for trial in frozen_trials(url):
        attributes = dict(trial.user_attrs)
        if ATTRIBUTE in attributes:
            attributes[ATTRIBUTE] = {**attributes[ATTRIBUTE], "seconds": 0.0}
        parts = (trial.number, trial.state.name, trial.values, trial.params, trial.distributions, trial.system_attrs)
        found.append({"parts": parts, "attributes": attributes})
    return found


def run(
    path: str, trials: int, sampler: str, targets: list[float], seed: int, seconds: float, rows: bool = False
) -> None:
    """One search; on rows it has more first trials and races."""
    setup = toy_setup(Path(path), trials, sampler, tuple(targets), seed)
    if rows:
        study(setup, RowScorer(seconds), "uniform", "magnitude")
    else:
        study(setup, ToyScorer(seconds))


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
