"""Metrics that compute offline and in memory, and the score of a model's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import datasets
import numpy as np
from scipy import stats
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

from aebert.errors import ConfigError
from aebert.registry import Registry
from aebert.tasks.metric_scripts import PREFIX, ScriptMetric
from aebert.tasks.offline_metric import OfflineMetric
from aebert.tasks.similarity import agreement, similarities
from aebert.tasks.task import EncodedRow, Row, TaskKind, TaskSpec

_INT, _FLOAT, _TAGS = datasets.Value("int64"), datasets.Value("float64"), datasets.List(datasets.Value("string"))


METRICS: Registry[type[OfflineMetric]] = Registry("metric")


@cache
def metric_for(kind: TaskKind, name: str) -> OfflineMetric:
    """The metric of a name, or of a script (`evaluate:PATH`). Raises: ConfigError if it is not for the kind of task."""
    if kind in ("classification", "regression") and name.startswith(PREFIX):
        return ScriptMetric(name.removeprefix(PREFIX), kind)
    if name.startswith(PREFIX) or kind not in METRICS[name].kinds:
        fitting = [other for other in METRICS if kind in METRICS[other].kinds]
        raise ConfigError(f"task.metric must be one for {kind} ({', '.join(fitting)}), got {name!r}")
    return METRICS[name]()


@METRICS.register("accuracy")
class Accuracy(OfflineMetric):
    """Share of examples with the right class."""

    kinds = ("classification",)
    headline = "accuracy"
    feature = _INT

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {"accuracy": _accuracy(predictions, references)}


@METRICS.register("accuracy_f1")
class AccuracyF1(OfflineMetric):
    """Accuracy, and F1 of class 1; for two classes."""

    kinds = ("classification",)
    headline = "accuracy"
    num_labels = 2
    feature = _INT

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        found, wrong = _confusion(predictions, references, 2)[1, 1], np.asarray(predictions) != np.asarray(references)
        counted = 2 * found + wrong.sum()
        return {"accuracy": _accuracy(predictions, references), "f1": float(2 * found / counted) if counted else 0.0}


@METRICS.register("matthews")
class Matthews(OfflineMetric):
    """Matthews correlation of the classes; 0 where it is undefined (one class only)."""

    kinds = ("classification",)
    headline = "matthews"
    feature = _INT

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        counts = _confusion(predictions, references).astype(np.float64)
        rows, predicted, true = counts.sum(), counts.sum(axis=0), counts.sum(axis=1)
        spread = np.sqrt(rows**2 - predicted @ predicted) * np.sqrt(rows**2 - true @ true)
        return {"matthews": float((np.trace(counts) * rows - predicted @ true) / spread) if spread else 0.0}


class _CountedMetric(OfflineMetric):
    """A metric of how many rows of each true class were predicted as each class; its accuracy beside it."""

    kinds = ("classification",)
    feature = _INT

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        counts = _confusion(predictions, references).astype(np.float64)
        return {self.headline: float(self._of(counts)), "accuracy": float(np.trace(counts) / counts.sum())}

    def _of(self, counts: np.ndarray) -> float:
        """The metric of counts [true, predicted]."""
        raise NotImplementedError


@METRICS.register("f1_macro")
class F1Macro(_CountedMetric):
    """Mean F1 of the classes that are true or predicted somewhere, each with the same weight."""

    headline = "f1_macro"

    def _of(self, counts: np.ndarray) -> float:
        return float(_f1(counts)[(counts.sum(0) + counts.sum(1)) > 0].mean())


@METRICS.register("f1_micro")
class F1Micro(_CountedMetric):
    """F1 of all decisions together; where each row has one class, as here, this is the accuracy."""

    headline = "f1_micro"

    def _of(self, counts: np.ndarray) -> float:
        return float(np.trace(counts) / counts.sum())


@METRICS.register("f1_weighted")
class F1Weighted(_CountedMetric):
    """Mean F1 of the classes, weighted by their rows."""

    headline = "f1_weighted"

    def _of(self, counts: np.ndarray) -> float:
        return float(_f1(counts) @ counts.sum(1) / counts.sum())


@METRICS.register("balanced_accuracy")
class BalancedAccuracy(_CountedMetric):
    """Mean recall of the classes that have rows."""

    headline = "balanced_accuracy"

    def _of(self, counts: np.ndarray) -> float:
        true = counts.sum(1)
        return float((np.diag(counts)[true > 0] / true[true > 0]).mean())


@METRICS.register("pearson_spearman")
class PearsonSpearman(OfflineMetric):
    """Pearson and Spearman correlation of scores; 0 where they are undefined (constant or not finite)."""

    kinds = ("regression", "embedding")
    headline = "spearman"
    feature = _FLOAT

    def _compute(self, predictions: Sequence[float], references: Sequence[float]) -> dict[str, float]:
        if _is_constant(predictions) or _is_constant(references):
            return {"pearson": 0.0, "spearman": 0.0}
        ranks = stats.rankdata(predictions), stats.rankdata(references)
        return {"pearson": _pearson(predictions, references), "spearman": _pearson(*ranks)}


@METRICS.register("agreement")
class Agreement(OfflineMetric):
    """Mean cosine similarity with the dense model's embeddings; for sentences without scored pairs."""

    kinds = ("embedding",)
    headline = "agreement"
    feature = _FLOAT

    def _compute(self, predictions: Sequence[float], references: Sequence[float]) -> dict[str, float]:
        return {"agreement": float(np.mean(predictions))}


