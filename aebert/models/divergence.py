"""How far a model's outputs are from the dense model's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import log_softmax

from aebert.tasks.encoding import IGNORED
from aebert.tasks.similarity import cosines
from aebert.tasks.task import EncodedRow, TaskSpec


def divergences(
    spec: TaskSpec, encoded: Sequence[EncodedRow], dense: Sequence[np.ndarray], mine: Sequence[np.ndarray]
) -> np.ndarray:
    """Kullback-Leibler divergence [rows], in nats, from the dense model's probabilities to those of another model.

    For NER it is the mean over the words of a row, for regression the squared difference of the two outputs, and for
    embeddings the cosine distance of the two, mean over the texts of a row.

    encoded: the rows; only which positions are words is read of their labels. dense, mine: logits, one array per row.
    """
    pairs = zip(encoded, dense, mine, strict=True)
    return np.array([_divergence(spec, row, one, other) for row, one, other in pairs], dtype=np.float64)


def _divergence(spec: TaskSpec, row: EncodedRow, dense: np.ndarray, mine: np.ndarray) -> float:
    theirs, ours = dense.astype(np.float64), mine.astype(np.float64)
    if spec.kind == "regression":
        return float(np.square(theirs - ours).sum())
    if spec.kind == "embedding":
        return float(1 - cosines(theirs, ours).mean())
    theirs, ours = log_softmax(theirs, axis=-1), log_softmax(ours, axis=-1)
    each = (np.exp(theirs) * (theirs - ours)).sum(axis=-1)
    if spec.kind == "classification":
        return float(each)
    words = np.asarray(row["labels"]) != IGNORED
    return float(each[words].mean()) if words.any() else 0.0
