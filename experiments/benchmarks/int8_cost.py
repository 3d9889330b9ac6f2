"""What does int8 cost on each task? The dense model and one with half of its MACs, on rows that no choice was made on.

    python experiments/benchmarks/int8_cost.py --results results --runs results

The sub-network is the one that the knapsack proposes, made of repaired blocks and not fine-tuned. Both are exported,
quantized dynamically, and scored on the report rows; differences are of the same rows, with 95 % intervals. Prints a
table and writes `<results>/benchmarks/int8_cost.json`; a model that was scored before is not scored again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Ledger, add_runs, macs_budget, make_parser, open_run, table, write_result
from transformers import PreTrainedModel

from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.quantize import quantize_int8
from aebert.deployment.session import OnnxModel
from aebert.models.evaluation import Prepared, evaluate_forward
from aebert.run.pipeline import Pipeline
from aebert.run.requests import file_forward
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.tasks.resampling import row_marks

TASKS = ("sst2", "mrpc", "cola", "stsb", "ncbi-disease", "bionlp13cg")
CONFIDENCE = 0.95


def outcomes(path: Path, rows: Prepared) -> Outcomes:
    """What a file does on every row, on as many threads as torch has."""
    found = evaluate_forward(file_forward(OnnxModel(path, torch.get_num_threads())), rows)
    marks = row_marks(rows.spec, rows.rows, rows.encoded, found.logits)
    return Outcomes(found.losses.astype(np.float32), marks.astype(np.float32))


def cost(pipeline: Pipeline, model: PreTrainedModel, rows: Prepared) -> dict[str, Any]:
    """Scores of the float32 and the int8 file of a model, and their paired difference."""
    with tempfile.TemporaryDirectory() as folder:
        whole, small = (Path(folder) / name for name in ("float32.onnx", "int8.onnx"))
        export_onnx(model, pipeline.dense.tokenizer.model_input_names, whole)
        quantize_int8(whole, small)
        before, after = (outcomes(path, rows) for path in (whole, small))
    judge = Judge(pipeline.run.task.spec)
    difference = judge.difference(after, before)
    interval = [difference.low(CONFIDENCE), difference.high(CONFIDENCE)]
    scores = {"float32": judge.score(before), "int8": judge.score(after)}
    return {**scores, "difference": difference.value, "interval": interval, "rows": len(rows.rows)}


def of_task(task: str, runs: Path, removed: float, ledger: Ledger) -> list[dict[str, Any]]:
    """One row per model."""
    pipeline = open_run(task, runs, macs_budget(removed, 32))
    models = {
        "dense": lambda: pipeline.dense.model,
        f"{1 - removed:.0%} of MACs": lambda: pipeline.pruner(pipeline.first_trials["knapsack"][0]),
    }
    rows = pipeline.rows("report")
    facts = {"task": task, "metric": pipeline.run.task.spec.headline}
    return [
        {**facts, "model": name, **ledger.get(f"{task} {name}", partial(_cost_of, pipeline, make, rows))}
        for name, make in models.items()
    ]


def _cost_of(pipeline: Pipeline, make: Any, rows: Prepared) -> dict[str, Any]:
    return cost(pipeline, make(), rows)


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table, scores and differences × 100."""
    cells = [
        [
            row["task"],
            row["metric"],
            row["model"],
            row["rows"],
            f"{100 * row['float32']:.1f}",
            f"{100 * row['int8']:.1f}",
            f"{100 * row['difference']:+.1f} ({100 * row['interval'][0]:+.1f}..{100 * row['interval'][1]:+.1f})",
        ]
        for row in rows
    ]
    print(table(["task", "metric", "model", "rows", "float32", "int8", "difference (95 %)"], cells))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add_runs(parser, *TASKS)
    parser.add_argument("--removed", type=float, default=0.5, help="share of the encoder's MACs that is removed")
    given = parser.parse_args(arguments)
    ledger = Ledger(given.runs / "int8_cost.jsonl")
    rows = [row for task in given.only for row in of_task(task, given.runs, given.removed, ledger)]
    show(rows)
    write_result(given.results, "int8_cost", {"removed": given.removed, "rows": rows})


if __name__ == "__main__":
    main()
