"""Which sampler finds the best sub-networks in how many trials, from the same first trials.

    python experiments/benchmarks/samplers.py --results results --runs results

Runs one study per sampler and seed at one MACs budget, without races, over one dense model and one block library. Each
architecture is scored once, whichever studies meet it: scores are lines in `<runs>/<task>/samplers.jsonl`, and the
studies' databases lie in `<runs>/<task>/samplers/`, so a killed benchmark goes on where it was. What counts is the best
score on the search rows so far and what that same architecture scores on the report rows. Prints the mean over seeds
with the range, and writes `<results>/benchmarks/samplers.json` and, with `--plot`, `samplers.png` beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from common import Ledger, Spread, add_runs, macs_budget, make_parser, open_run, table, write_result

from aebert.models.evaluation import evaluate
from aebert.pruning.architecture import Architecture
from aebert.run.pipeline import Pipeline
from aebert.search.connections import sqlite_url
from aebert.search.front import standing
from aebert.search.outcomes import Outcomes
from aebert.search.record import TrialRecord
from aebert.search.samplers import SAMPLERS
from aebert.search.schedule import FirstTrials
from aebert.search.scorers import Scorer
from aebert.search.scoring import Scored
from aebert.search.setup import SearchSetup
from aebert.search.study import search
from aebert.sections import digest, plain

COLORS = ("tab:gray", "tab:blue", "tab:orange", "tab:green", "tab:red")


class CachedScorer:
    """A scorer that scores no architecture twice, also not in another study; it knows no races."""

    def __init__(self, scorer: Scorer, ledger: Ledger, prefix: str) -> None:
        self._scorer, self._ledger, self._prefix = scorer, ledger, prefix

    def __call__(self, architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        """Score on all rows; outcomes are left out."""
        known = self._ledger.get(f"{self._prefix}-{architecture.key()}", lambda: self._score(architecture))
        return Scored(known["metrics"], known["loss"])

    def _score(self, architecture: Architecture) -> dict[str, Any]:
        scored = self._scorer(architecture)
        return {"metrics": dict(scored.metrics), "loss": scored.loss}


Report = Callable[[Architecture], float]


@dataclass(frozen=True)
class Study:
    """One sampler with one seed. search, report [trials]: score of the best so far on the search and report rows, None
      before there is one.
    architectures: different ones that were scored.
    """

    sampler: str
    seed: int
    search: tuple[float | None, ...]
    report: tuple[float | None, ...]
    architectures: int


def study_setup(base: SearchSetup, sampler: str, seed: int, trials: int, folder: Path, inputs: str) -> SearchSetup:
    """The setup of one of the studies; inputs: digest of what scores depend on."""
    name = f"{sampler}-{seed}-{inputs}"
    folder.mkdir(parents=True, exist_ok=True)
    return replace(
        base,
        info=replace(base.info, name=name, sampler=sampler, seed=seed, trials=trials),
        storage=sqlite_url(folder / f"{name}.db"),
        settings={"inputs": inputs, "sampler": sampler, "seed": seed},
        race=False,
    )


def run_study(setup: SearchSetup, scorer: Scorer, first: FirstTrials, report: Report) -> Study:
    """Run a study to its end and follow its best architecture."""
    records, _ = search(setup, scorer, first)
    best = incumbents(records, len(records))
    known = {record.number: report(record.architecture) for record in _different(best)}
    return Study(
        sampler=setup.info.sampler,
        seed=setup.info.seed,
        search=tuple(record.score if record else None for record in best),
        report=tuple(known[record.number] if record else None for record in best),
        architectures=len({record.architecture for record in records}),
    )


def _different(records: Sequence[TrialRecord | None]) -> list[TrialRecord]:
    return list({record.number: record for record in records if record is not None}.values())


def incumbents(records: Sequence[TrialRecord], trials: int) -> list[TrialRecord | None]:
    """The best candidate after each trial, ties by the lower loss; None before there is one (the dense model is none).

    Failed trials have no record and change nothing.
    """
    found: list[TrialRecord | None] = []
    best: TrialRecord | None = None
    by_number = {record.number: record for record in records}
    for number in range(trials):
        record = by_number.get(number)
        if record is not None and record.budget is not None and (best is None or standing(record) < standing(best)):
            best = record
        found.append(best)
    return found


def summary(studies: Sequence[Study], marks: Sequence[int]) -> list[dict[str, Any]]:
    """One row per sampler and number of trials: best score so far over seeds, mean and range."""
    rows = []
    for sampler in dict.fromkeys(study.sampler for study in studies):
        mine = [study for study in studies if study.sampler == sampler]
        for mark in marks:
            row = {
                kind: _over_seeds([getattr(study, kind)[mark - 1] for study in mine]) for kind in ("search", "report")
            }
            rows.append({"sampler": sampler, "trials": mark, "seeds": len(mine), **row})
    return rows


def _over_seeds(values: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), **asdict(Spread.of(values))}


def show(task: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the table of one task."""
    print(f"{task}: best score so far, in percent; mean (least–most) of {rows[0]['seeds']} seeds")
    marks = list(dict.fromkeys(row["trials"] for row in rows))
    cells = []
    for sampler in dict.fromkeys(row["sampler"] for row in rows):
        mine = [row for row in rows if row["sampler"] == sampler]
        cells.append([sampler, *(_cell(row[kind]) for kind in ("search", "report") for row in mine)])
    print(table(["sampler", *(f"{kind}, {mark}" for kind in ("search", "report") for mark in marks)], cells))


