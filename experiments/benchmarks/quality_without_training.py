"""How good are sub-networks before any fine-tuning? Six tasks, four budgets, the published recipes and ours.

    python experiments/benchmarks/quality_without_training.py --results results

Data is read below AEBERT_DATA. One dense MiniLM-L6 per task (configs in `tasks/`), trained once; calibration and search
are done anew for each seed. Per seed and budget, every searching method scores the same number of candidates on the
search rows; what it chose is scored once on the report rows, which no choice was made on. Methods:

  dense          the dense model
  uniform        every block at the same share, units by Fisher information, weights as they are
  aebert-recipe  AE-BERT: random ratios, units by magnitude, the best of all candidates
  kwon           Kwon et al. 2022: Fisher mask search, rearrangement, mask tuning (one candidate)
  library        ours: block library, first trials, search
  sequential     the same choice, its output projections repaired once more (see `repair_sequentially`)

Takes hours on 2 cores and goes on where it stopped. Writes `<results>/benchmarks/quality_without_training.json` after
every task and seed; a second run only prints.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from aebert.config import RunConfig, load_config
from aebert.files import write_json
from aebert.pipeline import DENSE, Run
from aebert.profiling.machine import machine_facts
from aebert.progress import SILENT, Progress
from aebert.pruning.architecture import Architecture
from aebert.pruning.kwon import KwonPruner
from aebert.pruning.pruners import CriterionPruner, Pruner
from aebert.pruning.sequential import repair_sequentially
from aebert.search.first import greedy, uniform
from aebert.search.front import best_per_budget
from aebert.search.outcomes import Difference, Judge, Outcomes, jackknife
from aebert.search.racing import race_rows
from aebert.search.scoring import SubnetworkScorer
from aebert.tasks.task import TaskSpec
from aebert.terminal import Terminal, quiet_libraries

HERE = Path(__file__).parent
TASKS = ("sst2", "mrpc", "cola", "stsb", "ncbi-disease", "bionlp13cg")
METHODS = ("uniform", "aebert-recipe", "kwon", "library", "sequential")
RIVALS = ("dense", "aebert-recipe", "kwon")
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Place:
    """One task and seed. base: the run that trained the dense model; candidates: scored per budget and method."""

    base: Run
    folder: Path
    seed: int
    candidates: int
    progress: Progress

    def run(self, name: str, **changes: Any) -> Run:
        """A run of this seed over the same dense checkpoint and the same rows in the same roles."""
        config = self.base.config
        values = config.model_dump(mode="json")
        values |= {"name": name, "seed": self.seed, "results": str(self.folder)}
        values["model"]["path"] = str(config.folder / DENSE)
        values["dense"]["train"] = "never"
        for section, settings in changes.items():
            values[section] |= settings
        run = Run(RunConfig.model_validate(values), self.progress)
        run.task = self.base.task  # the seed must not deal the rows anew: some trained the dense model
        return run


def search_ours(place: Place) -> tuple[Run, dict[float, Architecture]]:
    """Our search over all budgets at once; the best of each."""
    budgets = place.base.config.search.budget.targets
    run = place.run("library", search={"trials": 1 + place.candidates * len(budgets)})
    best = best_per_budget(run.trials, run.setup.info)
    return run, {budget: record.architecture for budget, record in best.items()}


def search_recipe(place: Place, budget: float) -> tuple[Run, Architecture]:
    """AE-BERT's recipe: random ratios, magnitude, best of as many candidates."""
    length = place.base.config.search.budget.length
    search = {
        "sampler": "random",
        "first": [],
        "trials": 1 + place.candidates,
        "budget": {"macs": [budget], "length": length},
    }
    run = place.run(f"recipe-{round(100 * budget)}", pruning={"method": "magnitude"}, search=search)
    return run, best_per_budget(run.trials, run.setup.info)[budget].architecture


def answer(place: Place) -> dict[str, Any]:
    """All methods of one task and seed, on the report rows: {method: {budget: {architecture, score, outcomes}}}."""
    ours, chosen = search_ours(place)
    fisher = ours.importance("fisher")
    kwon = KwonPruner(ours.dense.model, ours.calibration, place.progress)
    report = _Reporter(ours)
    found: dict[str, dict[str, Any]] = {method: {} for method in METHODS}
    found["dense"] = {"0": report.of(Architecture.dense(ours.dense.shape), ours.library)}
    for budget in ours.setup.budgets:
        key, grid = str(budget.target), ours.setup.grid
        even, masks = uniform(grid, budget), greedy(fisher, grid, budget)
        recipe, random = search_recipe(place, budget.target)
        found["uniform"][key] = report.of(even, CriterionPruner(ours.dense.model, fisher))
        found["aebert-recipe"][key] = report.of(random, recipe.pruner)
        found["kwon"][key] = report.of(masks, kwon)
        found["library"][key] = report.of(chosen[budget.target], ours.library)
        found["sequential"][key] = report.of(chosen[budget.target], _Sequential(ours))
        place.progress.say(_line(place, key, found))
    return found


def _line(place: Place, key: str, found: Mapping[str, Any]) -> str:
    scores = ", ".join(f"{method} {100 * found[method][key]['score']:.1f}" for method in METHODS)
    dense = 100 * found["dense"]["0"]["score"]
    return f"{place.base.config.name}, seed {place.seed}, {key} of MACs removed: dense {dense:.1f}, {scores}"


