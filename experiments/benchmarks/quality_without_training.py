"""How good are sub-networks before any fine-tuning? Six tasks, four budgets, the published recipes and ours.

    python experiments/benchmarks/quality_without_training.py --results results --runs results/quality

Data is read below AEBERT_DATA. One dense MiniLM-L6 per task (configs in `tasks/`), trained once; calibration and search
are done anew for each seed. Per seed and budget, every searching method scores the same number of candidates on the
search rows; what it chose is scored once on the report rows, which no choice was made on. Methods:

  dense          the dense model
  uniform        every block at the same share, units by Fisher information, weights as they are
  aebert-recipe  AE-BERT: random ratios, units by magnitude, the best of all candidates
  kwon           Kwon et al. 2022: Fisher mask search, rearrangement, mask tuning (one candidate)
  library        ours: block library, first trials, search; of those tied with the best, the nearest to the dense model
  sequential     the same choice, its output projections repaired once more (see `repair_sequentially`)

Takes hours on 2 cores. Each score is a line in `<runs>/<task>/quality_without_training.jsonl`, and a killed run goes on
there. Prints tables and writes `<results>/benchmarks/quality_without_training.json` after every task and seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from common import Ledger, add_runs, make_parser, open_run, paired, seeded_run, show_paired, show_scores, write_result
from transformers import PreTrainedModel

from aebert.pruning.architecture import Architecture
from aebert.pruning.kwon import KwonPruner
from aebert.pruning.pruners import CriterionPruner, Pruner
from aebert.pruning.sequential import repair_sequentially
from aebert.run.pipeline import Pipeline
from aebert.search.difference import CONFIDENCE
from aebert.search.first import greedy, uniform
from aebert.search.front import best_per_budget
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.search.racing import RaceRows, race_rows
from aebert.search.scoring import SubnetworkScorer

TASKS = ("sst2", "mrpc", "cola", "stsb", "ncbi-disease", "bionlp13cg")
METHODS = ("uniform", "aebert-recipe", "kwon", "library", "sequential")
RIVALS = {"dense": "vs dense", "aebert-recipe": "vs AE-BERT", "kwon": "vs Kwon"}  # titles of columns
LITTLE = 0.4  # share of MACs kept below which the published recipes must be beaten beyond doubt


class Place:
    """One task and seed: calibration and searches of its own, over the dense checkpoint of `base`.

    candidates: how many each searching method scores per budget.
    """

    def __init__(self, base: Pipeline, seed: int, candidates: int) -> None:
        self._base, self._seed, self._candidates = base, seed, candidates

    def _run(self, name: str, **changes: Any) -> Pipeline:
        return seeded_run(self._base, self._seed, name, **changes)

    @cached_property
    def ours(self) -> Pipeline:
        """The run whose study searches all budgets at once, in the dense model's library."""
        budgets = self._base.run.config.search.budget.targets
        return self._run("library", search={"trials": 1 + self._candidates * len(budgets), "rungs": "none"})

    @cached_property
    def _chosen(self) -> dict[float, Architecture]:
        """As finalists are: of the best and those tied with it, the nearest to the dense model."""
        trials, verdicts = self.ours.study
        made = {record.number: record.architecture for record in trials}
        return {verdict.budget: made[verdict.chosen] for verdict in verdicts}

    @cached_property
    def _kwon(self) -> Pruner:
        return KwonPruner(self.ours.dense.model, self.ours.candidates.calibration)

    def _recipe(self, budget: float) -> tuple[Architecture, Pruner]:
        """AE-BERT's recipe: random ratios, magnitude, best of as many candidates."""
        search = {
            "sampler": "random",
            "first": [],
            "trials": 1 + self._candidates,
            "budget": {"macs": [budget], "length": self._base.run.config.search.budget.length},
        }
        pipeline = self._run(f"recipe-{round(100 * budget)}", pruning={"method": "magnitude"}, search=search)
        return best_per_budget(pipeline.trials, pipeline.setup.info)[budget].architecture, pipeline.pruner

    def _choice(self, method: str, target: float) -> tuple[Architecture, Pruner]:
        """What a method chooses at a budget, and how it is made."""
        grid, dense = self.ours.setup.grid, self.ours.dense.model
        if method == "dense":
            return Architecture.dense(self.ours.dense.shape), self.ours.candidates.library
        fisher = self.ours.candidates.importance("fisher")
        budget = next(one for one in self.ours.setup.budgets if one.target == target)
        if method == "uniform":
            return uniform(grid, budget), CriterionPruner(dense, fisher)
        if method == "aebert-recipe":
            return self._recipe(target)
        if method == "kwon":
            return greedy(fisher, grid, budget), self._kwon
        chosen = self._chosen[target]
        return chosen, self.ours.candidates.library if method == "library" else _Sequential(self.ours)

    @cached_property
    def _report_rows(self) -> RaceRows:
        pipeline = self.ours
        length, tokens = pipeline.run.config.data.max_length, pipeline.run.config.search.max_batch_tokens
        return race_rows(
            pipeline.run.task.rows["report"],
            pipeline.run.task.spec,
            pipeline.dense.tokenizer,
            length,
            tokens,
            0,
            looks=(),
        )

    def report(self, method: str, target: float) -> dict[str, Any]:
        """Architecture, score and outcomes on the report rows of what a method chooses at a budget."""
        architecture, pruner = self._choice(method, target)
        spec = self.ours.run.task.spec
        scored = SubnetworkScorer(self.ours.dense.model, pruner, self._report_rows, Judge(spec))(architecture)
        assert scored.outcomes is not None
        score = scored.metrics[spec.headline]
        return {"architecture": architecture.to_dict(), "score": score, "outcomes": scored.outcomes.encode()}


