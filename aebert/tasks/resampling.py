"""The headline metric on any draw of rows, cheap enough for a bootstrap or a jackknife, and the bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from seqeval.metrics.sequence_labeling import get_entities

from aebert.tasks.metrics import metric_for, predict
from aebert.tasks.task import EncodedRow, Row, TaskSpec

Resampler = Callable[[np.ndarray], float]


def row_marks(
    spec: TaskSpec, rows: Sequence[Row], encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray]
) -> np.ndarray:
    """What the headline metric needs to know of each row, float64 [rows, marks]; arguments as of `evaluate_outputs`.

    NER: numbers of entities found, predicted and true. Others: prediction and reference.
    """
    predictions, references = predict(spec, rows, encoded, logits)
    if spec.kind == "ner":
        pairs = zip(predictions, references, strict=True)
        return np.array([_counts(predicted, true) for predicted, true in pairs], dtype=np.float64).reshape(-1, 3)
    return np.stack([np.asarray(predictions, dtype=np.float64), np.asarray(references, dtype=np.float64)], axis=1)


def headline_of(spec: TaskSpec, marks: np.ndarray) -> float:
    """The headline metric of some rows' marks, as `evaluate_outputs` computes it from their logits."""
    if spec.kind == "ner":
        found, predicted, true = marks.sum(0)
        return float(2 * found / (predicted + true)) if predicted + true else 0.0
    dtype = float if spec.kind in ("regression", "embedding") else int
    values = metric_for(spec.kind, spec.metric)._compute(marks[:, 0].astype(dtype), marks[:, 1].astype(dtype))
    return float(values[spec.headline])


def resampler(
    spec: TaskSpec, rows: Sequence[Row], encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray]
) -> Resampler:
    """A function from row indices [draws] to the headline metric on those rows; arguments as of `evaluate_outputs`."""
    marks = row_marks(spec, rows, encoded, logits)
    return lambda draw: headline_of(spec, marks[draw])


def bootstrap(
    compute: Callable[[np.ndarray], float], rows: int, seed: int, resamples: int
) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of `compute`, which gets row indices [rows] drawn with replacement.

    Resamples on which `compute` is NaN (a correlation of constant values) are left out; None if they are more than
    half, since the rest no longer stands for the data.

    Raises: ValueError if there is no row or no resample.
    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    if rows < 1 or resamples < 1:
        raise ValueError(f"a bootstrap needs at least 1 row and 1 resample, got {rows} and {resamples}")
    generator = np.random.default_rng(seed)
    values = np.array([compute(generator.integers(0, rows, rows)) for _ in range(resamples)], dtype=np.float64)
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < resamples:
        return None
    low, high = np.quantile(defined, (0.025, 0.975))
    return float(low), float(high)


def _counts(predicted: list[str], true: list[str]) -> tuple[int, int, int]:
    mine, theirs = set(get_entities(predicted)), set(get_entities(true))
    return len(mine & theirs), len(mine), len(theirs)