def _cell(values: Mapping[str, float]) -> str:
    return f"{100 * values['mean']:.2f} ({100 * values['low']:.2f}–{100 * values['high']:.2f})"


def plot(path: Path, tasks: Mapping[str, Sequence[Study]]) -> None:
    """Best score on the search rows against trials: means as lines, ranges as bands."""
    from matplotlib.figure import Figure  # an extra

    figure = Figure(figsize=(6 * len(tasks), 4), layout="constrained")
    for axes, (task, studies) in zip(np.atleast_1d(figure.subplots(1, len(tasks))), tasks.items(), strict=True):
        samplers = list(dict.fromkeys(study.sampler for study in studies))
        for sampler, color in zip(samplers, COLORS, strict=False):
            mine = [study.search for study in studies if study.sampler == sampler]
            curves = 100 * np.array(mine, dtype=float)
            numbers = np.arange(1, curves.shape[1] + 1)
            axes.plot(numbers, curves.mean(axis=0), color=color, label=sampler)
            axes.fill_between(numbers, curves.min(axis=0), curves.max(axis=0), color=color, alpha=0.15, linewidth=0)
        axes.set(title=task, xlabel="trials", ylabel="best score on the search rows, percent")
        axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def inputs_of(pipeline: Pipeline) -> str:
    """Digest of all that the scores of a run depend on."""
    config, rows = pipeline.run.config, pipeline.run.task.digests
    pruning, budget = plain(config.pruning), plain(config.search.budget)
    settings = [pruning, budget, config.search.objective, config.data.max_length, config.seed]
    return digest(pipeline.dense.digest, {role: rows[role] for role in ("train", "search", "report")}, settings)


def studies_of(pipeline: Pipeline, samplers: Sequence[str], seeds: Sequence[int], trials: int) -> list[Study]:
    """All studies of a task."""
    inputs, ledger = inputs_of(pipeline), Ledger(pipeline.run.folder / "samplers.jsonl")
    scorer, first, rows = CachedScorer(pipeline.scorer, ledger, inputs), pipeline.first_trials, pipeline.rows("report")

    def report(architecture: Architecture) -> float:
        def score() -> dict[str, float]:
            return {"score": evaluate(pipeline.pruner(architecture), rows).metrics[pipeline.run.task.spec.headline]}

        return float(ledger.get(f"report-{inputs}-{architecture.key()}", score)["score"])

    studies = []
    for seed in seeds:
        for sampler in samplers:
            setup = study_setup(pipeline.setup, sampler, seed, trials, pipeline.run.folder / "samplers", inputs)
            studies.append(run_study(setup, scorer, first, report))
            done = studies[-1]
            print(f"{pipeline.run.config.name} {sampler} seed {seed}: best {done.search[-1]:.4f}", flush=True)
    return studies


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add_runs(parser, "sst2")
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=40, help="the dense model and the first trials included")
    parser.add_argument("--removed", type=float, default=0.65, help="share of the encoder's MACs that is removed")
    parser.add_argument("--plot", action="store_true")
    given = parser.parse_args(arguments)
    marks = sorted({mark for mark in (10, 20, 40, given.trials) if mark <= given.trials})
    tasks, every = {}, {}
    for task in given.only:
        overrides = {"search.trials": str(given.trials), "search.race": "false"}
        pipeline = open_run(task, given.runs, macs_budget(given.removed, 32) | overrides)
        every[task] = studies_of(pipeline, given.samplers, given.seeds, given.trials)
        rows = summary(every[task], marks)
        show(task, rows)
        tasks[task] = {"removed": given.removed, "summary": rows, "studies": [asdict(study) for study in every[task]]}
    write_result(given.results, "samplers", {"trials": given.trials, "tasks": tasks})
    if given.plot:
        plot(given.results / "benchmarks" / "samplers.png", every)


if __name__ == "__main__":
    main()