@dataclass(frozen=True)
class _Sequential:
    """The library's sub-network, repaired sequentially."""

    pipeline: Pipeline

    def __call__(self, architecture: Architecture, *, share_weights: bool = False) -> PreTrainedModel:
        small = self.pipeline.candidates.library(architecture, share_weights=share_weights)
        repair_sequentially(self.pipeline.dense.model, small, self.pipeline.candidates.calibration.batches)
        return small


Answer = dict[str, dict[float, dict[str, Any]]]  # of one seed: method, budget → architecture, score, outcomes


def answer(base: Pipeline, seed: int, candidates: int, ledger: Ledger, methods: Sequence[str] = METHODS) -> Answer:
    """Methods of one task and seed on the report rows, and others that the ledger knows; nothing is done twice."""
    place, targets = Place(base, seed, candidates), base.run.config.search.budget.targets
    tries = {"dense": (0.0,), **dict.fromkeys(METHODS, targets)}
    found: Answer = {method: {} for method in tries}
    for method, target in ((method, target) for method, budgets in tries.items() for target in budgets):
        key = f"seed {seed}, {candidates} candidates, {method}, {target}"
        if method not in ("dense", *methods) and key not in ledger:
            continue
        found[method][target] = ledger.get(key, partial(place.report, method, target))
        print(f"{base.run.config.name}: {key} of MACs removed: {found[method][target]['score']:.3f}", flush=True)
    return found


# --- what it all says ------------------------------------------------------------------------------------------------


def summarize(judge: Judge, answers: Sequence[Answer]) -> Iterator[dict[str, Any]]:
    """One row per budget and method: mean and range over seeds, and paired differences from the rivals.

    Each is over the seeds that have the method, and the rival.
    """
    for budget in sorted({budget for each in answers for method in METHODS for budget in each[method]}):
        for method in METHODS:
            seeds = [each for each in answers if budget in each[method]]
            if not seeds:
                continue
            scores = [each[method][budget]["score"] for each in seeds]
            row = {"macs_removed": budget, "method": method, "score": float(np.mean(scores))}
            row |= {"lowest": min(scores), "highest": max(scores), "seeds": len(seeds)}
            for rival in RIVALS:
                both = [each for each in seeds if rival == "dense" or budget in each[rival]]
                if rival != method and both:
                    row[f"vs {rival}"] = _paired(judge, both, budget, method, rival)
            yield row


def _paired(judge: Judge, answers: Sequence[Answer], budget: float, method: str, rival: str) -> dict[str, float]:
    return paired(judge, [(_outcomes(each, method, budget), _outcomes(each, rival, budget)) for each in answers])


def _outcomes(answer: Answer, method: str, budget: float) -> Outcomes:
    return Outcomes.decode(answer[method][0.0 if method == "dense" else budget]["outcomes"])


def shortfalls(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Where the library's score is behind a published recipe's or, with little left, not surely ahead of it."""
    for row in rows:
        for rival in [*RIVALS][1:] if row["method"] == "library" else ():
            found, kept = row.get(f"vs {rival}"), 1 - row["macs_removed"]
            if found is None:
                continue
            if found["difference"] < 0:
                yield f"{kept:.0%} kept: behind {rival}, {show_paired(found)}"
            elif kept < LITTLE and found["low"] <= 0:
                yield f"{kept:.0%} kept: ahead of {rival}, but not beyond the interval, {show_paired(found)}"


def show(task: str, values: Mapping[str, Any]) -> None:
    """Scores x 100 on the report rows."""
    show_scores(task, values, RIVALS)
    print("library: " + ("; ".join(shortfalls(values["results"])) or "nowhere behind a published recipe"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse arguments, do what is missing, print."""
    parser = make_parser(__doc__)
    add_runs(parser, *TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS, help="others only if already known")
    parser.add_argument("--candidates", type=int, default=16, help="scored per budget and searching method")
    given = parser.parse_args(arguments)
    bases = {task: open_run(task, given.runs) for task in given.only}
    known: dict[str, list[Answer]] = {}
    tasks: dict[str, dict[str, Any]] = {}
    for seed in given.seeds:
        for task, base in bases.items():
            ledger = Ledger(base.run.folder / "quality_without_training.jsonl")
            known.setdefault(task, []).append(answer(base, seed, given.candidates, ledger, given.methods))
            tasks[task] = {
                "metric": base.run.task.spec.headline,
                "dense": known[task][0]["dense"][0.0]["score"],
                "rows": {role: len(base.run.task.rows[role]) for role in ("search", "report")},
                "candidates_per_budget": given.candidates,
                "results": list(summarize(Judge(base.run.task.spec), known[task])),
            }
            show(task, tasks[task])
            write_result(given.results, "quality_without_training", {"confidence": CONFIDENCE, "tasks": tasks})


if __name__ == "__main__":
    main()
