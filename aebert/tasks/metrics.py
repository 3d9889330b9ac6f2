"""Metrics that compute offline and in memory, and the score of a model's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import evaluate
import numpy as np
from scipy import stats
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

from aebert.registry import Registry
from aebert.tasks.task import EncodedRow, Row, TaskKind, TaskSpec

_INT, _FLOAT, _TAGS = datasets.Value("int64"), datasets.Value("float64"), datasets.List(datasets.Value("string"))


class OfflineMetric(evaluate.Metric):  # type: ignore[misc]
    """An `evaluate.Metric` without a script to download and without cache files, so safe in several processes.

    kinds: kinds of task that it is for. headline: key of its result that ranks models. num_labels: number of classes
    that it needs, if only one will do.
    """

    kinds: ClassVar[tuple[TaskKind, ...]]
    headline: ClassVar[str]
    num_labels: ClassVar[int | None] = None
    feature: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__(keep_in_memory=True)

    def _build_data_dir(self) -> str:
        """No folder: evaluate would make one below the home folder even for a metric in memory."""
        return ""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            inputs_description="predictions and references: one value per example.",
            features=datasets.Features({"predictions": self.feature, "references": self.feature}),
        )


METRICS: Registry[type[OfflineMetric]] = Registry("metric")


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


@METRICS.register("pearson_spearman")
class PearsonSpearman(OfflineMetric):
    """Pearson and Spearman correlation of scores; 0 where they are undefined (constant or not finite)."""

    kinds = ("regression",)
    headline = "spearman"
    feature = _FLOAT

    def _compute(self, predictions: Sequence[float], references: Sequence[float]) -> dict[str, float]:
        if _is_constant(predictions) or _is_constant(references):
            return {"pearson": 0.0, "spearman": 0.0}
        ranks = stats.rankdata(predictions), stats.rankdata(references)
        return {"pearson": _pearson(predictions, references), "spearman": _pearson(*ranks)}


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
    not read). NER: a word's tag is read at its first sub-word; a word cut off by max_length counts as predicted O.
    """
    predictions, references = predict(spec, rows, encoded, logits)
    result: dict[str, float] = METRICS[spec.metric]().compute(predictions=predictions, references=references)
    return result


def predict(
    spec: TaskSpec, rows: Sequence[Row], encoded: Sequence[EncodedRow], logits: Sequence[np.ndarray]
) -> tuple[Any, Any]:
    """Predictions and references, one per row, as the task's metric takes them; arguments as of `evaluate_outputs`.

    Class ids, scores, or for NER the tag names of all words.
    """
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
