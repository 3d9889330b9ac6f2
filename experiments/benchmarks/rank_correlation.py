"""Does the score without training rank right? Spearman correlation with the score after fine-tuning.

    python experiments/benchmarks/rank_correlation.py --results results --runs results

At one MACs budget, architectures are scored without training on the search rows, by metric and by loss, with the block
library and with unrepaired Fisher selection; then the library's sub-network of each is fine-tuned for one short epoch
and scored on the report rows. Half of the architectures come from random preferences, the others are the first trials
and their neighbours, so that both a wide field and a close race are seen; correlations are given for all and for each
half. Prints a table and writes `<results>/benchmarks/rank_correlation.json`.

Takes hours; each architecture is one line in `<runs>/<task>/rank_correlation.jsonl`, and a killed run goes on there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, zip_longest
from typing import Any

import numpy as np
from common import Ledger, add_runs, macs_budget, make_parser, open_run, random_architectures, table, write_result
from scipy.stats import rankdata

from aebert.config import TrainConfig
from aebert.models.evaluation import evaluate
from aebert.pruning.architecture import Architecture
from aebert.pruning.pruners import CriterionPruner
from aebert.run.pipeline import Pipeline
from aebert.search.budget import Budget, project
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.search.racing import race_rows
from aebert.search.scoring import SubnetworkScorer
from aebert.search.space import Grid
from aebert.sections import digest, plain
from aebert.tasks.resampling import bootstrap, row_marks
from aebert.training.finetune import fine_tune

PREDICTORS = ("library_metric", "library_loss", "fisher_metric", "fisher_loss")
RESULTS = ("after_metric", "after_loss")
RESAMPLES = 2000
NOISE = 0.15  # standard deviation of the preferences of neighbours


@dataclass(frozen=True)
class Candidate:
    """group: `random` or `near` (a first trial or a neighbour of one)."""

    architecture: Architecture
    group: str


def candidates_of(grid: Grid, budget: Budget, first: Sequence[Architecture], count: int, seed: int) -> list[Candidate]:
    """Half from random preferences, half the first trials and, from them in turn, preferences with noise."""
    drawn = random_architectures(grid, budget, count // 2, seed)
    near = dict.fromkeys(first)
    generator = np.random.default_rng([seed, 1])
    for start in cycle(first):
        if len(near) >= count - len(drawn):
            break
        wish = grid.preferences(start) + NOISE * generator.standard_normal(len(grid.names))
        near[project(np.clip(wish, 0, 1), grid, budget)] = None
    halves = [Candidate(one, "random") for one in drawn], [Candidate(one, "near") for one in near]
    turns = zip_longest(halves[0], halves[1][: count - len(drawn)])  # so that a part of them holds both groups
    return [candidate for pair in turns for candidate in pair if candidate is not None]


@dataclass(frozen=True)
class Work:
    """What is done with an architecture. train_rows: how many, drawn by the run's seed; one epoch of them."""

    pipeline: Pipeline
    train_rows: int

    @property
    def settings(self) -> dict[str, Any]:
        """All that a result depends on besides the architecture."""
        config = self.pipeline.run.config
        return {
            "dense": self.pipeline.dense.digest,
            "rows": dict(self.pipeline.run.task.digests),
            "pruning": plain(config.pruning),
            "train_rows": self.train_rows,
            "finalists": plain(self._training),
            "distill": plain(config.finalists.distill) if config.finalists.distill else None,
            "seed": config.seed,
            "max_length": config.data.max_length,
        }

    @property
    def _training(self) -> TrainConfig:
        values = self.pipeline.run.config.finalists
        return TrainConfig(**{**{key: getattr(values, key) for key in TrainConfig.model_fields}, "epochs": 1.0})

    def __call__(self, candidate: Candidate) -> dict[str, Any]:
        """Scores without training, and after it."""
        architecture = candidate.architecture
        start = time.perf_counter()
        before = {**self._scored("library", architecture), **self._scored("fisher", architecture)}
        scored = time.perf_counter()
        after = self._after(architecture)
        seconds = {"score_seconds": scored - start, "train_seconds": time.perf_counter() - scored}
        return {"group": candidate.group, "architecture": architecture.to_dict(), **before, **after, **seconds}

    def _scored(self, method: str, architecture: Architecture) -> dict[str, float]:
        pipeline, spec = self.pipeline, self.pipeline.run.task.spec
        config = pipeline.run.config
        pruner = (
            pipeline.candidates.library
            if method == "library"
            else CriterionPruner(pipeline.dense.model, pipeline.candidates.importance(method))
        )
        rows, tokens = pipeline.run.task.rows["search"], config.search.max_batch_tokens
        prepared = race_rows(
            rows, spec, pipeline.dense.tokenizer, config.data.max_length, tokens, config.seed, looks=()
        )
        scored = SubnetworkScorer(pipeline.dense.model, pruner, prepared, Judge(spec))(architecture)
        return {f"{method}_metric": scored.metrics[spec.headline], f"{method}_loss": scored.loss}

    def _after(self, architecture: Architecture) -> dict[str, float]:
        pipeline, spec = self.pipeline, self.pipeline.run.task.spec
        model, rows = pipeline.candidates.library(architecture), pipeline.run.task.rows["train"]
        count = min(self.train_rows, len(rows))
        drawn = np.random.default_rng(pipeline.run.config.seed).choice(len(rows), size=count, replace=False)
        distill = pipeline.run.config.finalists.distill
        folder = pipeline.run.folder / "checkpoints" / f"rank-correlation-{architecture.key()}"
        fine_tune(
            model,
            pipeline.dense.tokenizer,
            [rows[index] for index in sorted(drawn)],
            spec,
            self._training,
            max_length=pipeline.run.config.data.max_length,
            seed=pipeline.run.config.seed,
            folder=folder,
            teacher=pipeline.dense.model if distill else None,
            distill=distill,
        )
        shutil.rmtree(folder, ignore_errors=True)
        report = pipeline.rows("report")
        found = evaluate(model, report)
        marks = row_marks(spec, report.rows, report.encoded, found.logits).astype(np.float32)
        error = Judge(spec).error(Outcomes(found.losses.astype(np.float32), marks))
        return {"after_metric": found.metrics[spec.headline], "after_loss": found.loss, "after_metric_error": error}


