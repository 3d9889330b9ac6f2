"""What a trial of a search costs besides scoring: asking the sampler, projecting onto the budget, recording in SQLite.

    python experiments/benchmarks/search_overhead.py --results results

MiniLM-L6's shape, 12 preferences, a record of about 1.5 KB and, every fourth trial, outcomes of 4 KB. One process per
sampler: it takes in a history of random trials as a resumed study would, into memory and into a database, and then
times the next trials; so it goes from size to size. Prints a table and writes
`<results>/benchmarks/search_overhead.json`. The database is put beside the results, since the time to record is mostly
the disk's.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psutil
from optuna.trial import FrozenTrial

from aebert.files import write_json
from aebert.models.shape import ModelShape
from aebert.profiling.machine import machine_facts
from aebert.search.budget import Budget, make_budget, project
from aebert.search.connections import sqlite_url
from aebert.search.proposer import BUDGET, Proposer
from aebert.search.record import StudyInfo
from aebert.search.samplers import SAMPLERS
from aebert.search.space import Grid, SearchSpace, make_grid
from aebert.search.storage import StudyDatabase

MINILM = ModelShape(
    family="bert",
    hidden=384,
    head_size=32,
    ffn_per_layer=1,
    heads=(12,) * 6,
    ffn=(1536,) * 6,
    head_params=(49248,) * 6,
    ffn_params=(769,) * 6,
    head_macs=(49152,) * 6,
    ffn_macs=(768,) * 6,
    fixed_params=13824,
    fixed_macs=0,
    other_params=12_067_202,
)
SIZES = (100, 1000, 10_000)
MEASURED = {"gp": 8}  # of the others 24
TARGETS = {"one": (0.5,), "three": (0.3, 0.5, 0.7)}
STEPS = ("ask", "project", "record")


def history(targets: tuple[float, ...], names: tuple[str, ...], start: int, stop: int) -> Iterator[FrozenTrial]:
    """Random finished trials `start`, `start + 1`, … before `stop`."""
    space = Proposer("random", 0, names, targets).distributions
    for number in range(start, stop):
        shares = np.random.default_rng(number).random(len(names))
        budget = targets[number % len(targets)]
        params = dict(zip(names, shares.tolist(), strict=True)) | ({BUDGET: budget} if len(targets) > 1 else {})
        trial = optuna.trial.create_trial(
            values=values(shares, budget, targets),
            params=params,
            distributions=space,
            user_attrs=attributes(number),
            system_attrs={"_OrderedNSGAII:generation": (number - 1) // 20},
        )
        trial.number = number
        yield trial


def values(shares: np.ndarray, budget: float, targets: tuple[float, ...]) -> list[float]:
    """A score with its best at shares of 0.3; with several budgets the share removed too."""
    score = -float(((shares - 0.3) ** 2).sum())
    return [score] if len(targets) == 1 else [score, budget]


def attributes(number: int) -> dict[str, Any]:
    """As large as what a study records of a trial."""
    record = {"aebert": {"number": number, "record": "r" * 1450}}
    return record | ({"outcomes": "o" * 4000} if number % 4 == 0 else {})


def step(
    proposer: Proposer, database: StudyDatabase, number: int, grid: Grid, budgets: Sequence[Budget]
) -> list[float]:
    """Milliseconds of the three steps of one trial."""
    budget = budgets[number % len(budgets)]
    marks = [time.perf_counter()]
    asked = proposer.ask(number, budget.target)
    shares = proposer.preferences(asked)
    marks.append(time.perf_counter())
    project(shares, grid, budget)
    marks.append(time.perf_counter())
    told = values(shares, budget.target, tuple(one.target for one in budgets))
    database.add(proposer.tell(asked, told, attributes(number)))
    marks.append(time.perf_counter())
    return (1000 * np.diff(marks)).tolist()


def measure(sampler: str, targets: tuple[float, ...], folder: Path) -> list[dict[str, Any]]:
    """One row per size of the study."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    grid = make_grid(SearchSpace(source="benchmark"), MINILM)
    budgets = [make_budget("macs", target, 32, MINILM, grid) for target in targets]
    proposer, done, rows = Proposer(sampler, 0, grid.names, targets), 1, []
    for size in SIZES:
        for trial in history(targets, grid.names, done, size):
            proposer.replay([trial])
        copy = shutil.copy(folder / f"{len(targets)}-{size}.db", folder / "measured.db")
        with StudyDatabase.open(sqlite_url(Path(copy)), study_info(targets), {}) as database:
            done = size + MEASURED.get(sampler, 24)
            times = [step(proposer, database, number, grid, budgets) for number in range(size, done)]
        rows.append({"sampler": sampler, "budgets": len(targets), "trials": size, **summary(np.array(times))})
    return rows


def summary(times: np.ndarray) -> dict[str, Any]:
    """Median and 90th percentile per step and of their sum, from `times` [trials, steps] in ms; memory now."""
    gc.collect()
    columns = dict(zip((*STEPS, "sum"), [*times.T, times.sum(axis=1)], strict=True))
    spread = {
        name: {"median_ms": round(float(np.median(column)), 2), "p90_ms": round(float(np.percentile(column, 90)), 2)}
        for name, column in columns.items()
    }
    return {**spread, "measured": len(times), "rss_bytes": psutil.Process().memory_info().rss}


def make_databases(targets: tuple[float, ...], folder: Path) -> None:
    """One database per size, with trial 0 and random ones."""
    names, info = make_grid(SearchSpace(source="benchmark"), MINILM).names, study_info(targets)
    path, done = folder / "growing.db", 1
    path.unlink(missing_ok=True)
    with StudyDatabase.open(sqlite_url(path), info, {}) as database:
        database.add(optuna.trial.create_trial(values=[0.0] * min(len(targets), 2), user_attrs=attributes(0)))
    for size in SIZES:
        with StudyDatabase.open(sqlite_url(path), info, {}) as database:
            while done < size:
                part = list(history(targets, names, done, min(done + 500, size)))
                database.add(*part)
                done += len(part)
        shutil.copy(path, folder / f"{len(targets)}-{size}.db")  # closed, since it is a single file only then


def study_info(targets: tuple[float, ...]) -> StudyInfo:
    """Of a study that says only what its name is and which budgets it has."""
    return StudyInfo("overhead", "none", "none", "accuracy", "macs", targets, 32, "random", 0, max(SIZES), 1)


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    cells = [f"{row[name]['median_ms']:8.1f} {row[name]['p90_ms']:8.1f}" for name in (*STEPS, "sum")]
    return f"{row['sampler']:8} {row['budgets']:7} {row['trials']:7} {' '.join(cells)} {row['rss_bytes'] / 1e6:7.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder that holds benchmarks/")
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument("--budgets", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    arguments = parser.parse_args()
    path = arguments.results / "benchmarks" / "search_overhead.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = []
    print("milliseconds: median and 90th percentile; RSS in MB")
    print(
        f"{'sampler':8} budgets  trials " + " ".join(f"{name:>8} {'p90':>8}" for name in (*STEPS, "sum")) + "     RSS"
    )
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for budgets in arguments.budgets:
            make_databases(TARGETS[budgets], Path(folder))
            for sampler in arguments.samplers:
                # a fresh interpreter, so that one sampler's memory is not counted for the next
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    rows += pool.apply(measure, (sampler, TARGETS[budgets], Path(folder)))
                print("\n".join(line(row) for row in rows[-len(SIZES) :]), flush=True)
    write_json(path, {"benchmark": "search_overhead", "rows": rows, "machine": machine_facts()})
    print(path)


if __name__ == "__main__":
    main()
