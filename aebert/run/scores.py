"""The report rows, read once, at the end: metrics of every file that ships, with intervals, and scores of classes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from aebert.deployment.opening import ExportedModel
from aebert.deployment.session import OnnxModel
from aebert.digests import file_digest
from aebert.models.evaluation import Prepared, evaluate_forward
from aebert.run.embedding_scores import embedding_inputs, embedding_scores
from aebert.run.requests import file_forward
from aebert.run.run import Run
from aebert.search.difference import Difference
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.search.scoring import outcomes_of
from aebert.tasks.class_scores import class_scores
from aebert.tasks.resampling import bootstrap, resampler

RESAMPLES = 1000  # of a bootstrap interval


def report_scores(run: Run, tokenizer: PreTrainedTokenizerBase, files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """What `score_file` says of ONNX files on the report rows, by the file's name."""
    return {name: _score(run, tokenizer, name, path) for name, path in files.items()}


def _score(run: Run, tokenizer: PreTrainedTokenizerBase, name: str, path: Path) -> dict[str, Any]:

    def make() -> dict[str, Any]:
        model = OnnxModel(path, torch.get_num_threads())
        return score_file(run, name, model, run.rows("report", tokenizer), tokenizer)

    return run.stage(f"report-{name}", report_inputs(run, path)).run(make)


def report_inputs(run: Run, path: Path) -> dict[str, Any]:
    """What the scores of a file on the report rows depend on."""
    spec = run.task.spec
    return {
        "outcomes": True,  # scores that were kept without those of each row are taken again
        "file": file_digest(path),
        "rows": run.rows_digest("report"),
        "metric": spec.metric,
        "labels": list(spec.labels),
        **embedding_inputs(run),
    }


def score_file(
    run: Run, name: str, model: ExportedModel, prepared: Prepared, tokenizer: PreTrainedTokenizerBase
) -> dict[str, Any]:
    """Metrics of a file on some rows, the 95 % interval of the headline one, the scores of each class, and outcomes.

    Of embeddings also what `embedding_scores` says.
    """
    with run.progress.bar(f"report rows, {name}", 1) as bar:
        result = evaluate_forward(file_forward(model), prepared)
        bar.advance()
    outputs = run.task.spec, prepared.rows, prepared.encoded, result.logits
    interval = bootstrap(resampler(*outputs), len(prepared.rows), run.config.seed, RESAMPLES)
    classes = {label: one.to_dict() for label, one in class_scores(*outputs).items()}
    more = {}
    if run.task.spec.kind == "embedding":
        more["embeddings"] = embedding_scores(run, tokenizer, model, prepared, result.logits)
    return {
        **more,
        "metrics": dict(result.metrics),
        "interval": interval,
        "classes": classes,
        "rows": len(prepared.rows),
        "outcomes": outcomes_of(prepared, result.losses, result.logits).encode(),
    }


def compare_files(run: Run, scores: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Difference]:
    """By how much each file scores above each that comes before it on the report rows, by the names of both."""
    judge = Judge(run.task.spec)
    outcomes = {name: Outcomes.decode(found["outcomes"]) for name, found in scores.items()}
    return {
        (name, other): judge.difference(outcomes[name], outcomes[other]) for other, name in combinations(outcomes, 2)
    }
