"""What the benchmark scripts share: arguments, runs, a ledger of finished work, tables, result files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aebert.config import RunConfig, load_config
from aebert.files import replacing, write_json
from aebert.profiling.machine import machine_facts
from aebert.pruning.architecture import Architecture
from aebert.run.pipeline import Pipeline
from aebert.search.budget import Budget, project
from aebert.search.difference import CONFIDENCE, Difference
from aebert.search.judge import Judge, jackknife
from aebert.search.outcomes import Outcomes
from aebert.search.space import Grid
from aebert.studies.folder import DENSE
from aebert.terminal import quiet_libraries

TASKS = Path(__file__).parent / "tasks"


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with `--results`, described by the first line of the script's docstring."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder that holds benchmarks/")
    return parser


def add_runs(parser: argparse.ArgumentParser, *tasks: str) -> None:
    """Add `--runs` and `--only`, whose default is `tasks`."""
    known = sorted(path.stem for path in TASKS.glob("*.yaml"))
    parser.add_argument(
        "--runs", type=Path, default=Path("results"), help="folder of the tasks' runs; what they lack is made"
    )
    parser.add_argument("--only", nargs="+", default=list(tasks), choices=known, metavar="TASK", help=", ".join(known))


def open_run(task: str, runs: Path, overrides: Mapping[str, str] | None = None) -> Pipeline:
    """The run of a task's config, with its dense model and block library made if they are missing.

    overrides: dotted keys with YAML values. Raises: StudyError while another process works on the pipeline.
    """
    quiet_libraries()
    pipeline = Pipeline(load_config(TASKS / f"{task}.yaml", {"results": str(runs), **(overrides or {})}))
    with pipeline.run.lock():
        _ = pipeline.candidates.library
        _ = pipeline.first_trials  # makes the importances that they rest on
    return pipeline


def seeded_run(base: Pipeline, seed: int, name: str, **changes: Any) -> Pipeline:
    """A run of another seed over the same dense checkpoint and the same rows in the same roles.

    changes: settings by section.
    """
    config = base.run.config
    values = config.model_dump(mode="json")
    values |= {"name": name, "seed": seed, "results": str(config.folder / f"seed-{seed}")}
    values["model"]["path"] = str(config.folder / DENSE)
    values["dense"]["train"] = "never"
    for section, settings in changes.items():
        values[section] |= settings
    pipeline = Pipeline(RunConfig.model_validate(values))
    pipeline.run.task = base.run.task  # the seed must not deal the rows anew: some trained the dense model
    return pipeline


def paired(judge: Judge, pairs: Sequence[tuple[Outcomes, Outcomes]]) -> dict[str, float]:
    """Difference of the mean scores of two methods over seeds, with its interval over the rows that all seeds share.

    pairs: for each seed, what the first method did on the rows and what the second one did.
    """

    def difference(rows: np.ndarray) -> float:
        return float(np.mean([judge.score(one.take(rows)) - judge.score(two.take(rows)) for one, two in pairs]))

    count = len(pairs[0][0])
    found = Difference(difference(np.arange(count)), jackknife(difference, count))
    return {"difference": found.value, "low": found.low(CONFIDENCE), "high": found.high(CONFIDENCE)}


def show_paired(found: Mapping[str, float] | None) -> str:
    """A difference of `paired` in points; empty for none."""
    if found is None:
        return ""
    return f"{100 * found['difference']:+.1f} ({100 * found['low']:+.1f}..{100 * found['high']:+.1f})"


def show_scores(task: str, values: Mapping[str, Any], rivals: Mapping[str, str]) -> None:
    """Print the scores x 100 of methods on the report rows, a line per budget and method.

    values: with `metric`, `dense`, and `results`, each with its differences as `vs <rival>`. rivals: titles by rival.
    """
    print(f"\n{task}: {values['metric']} x 100 on the report rows; dense {100 * values['dense']:.1f}")
    cells = [
        [
            f"{round(100 * (1 - row['macs_removed']))} %",
            row["method"],
            row["seeds"],
            f"{100 * row['score']:.1f}",
            f"{100 * row['lowest']:.1f}-{100 * row['highest']:.1f}",
            *(show_paired(row.get(f"vs {rival}")) for rival in rivals),
        ]
        for row in values["results"]
    ]
    print(table(["MACs kept", "method", "seeds", "mean", "range", *rivals.values()], cells))


def macs_budget(removed: float, length: int) -> dict[str, str]:
    """Override for `open_run`: this share of the encoder's MACs at `length` tokens is to be removed."""
    return {"search.budget": f"{{macs: [{removed}], length: {length}}}"}


class Ledger:
    """Results of pieces of work by key, one JSON line each, so that a killed benchmark goes on where it was.

    A line that a kill left half-written is dropped.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):
            with replacing(path) as written:
                written.write_text("".join(whole), encoding="utf-8")
        self._known: dict[str, dict[str, Any]] = {one["key"]: one["value"] for one in map(json.loads, whole)}

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def get(self, key: str, work: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The known result, or that of `work`, which is written down; always as JSON gives it back."""
        if key not in self._known:
            line = json.dumps({"key": key, "value": dict(work())})
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            self._known[key] = json.loads(line)["value"]
        return self._known[key]


@dataclass(frozen=True)
class Spread:
    """Median and extremes of repeated measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> Spread:
        """Of at least one value."""
        return cls(float(np.median(values)), float(np.min(values)), float(np.max(values)))

    def show(self, digits: int = 3) -> str:
        """As `median (low–high)`."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}–{self.high:.{digits}f})"


def random_architectures(grid: Grid, budget: Budget, count: int, seed: int) -> list[Architecture]:
    """Different architectures that random preferences mean under a budget."""
    generator = np.random.default_rng(seed)
    found: dict[Architecture, None] = {}
    while len(found) < count:
        found[project(generator.random(len(grid.names)), grid, budget)] = None
    return list(found)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Text with aligned columns, the first one to the left."""
    cells = [list(map(str, row)) for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in cells)
    )


def write_result(results: Path, name: str, values: Mapping[str, Any]) -> None:
    """Write `<results>/benchmarks/<name>.json` with the facts of this machine, and print its path."""
    path = results / "benchmarks" / f"{name}.json"
    write_json(path, {"benchmark": name, **values, "machine": machine_facts()})
    print(path)
