"""The values that describe a task and its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

TaskKind = Literal["classification", "regression", "ner", "embedding"]
PoolingMode = Literal["mean", "cls", "max"]
Role = Literal["train", "search", "select", "report"]
ROLES: tuple[Role, ...] = ("train", "search", "select", "report")

# A batch or an encoded row: name of a model input (and "labels") → values.
EncodedRow = Mapping[str, Any]


@dataclass(frozen=True)
class TaskSpec:
    """One record per task: columns, labels, official metric.

    labels: class names in the order of their ids; for NER the entity types (without B-/I-, without O), from which
    `tags` derives the BIO tags in the order of their ids; empty for regression, and for own data until read.
    metric: name in `aebert.tasks.metrics.METRICS`, or `evaluate:` and the path of a script; `headline` is the key of
    its result that ranks models, higher is better. A metric's values are shares (0..1) or correlations (-1..1), never
    percent.
    groups: classification: what the data calls each class, as pairs of a value and its class; empty where it uses the
      names of the classes.
    window: NER: whether sentences longer than `max_length` are read in windows instead of being cut.
    pooling, normalize: embeddings: how they are made of hidden states, as far as the user says so.
    """

    name: str
    kind: TaskKind
    columns: tuple[str, ...]
    label_column: str
    labels: tuple[str, ...]
    metric: str
    headline: str
    source: str = ""
    window: bool = False
    groups: tuple[tuple[str, str], ...] = ()
    pooling: PoolingMode | None = None
    normalize: bool | None = None

    @property
    def has_pairs(self) -> bool:
        """Embeddings: whether the rows that models are scored on are pairs with a similarity score."""
        return self.kind == "embedding" and len(self.columns) == 2

    @property
    def has_parts(self) -> bool:
        """Whether a row may go through the model in several parts: windows of a sentence, or sentences of a pair."""
        return self.window or self.kind == "embedding"

    @property
    def tags(self) -> tuple[str, ...]:
        """NER: `O`, then `B-` and `I-` of each entity type."""
        return ("O", *(f"{prefix}-{label}" for label in self.labels for prefix in "BI"))

    @property
    def num_outputs(self) -> int:
        """Width of the model's output layer; 0 for embeddings, which have none."""
        widths = {"regression": 1, "ner": len(self.tags), "classification": len(self.labels), "embedding": 0}
        return widths[self.kind]

    @property
    def output_names(self) -> tuple[str, ...]:
        """Name of each output, for the checkpoint's id2label."""
        return {"regression": ("score",), "ner": self.tags}.get(self.kind, self.labels)

    def with_labels(self, labels: Sequence[str]) -> TaskSpec:
        """Return the same task with the label names found in the data."""
        return replace(self, labels=tuple(labels))


@dataclass(frozen=True)
class Row:
    """One labelled example as read.

    text: one or two texts; for NER one tuple of words.
    label: class id, score, or for NER one tag id per word (ids of `TaskSpec.tags`); 0.0 of a sentence alone.
    source: `file:line` or `split:index`, for messages.
    document: what the row is a part of, if rows of one document must have one role.
    targets [texts, hidden]: the embedding of each text that those of other models are compared with; None until the
      model that made it is known.
    """

    text: tuple[str, ...]
    label: int | float | tuple[int, ...]
    source: str = field(compare=False, default="")
    document: str = field(compare=False, default="")
    targets: np.ndarray | None = field(compare=False, default=None, repr=False)


@dataclass(frozen=True)
class Task:
    """A task with its rows by role; roles share no row.

    digests: SHA-256 of each role's rows (and of the metric's script, if it has one), for provenance and for knowing
    when a stage must run again.
    notes: what a user should know about the data (duplicates dropped, synthetic, …), one line each.
    """

    spec: TaskSpec
    rows: Mapping[Role, Sequence[Row]]
    digests: Mapping[Role, str]
    notes: tuple[str, ...] = ()
