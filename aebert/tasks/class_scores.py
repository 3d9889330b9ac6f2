"""Scores of each class or entity type, for reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as entity_scores
from sklearn.metrics import precision_recall_fscore_support

from aebert.tasks.metrics import predict
from aebert.tasks.task import EncodedRow, Row, TaskSpec


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 (0..1; 0 where undefined) of a class, or of whole entities of a type.

    support: rows of the class, or true entities of the type.
    """

    precision: float
    recall: float
    f1: float
    support: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def class_scores(
    spec: TaskSpec, rows: Sequence[Row], encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray]
) -> dict[str, ClassScore]:
    """Scores by class or entity type, in the order of `spec.labels`; none for regression and embeddings.

    Arguments as of `evaluate_outputs`.
    """
    if spec.kind in ("regression", "embedding"):
        return {}
    predictions, references = predict(spec, rows, encoded, logits)
    return (_of_entities if spec.kind == "ner" else _of_classes)(spec, predictions, references)


def _of_classes(spec: TaskSpec, predictions: Any, references: Any) -> dict[str, ClassScore]:
    ids = list(range(len(spec.labels)))
    columns = precision_recall_fscore_support(references, predictions, labels=ids, average=None, zero_division=0)
    values = zip(*columns, strict=True)
    return {name: _score(*found) for name, found in zip(spec.labels, values, strict=True)}


def _of_entities(spec: TaskSpec, predictions: Any, references: Any) -> dict[str, ClassScore]:
    columns = entity_scores(references, predictions, average=None, zero_division=0)
    types = sorted({type_ for sentences in (references, predictions) for type_, *_ in get_entities(sentences)})
    found = {name: _score(*values) for name, *values in zip(types, *columns, strict=True)}
    return {name: found.get(name, ClassScore(0.0, 0.0, 0.0, 0)) for name in spec.labels}


def _score(precision: Any, recall: Any, f1: Any, support: Any) -> ClassScore:
    return ClassScore(float(precision), float(recall), float(f1), int(support))
