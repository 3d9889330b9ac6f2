"""Which score without training finds the candidate that is best on rows not searched on?

    python experiments/benchmarks/objectives.py --results results --runs results/quality

Data is read below AEBERT_DATA. One dense MiniLM-L6 per task (configs in `tasks/`); calibration rows and candidates are
drawn anew for each seed. At each budget, the knapsack over the library's errors and its neighbours (its preferences
with noise) are put together from the library: the close race that a search ends in. Each is scored on the search rows
and on train rows, and, to know the truth, on the report rows. No model is trained. Ways to rank candidates:

  metric       the headline metric on the search rows
  loss         the mean loss on the search rows
  divergence   from the dense model's outputs, on the search rows
  unlabelled   the same on search rows and train rows, whose labels are not read
  both         the sum of the ranks by metric and by `unlabelled`

For each: Spearman correlation with the metric on the report rows, and what the choice of the best of `DRAWN` random
candidates wins on the report rows over the average candidate, as a share of what the truly best one of them wins.
Takes about ten minutes for each task and seed on one core. A killed run goes on with the next candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from common import Ledger, add_runs, make_parser, open_run, seeded_run, table, write_result
from scipy.stats import rankdata, spearmanr

from aebert.models.divergence import divergences
from aebert.models.evaluation import evaluate
from aebert.pruning.architecture import Architecture
from aebert.run.pipeline import Pipeline
from aebert.search.budget import Budget, project
from aebert.search.space import Grid

TASKS = ("sst2", "mrpc", "cola", "stsb", "ncbi-disease", "bionlp13cg")
BUDGETS = (0.65, 0.8)
WAYS = ("metric", "loss", "divergence", "unlabelled", "both")
DRAWN = 16  # candidates that a choice is made of
DRAWS = 2000
NOISE = 0.05  # standard deviation of the preferences of neighbours


class Field:
    """The rows that candidates of a run are scored on."""

    def __init__(self, pipeline: Pipeline, train_rows: int) -> None:
        self.pipeline, spec = pipeline, pipeline.run.task.spec
        self.spec = spec
        generator = np.random.default_rng(pipeline.run.config.seed)
        train = pipeline.run.task.rows["train"]
        drawn = [train[index] for index in generator.permutation(len(train))[:train_rows]]
        tokens = pipeline.run.config.search.max_batch_tokens
        self.rows = {
            "search": pipeline.rows("search"),
            "train": pipeline.run.encoded(drawn, pipeline.dense.tokenizer, tokens),
            "report": pipeline.rows("report"),
        }
        self.dense = {name: evaluate(pipeline.dense.model, rows) for name, rows in self.rows.items()}

    def answer(self, architecture: Architecture) -> dict[str, Any]:
        """All that is known of a candidate."""
        model = self.pipeline.candidates.library(architecture, share_weights=True)
        found = {name: evaluate(model, rows) for name, rows in self.rows.items()}
        parts = [
            divergences(self.spec, self.rows[name].encoded, self.dense[name].logits, found[name].logits)
            for name in ("search", "train")
        ]
        return {
            "metric": found["search"].metrics[self.spec.headline],
            "loss": found["search"].loss,
            "divergence": float(parts[0].mean()),
            "unlabelled": float(np.concatenate(parts).mean()),
            "report": found["report"].metrics[self.spec.headline],
        }


def ranks(answers: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """What each way ranks candidates by [candidates]; higher is better."""
    values = {name: np.array([one[name] for one in answers]) for name in answers[0]}
    found = {name: values[name] if name == "metric" else -values[name] for name in WAYS if name != "both"}
    found["both"] = rankdata(found["metric"]) + rankdata(found["unlabelled"])
    return found


def summarize(answers: Sequence[Mapping[str, float]], seed: int) -> dict[str, dict[str, float]]:
    """By way: correlation with the truth, and the share of what the truly best of drawn candidates wins."""
    truth = np.array([one["report"] for one in answers])
    generator, result = np.random.default_rng(seed), {}
    draws = np.array([generator.permutation(len(truth))[:DRAWN] for _ in range(DRAWS)])
    most = (truth[draws].max(1) - truth[draws].mean(1)).mean()
    for way, values in ranks(answers).items():
        picked = draws[np.arange(DRAWS), values[draws].argmax(1)]
        won = float((truth[picked] - truth[draws].mean(1)).mean())
        result[way] = {"spearman": float(spearmanr(values, truth).statistic), "won": won, "share": won / float(most)}
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse arguments, do what is missing, print."""
    parser = make_parser(__doc__)
    add_runs(parser, *TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--candidates", type=int, default=40, help="per budget")
    parser.add_argument("--train-rows", type=int, default=2000)
    given = parser.parse_args(arguments)
    tasks: dict[str, Any] = {}
    for task in given.only:
        base = open_run(task, given.runs, {"search.rungs": "none"})
        ledger, seeds = Ledger(base.run.folder / "objectives.jsonl"), []
        for seed in given.seeds:
            budget = {"macs": list(BUDGETS), "length": base.run.config.search.budget.length}
            run = seeded_run(base, seed, "objectives", search={"budget": budget, "rungs": "none"})
            seeds.append(of_seed(run, ledger, seed, given.candidates, given.train_rows))
        tasks[task] = {"metric": base.run.task.spec.headline, "seeds": seeds}
        show(task, seeds)
        write_result(given.results, "objectives", {"drawn": DRAWN, "train_rows": given.train_rows, "tasks": tasks})


def neighbours(grid: Grid, budget: Budget, start: Architecture, count: int, seed: int) -> list[Architecture]:
    """Different architectures under a budget: the one to start from, and its preferences with noise."""
    generator, found = np.random.default_rng(seed), {start: None}
    while len(found) < count:
        wish = grid.preferences(start) + NOISE * generator.standard_normal(len(grid.names))
        found[project(np.clip(wish, 0, 1), grid, budget)] = None
    return list(found)


def of_seed(run: Pipeline, ledger: Ledger, seed: int, count: int, train_rows: int) -> list[dict[str, Any]]:
    """One result per budget."""
    field: list[Field] = []
    found = []
    for index, budget in enumerate(run.setup.budgets):
        answers = []
        near = neighbours(run.setup.grid, budget, run.first_trials["knapsack"][index], count, seed)
        for architecture in near:
            key = f"seed {seed}, {budget.target}, {architecture.key()}, {train_rows}"
            if key not in ledger and not field:
                field.append(Field(run, train_rows))
            answers.append(ledger.get(key, lambda one=architecture: field[0].answer(one)))  # type: ignore[misc]
        spread = float(np.std([one["report"] for one in answers]))
        ways = summarize(answers, seed)
        found.append({"macs_removed": budget.target, "candidates": len(answers), "spread": spread, "ways": ways})
    return found


def show(task: str, seeds: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Means over seeds and their range."""
    print(f"\n{task}: Spearman correlation with the report rows; points won, and share of what could be won")
    cells = []
    for index, budget in enumerate(BUDGETS):
        for way in WAYS:
            each = [seed[index]["ways"][way] for seed in seeds]
            means = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
            low, high = min(one["share"] for one in each), max(one["share"] for one in each)
            kept = f"{round(100 * (1 - budget))} %"
            shares = f"{means['share']:.2f} ({low:.2f}..{high:.2f})"
            cells.append([kept, way, f"{means['spearman']:.2f}", f"{100 * means['won']:+.2f}", shares])
    print(table(["MACs kept", "way", "Spearman", "won", "share"], cells))


if __name__ == "__main__":
    main()