# --- summary ----------------------------------------------------------------------------------------------------------


def rank_correlation(scores: np.ndarray, results: np.ndarray, seed: int = 0) -> dict[str, float | None]:
    """Spearman correlation with its 95 % percentile bootstrap interval over architectures; None where it is undefined.

    Draws in which one side is constant are left out.
    """

    def of(draw: np.ndarray | slice) -> float:
        return float(spearman(scores[draw][None], results[draw][None])[0])

    value, interval = of(slice(None)), bootstrap(of, len(scores), seed, RESAMPLES)
    if np.isnan(value) or interval is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": interval[0], "high": interval[1]}


def spearman(scores: np.ndarray, results: np.ndarray) -> np.ndarray:
    """Spearman correlation of each row of two arrays [draws, n], ties at their mean rank; NaN where one is constant."""
    one, other = (rankdata(values, axis=1) - (values.shape[1] + 1) / 2 for values in (scores, results))
    spread = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    value: np.ndarray = np.where(spread > 0, (one * other).sum(axis=1) / np.where(spread > 0, spread, 1.0), np.nan)
    return value


def correlations(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per group of architectures, predictor and result; losses count negative, so that 1 is perfect."""
    found = []
    for group in ("all", "random", "near"):
        chosen = [line for line in lines if group in ("all", line["group"])]
        if len(chosen) < 3:
            continue
        for predictor in PREDICTORS:
            for result in RESULTS:
                pair = rank_correlation(_higher_is_better(chosen, predictor), _higher_is_better(chosen, result))
                found.append({"group": group, "n": len(chosen), "score": predictor, "result": result, **pair})
    return found


def _higher_is_better(lines: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    sign = -1.0 if name.endswith("_loss") else 1.0
    values: np.ndarray = sign * np.array([line[name] for line in lines], dtype=float)
    return values


def show(task: str, found: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]) -> None:
    """Print the table of one task."""
    after = [line["after_metric"] for line in lines]
    error = np.mean([line["after_metric_error"] for line in lines])
    print(
        f"{task}: {len(lines)} architectures, {min(after):.3f}–{max(after):.3f} after fine-tuning "
        f"(standard error of one: {error:.3f}); Spearman correlation (95 % interval)"
    )
    groups = list(dict.fromkeys(f"{one['group']} ({one['n']})" for one in found))
    rows = []
    for predictor in PREDICTORS:
        for result in RESULTS:
            mine = [one for one in found if one["score"] == predictor and one["result"] == result]
            rows.append([predictor, result, *map(_cell, mine)])
    print(table(["score without training", "against", *groups], rows))


def _cell(one: Mapping[str, Any]) -> str:
    return "undefined" if one["value"] is None else f"{one['value']:.2f} ({one['low']:.2f}–{one['high']:.2f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add_runs(parser, "sst2")
    parser.add_argument("--architectures", type=int, default=24)
    parser.add_argument("--removed", type=float, default=0.65, help="share of the encoder's MACs that is removed")
    parser.add_argument("--train-rows", type=int, default=2000)
    given = parser.parse_args(arguments)
    tasks = {}
    for task in given.only:
        pipeline = open_run(task, given.runs, macs_budget(given.removed, 32))
        work = Work(pipeline, given.train_rows)
        settings, ledger = work.settings, Ledger(pipeline.run.folder / "rank_correlation.jsonl")
        first = [each[0] for each in pipeline.first_trials.values()]
        budget, seed = pipeline.setup.budgets[0], pipeline.run.config.seed
        lines = []
        for candidate in candidates_of(pipeline.setup.grid, budget, first, given.architectures, seed):
            key = f"{candidate.architecture.key()}-{digest(settings)}"
            lines.append({**ledger.get(key, partial(work, candidate)), "group": candidate.group})
            print(f"{task} {len(lines)}/{given.architectures}: {lines[-1]['after_metric']:.4f}", flush=True)
        found = correlations(lines)
        show(task, found, lines)
        tasks[task] = {"settings": settings, "removed": given.removed, "correlations": found, "architectures": lines}
    write_result(given.results, "rank_correlation", {"tasks": tasks})


if __name__ == "__main__":
    main()
