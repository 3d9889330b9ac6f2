"""The report rows, read once, at the end: metrics of every file that ships, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from aebert.deployment.opening import ExportedModel
from aebert.deployment.session import OnnxModel
from aebert.digests import file_digest
from aebert.models.evaluation import Prepared, evaluate_forward
from aebert.run.requests import file_forward
from aebert.run.run import Run
from aebert.tasks.resampling import bootstrap, resampler

RESAMPLES = 1000  # of a bootstrap interval


def report_scores(run: Run, tokenizer: PreTrainedTokenizerBase, files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Metrics of ONNX files on the report rows, with the 95 % interval of the headline one, by the file's name."""
    return {name: _score(run, tokenizer, name, path) for name, path in files.items()}


def _score(run: Run, tokenizer: PreTrainedTokenizerBase, name: str, path: Path) -> dict[str, Any]:
    inputs = {"file": file_digest(path), "rows": run.rows_digest("report"), "metric": run.task.spec.metric}

    def make() -> dict[str, Any]:
        return score_file(run, name, OnnxModel(path, torch.get_num_threads()), run.rows("report", tokenizer))

    return run.stage(f"report-{name}", inputs).run(make)


def score_file(run: Run, name: str, model: ExportedModel, prepared: Prepared) -> dict[str, Any]:
    """Metrics of a file on some rows, with the 95 % interval of the headline one."""
    with run.progress.bar(f"report rows, {name}", 1) as bar:
        result = evaluate_forward(file_forward(model), prepared)
        bar.advance()
    compute = resampler(run.task.spec, prepared.rows, prepared.encoded, result.logits)
    interval = bootstrap(compute, len(prepared.rows), run.config.seed, RESAMPLES)
    return {"metrics": dict(result.metrics), "interval": interval, "rows": len(prepared.rows)}