@METRICS.register("seqeval")
class Seqeval(OfflineMetric):
    """Precision, recall and F1 of whole entities (type and both ends right), over all types, as conlleval counts."""

    kinds = ("ner",)
    headline = "f1"
    feature = _TAGS

    def _compute(self, predictions: Sequence[list[str]], references: Sequence[list[str]]) -> dict[str, float]:
        precision, recall, f1, _ = precision_recall_fscore_support(
            list(references), list(predictions), average="micro", zero_division=0
        )
        return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}


def _confusion(predictions: Sequence[int], references: Sequence[int], classes: int = 0) -> np.ndarray:
    """Rows of each [true, predicted] class.

    Not scikit-learn's metrics, whose checks of their arguments take a thousand times as long as the counting: races and
    intervals compute a metric thousands of times. The tests compare with those.
    """
    predicted, true = np.asarray(predictions, dtype=np.int64), np.asarray(references, dtype=np.int64)
    classes = max(classes, 1 + int(max(predicted.max(initial=0), true.max(initial=0))))
    return np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)


def _f1(counts: np.ndarray) -> np.ndarray:
    """F1 of each class; 0 for one that is neither true nor predicted anywhere."""
    found = counts.sum(0) + counts.sum(1)
    f1: np.ndarray = np.divide(2 * np.diag(counts), found, out=np.zeros(len(counts)), where=found > 0)
    return f1


def _accuracy(predictions: Sequence[int], references: Sequence[int]) -> float:
    return float(np.mean(np.asarray(predictions) == np.asarray(references)))


def _is_constant(values: Sequence[float]) -> bool:
    array = np.asarray(values)
    return not np.isfinite(array).all() or bool(np.ptp(array) <= 1e-12 * np.abs(array).max())


def _pearson(one: Any, other: Any) -> float:
    return float(stats.pearsonr(one, other).statistic)


def evaluate_outputs(
    spec: TaskSpec, rows: Sequence[Row], encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray]
) -> dict[str, float]:
    """Value of each metric of the task; shares (0..1) and correlations (-1..1), higher is better.

    logits: one array per row, in the order of the rows: [outputs], for NER [length, outputs] (padding at the end is
    not read), for embeddings [texts, hidden]. NER: a word's tag is read at its first sub-word; a word cut off by
    max_length counts as predicted O. Embeddings of pairs: agreement with the rows' targets stands beside the metric.
    """
    predictions, references = predict(spec, rows, encoded, logits)
    metric = metric_for(spec.kind, spec.metric)
    result: dict[str, float] = metric.compute(predictions=predictions, references=references)
    agreed = agreement(rows, logits) if spec.has_pairs else None
    return result if agreed is None else {**result, "agreement": float(agreed.mean())}


def predict(
    spec: TaskSpec, rows: Sequence[Row], encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray]
) -> tuple[Any, Any]:
    """Predictions and references, one per row, as the task's metric takes them; arguments as of `evaluate_outputs`.

    Class ids, scores, for NER the tag names of all words, or for embeddings what `similarities` says.
    """
    if spec.kind == "embedding":
        return similarities(spec, rows, logits)
    if spec.kind == "ner":
        predictions: Any = [_tags(spec, *example) for example in zip(rows, encoded, logits, strict=True)]
        references: Any = [[spec.tags[tag] for tag in row.label] for row in rows]  # type: ignore[union-attr]
    else:
        scores = np.stack([np.asarray(example) for example in logits])
        predictions = scores[:, 0] if spec.kind == "regression" else scores.argmax(axis=-1)
        references = [row.label for row in rows]
    return predictions, references


def _tags(spec: TaskSpec, row: Row, encoded: EncodedRow, logits: np.ndarray) -> list[str]:
    first_sub_words = [position for position, label in enumerate(encoded["labels"]) if label != -100]
    predicted = [spec.tags[tag] for tag in np.asarray(logits)[first_sub_words].argmax(axis=-1)]
    num_words = len(row.text)
    return predicted + ["O"] * (num_words - len(predicted))
