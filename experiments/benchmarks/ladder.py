"""What is a ladder of libraries worth, before any fine-tuning and without any search?

    python experiments/benchmarks/ladder.py --results results --runs results/quality

Data is read below AEBERT_DATA. One dense MiniLM-L6 per task (configs in `tasks/`), trained once; calibration rows are
drawn anew for each seed. At each budget, the widths are those of the knapsack over a library's errors, and nothing is
chosen by scores. On the report rows:

  library            the knapsack over the dense model's library
  library, repaired  the same, its output projections fitted once more (see `repair_sequentially`)
  ladder             the knapsack over the library of the rung above, which is built from that rung's repaired knapsack
  ladder, repaired   the same, repaired

Differences are paired, with 95 % intervals over rows. Seconds: of the dense model's library, and of all rungs together,
that is their repaired bases and the libraries of these.
Takes a quarter of an hour for each task and seed on one core. A killed run goes on with the next seed of a task.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from common import Ledger, add_runs, make_parser, open_run, paired, seeded_run, show_scores, write_result

from aebert.models.evaluation import Prepared, evaluate
from aebert.pruning.architecture import Architecture
from aebert.pruning.recipe import Recipe
from aebert.run.pipeline import Pipeline
from aebert.run.rungs import Rungs
from aebert.search.difference import CONFIDENCE
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.search.scoring import outcomes_of

TASKS = ("sst2", "ncbi-disease", "bionlp13cg")
BUDGETS = (0.65, 0.8, 0.9)
METHODS = ("library", "library, repaired", "ladder", "ladder, repaired")


def answer(pipeline: Pipeline) -> dict[str, Any]:
    """Scores and outcomes on the report rows by method and budget, and seconds by what took them."""
    rungs, rows = Rungs(pipeline.candidates), pipeline.rows("report")
    seconds = {"library": 0.0, "rungs": 0.0}
    started = time.perf_counter()
    _ = pipeline.candidates.block_errors
    seconds["library"] = time.perf_counter() - started
    whole = Recipe(Architecture.dense(pipeline.dense.shape))
    found: dict[str, Any] = {"dense": _score(pipeline, whole, rungs, rows)}
    base: Recipe | None = None
    for budget in pipeline.setup.rungs:
        plain = Recipe(rungs.propose(None, budget))
        started = time.perf_counter()
        step = Recipe(rungs.propose(base, budget), base=base)
        seconds["rungs"] += time.perf_counter() - started
        if budget.target in pipeline.setup.info.targets:
            for method, recipe in zip(METHODS, (plain, plain.as_repaired, step, step.as_repaired), strict=True):
                found[f"{method}, {budget.target}"] = _score(pipeline, recipe, rungs, rows)
        base = step.as_repaired
    return {"scores": found, "seconds": seconds, "rungs": [budget.target for budget in pipeline.setup.rungs]}


def _score(pipeline: Pipeline, recipe: Recipe, rungs: Rungs, rows: Prepared) -> dict[str, Any]:
    result = evaluate(rungs.make(recipe), rows)
    outcomes = outcomes_of(rows, result.losses, result.logits)
    return {"score": result.metrics[pipeline.run.task.spec.headline], "outcomes": outcomes.encode()}


def summarize(judge: Judge, answers: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row per budget and method: mean and range over seeds, differences from the dense model and the library."""
    for budget in BUDGETS:
        for method in METHODS:
            key = f"{method}, {budget}"
            scores = [each["scores"][key]["score"] for each in answers]
            row = {"macs_removed": budget, "method": method, "score": float(np.mean(scores)), "seeds": len(scores)}
            row |= {
                "lowest": min(scores),
                "highest": max(scores),
                "vs dense": paired(judge, _pairs(answers, key, "dense")),
            }
            if method != "library":
                row["vs library"] = paired(judge, _pairs(answers, key, f"library, {budget}"))
            yield row


def _pairs(answers: Sequence[Mapping[str, Any]], mine: str, other: str) -> list[tuple[Outcomes, Outcomes]]:
    """What two methods did on the report rows, by seed."""
    return [(_outcomes(each, mine), _outcomes(each, other)) for each in answers]


def _outcomes(answer: Mapping[str, Any], key: str) -> Outcomes:
    return Outcomes.decode(answer["scores"][key]["outcomes"])


def show(task: str, values: Mapping[str, Any]) -> None:
    """Scores x 100 on the report rows."""
    show_scores(task, values, {"dense": "vs dense", "library": "vs library"})
    print("seconds: " + "; ".join(str(each) for each in values["seconds"]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse arguments, do what is missing, print."""
    parser = make_parser(__doc__)
    add_runs(parser, *TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args(arguments)
    tasks: dict[str, Any] = {}
    for task in given.only:
        base = open_run(task, given.runs, {"search.rungs": "none"})
        ledger, answers = Ledger(base.run.folder / "ladder.jsonl"), []
        for seed in given.seeds:
            budget = {"macs": list(BUDGETS), "length": base.run.config.search.budget.length}
            run = seeded_run(base, seed, "ladder", search={"budget": budget, "rungs": "auto"})
            answers.append(ledger.get(f"seed {seed}", lambda run=run: answer(run)))  # type: ignore[misc]
            tasks[task] = {
                "metric": base.run.task.spec.headline,
                "dense": answers[0]["scores"]["dense"]["score"],
                "rows": len(base.run.task.rows["report"]),
                "rungs": answers[0]["rungs"],
                "seconds": [each["seconds"] for each in answers],
                "results": list(summarize(Judge(base.run.task.spec), answers)),
            }
            show(task, tasks[task])
            write_result(given.results, "ladder", {"confidence": CONFIDENCE, "tasks": tasks})


if __name__ == "__main__":
    main()