class _Sequential:
    """The library's sub-network, repaired sequentially."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, architecture: Architecture, *, share_weights: bool = False) -> PreTrainedModel:
        small = self._run.library(architecture, share_weights=share_weights)
        repair_sequentially(self._run.dense.model, small, self._run.calibration.batches)
        return small


class _Reporter:
    """Scores on the report rows."""

    def __init__(self, run: Run) -> None:
        self._run = run
        config, tokenizer = run.config, run.dense.tokenizer
        tokens = config.search.max_batch_tokens
        report = run.task.rows["report"]
        self._rows = race_rows(report, run.task.spec, tokenizer, config.data.max_length, tokens, 0, looks=())
        self._judge = Judge(run.task.spec)

    def of(self, architecture: Architecture, pruner: Pruner) -> dict[str, Any]:
        """Score and outcomes of a sub-network."""
        scored = SubnetworkScorer(self._run.dense.model, pruner, self._rows, self._judge)(architecture)
        assert scored.outcomes is not None
        score = scored.metrics[self._run.task.spec.headline]
        return {"architecture": architecture.to_dict(), "score": score, "outcomes": scored.outcomes.encode()}


# --- what it all says ------------------------------------------------------------------------------------------------


def summarize(spec: TaskSpec, answers: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row per budget and method: mean and range over seeds, and paired differences from the rivals."""
    judge = Judge(spec)
    for budget in answers[0]["library"]:
        for method in METHODS:
            scores = [each[method][budget]["score"] for each in answers]
            row = {"macs_removed": float(budget), "method": method, "score": float(np.mean(scores))}
            row |= {"lowest": min(scores), "highest": max(scores), "seeds": len(answers)}
            for rival in RIVALS:
                if rival != method:
                    row[f"vs {rival}"] = _paired(judge, answers, (method, budget), (rival, budget))
            yield row


def _paired(
    judge: Judge, answers: Sequence[Mapping[str, Any]], mine: tuple[str, str], other: tuple[str, str]
) -> dict[str, float]:
    """Difference of the means over seeds, with the interval over rows that all seeds share."""
    pairs = [(_outcomes(each, *mine), _outcomes(each, *other)) for each in answers]

    def difference(rows: np.ndarray) -> float:
        return float(np.mean([judge.score(one.take(rows)) - judge.score(two.take(rows)) for one, two in pairs]))

    count = len(pairs[0][0])
    found = Difference(difference(np.arange(count)), jackknife(difference, count))
    return {"difference": found.value, "low": found.low(CONFIDENCE), "high": found.high(CONFIDENCE)}


def _outcomes(answer: Mapping[str, Any], method: str, budget: str) -> Outcomes:
    return Outcomes.decode(answer[method]["0" if method == "dense" else budget]["outcomes"])


def print_table(task: str, metric: str, dense: float, rows: Sequence[Mapping[str, Any]]) -> None:
    """Scores × 100 on the report rows."""
    print(f"\n{task}: {metric} x 100 on the report rows, {rows[0]['seeds']} seeds; dense {100 * dense:.1f}")
    print(
        f"{'MACs kept':>9} {'method':14} {'mean':>6} {'range':>13} {'vs dense':>20} {'vs AE-BERT':>20} {'vs Kwon':>20}"
    )
    for row in rows:
        spread = f"{100 * row['lowest']:.1f}-{100 * row['highest']:.1f}"
        against = " ".join(f"{_shown(row.get(f'vs {rival}')):>20}" for rival in RIVALS)
        kept = f"{round(100 * (1 - row['macs_removed']))} %"
        print(f"{kept:>9} {row['method']:14} {100 * row['score']:6.1f} {spread:>13} {against}")


def _shown(paired: Mapping[str, float] | None) -> str:
    if paired is None:
        return ""
    return f"{100 * paired['difference']:+.1f} ({100 * paired['low']:+.1f}..{100 * paired['high']:+.1f})"


def main() -> None:
    """Parse arguments, do what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder for the JSON file")
    parser.add_argument("--work", type=Path, default=Path("results/quality"), help="folder for models and studies")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--candidates", type=int, default=24, help="scored per budget and searching method")
    arguments = parser.parse_args()
    quiet_libraries()
    for seed in arguments.seeds:
        for task in arguments.tasks:
            _do(task, seed, arguments)
    _write(arguments)


def _do(task: str, seed: int, arguments: argparse.Namespace) -> None:
    path = _answer_file(arguments.work, task, seed)
    if path.is_file():
        return
    progress: Progress = Terminal() if arguments.work else SILENT
    base = Run(_config(task, arguments.work), progress)
    _ = base.dense
    place = Place(base, arguments.work / task / f"seed-{seed}", seed, arguments.candidates, progress)
    write_json(path, {"candidates": arguments.candidates, "answer": answer(place)})
    _write(arguments)


def _config(task: str, work: Path) -> RunConfig:
    return load_config(HERE / "tasks" / f"{task}.yaml", {"results": str(work)})


def _answer_file(work: Path, task: str, seed: int) -> Path:
    return work / task / f"quality-{seed}.json"


def _write(arguments: argparse.Namespace) -> None:
    """Print and store what is there."""
    written = {}
    for task in TASKS:
        files = [_answer_file(arguments.work, task, seed) for seed in range(100)]
        stored = [json.loads(path.read_text(encoding="utf-8")) for path in files if path.is_file()]
        if not stored:
            continue
        answers = [each["answer"] for each in stored]
        run = Run(_config(task, arguments.work))
        spec, rows = run.task.spec, list(summarize(run.task.spec, answers))
        dense = answers[0]["dense"]["0"]["score"]
        print_table(task, spec.headline, dense, rows)
        counts = {role: len(run.task.rows[role]) for role in ("search", "report")}
        written[task] = {
            "metric": spec.headline,
            "dense": dense,
            "rows": counts,
            "candidates_per_budget": [each["candidates"] for each in stored],
            "results": rows,
        }
    output = {"confidence": CONFIDENCE, "machine": machine_facts(), "tasks": written}
    write_json(arguments.results / "benchmarks" / "quality_without_training.json", output)


if __name__ == "__main__":
    main()
