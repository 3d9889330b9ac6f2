"""The headline metric on any draw of rows, cheap enough for a bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from seqeval.metrics.sequence_labeling import get_entities

from aebert.tasks.metrics import METRICS, predict
from aebert.tasks.task import EncodedRow, Row, TaskSpec

Resampler = Callable[[np.ndarray], float]


def resampler(
    spec: TaskSpec, rows: Sequence[Row], encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray]
) -> Resampler:
    """A function from row indices [draws] to the headline metric on those rows; arguments as of `evaluate_outputs`."""
    predictions, references = predict(spec, rows, encoded, logits)
    if spec.kind == "ner":
        return _entity_f1(predictions, references)
    predicted, wanted, metric = np.asarray(predictions), np.asarray(references), METRICS[spec.metric]()
    return lambda draw: float(metric._compute(predicted[draw], wanted[draw])[spec.headline])


def _entity_f1(predictions: Sequence[list[str]], references: Sequence[list[str]]) -> Resampler:
    """Micro-averaged entity F1 from each row's counts: entities found, predicted and true."""
    counts = np.array([_counts(p, r) for p, r in zip(predictions, references, strict=True)])

    def f1(draw: np.ndarray) -> float:
        found, predicted, true = counts[draw].sum(0)
        return float(2 * found / (predicted + true)) if predicted + true else 0.0

    return f1


def _counts(predicted: list[str], true: list[str]) -> tuple[int, int, int]:
    mine, theirs = set(get_entities(predicted)), set(get_entities(true))
    return len(mine & theirs), len(mine), len(theirs)
