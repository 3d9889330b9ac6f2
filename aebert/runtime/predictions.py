"""What a bundle predicts: a class, a number, entities, or a vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from aebert.runtime.encoding import Encoded
from aebert.runtime.manifest import Manifest
from aebert.runtime.words import Entity, find_entities


@dataclass(frozen=True)
class ClassPrediction:
    """A class. probabilities: of every label. truncated: the text was longer than the length limit and was cut."""

    label: str
    probabilities: Mapping[str, float]
    truncated: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"label": self.label, "probabilities": dict(self.probabilities), "truncated": self.truncated}

    def cells(self) -> list[list[str]]:
        """Rows of a table: label and its probability."""
        return [[self.label, f"{self.probabilities[self.label]:.6f}"]]


@dataclass(frozen=True)
class ScorePrediction:
    """A number. truncated: the text was longer than the length limit and was cut."""

    value: float
    truncated: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"value": self.value, "truncated": self.truncated}

    def cells(self) -> list[list[str]]:
        """Rows of a table: the value."""
        return [[f"{self.value:.6g}"]]


@dataclass(frozen=True)
class EntityPrediction:
    """Entities in the order of the text. truncated: the text was cut, and what was cut off was not searched."""

    entities: tuple[Entity, ...]
    truncated: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"entities": [entity.to_dict() for entity in self.entities], "truncated": self.truncated}

    def cells(self) -> list[list[str]]:
        """Rows of a table, one per entity: start, end, label, text."""
        return [[str(one.start), str(one.end), one.label, " ".join(one.text.split())] for one in self.entities]


@dataclass(frozen=True)
class EmbeddingPrediction:
    """A vector [hidden], float32. truncated: the text was longer than the length limit and was cut."""

    vector: NDArray[np.float32]
    truncated: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, with as many digits as a float32 has."""
        return {"embedding": [float(str(value)) for value in self.vector], "truncated": self.truncated}

    def cells(self) -> list[list[str]]:
        """Rows of a table: the numbers of the vector."""
        return [[str(value) for value in self.vector]]


Prediction = Union[ClassPrediction, ScorePrediction, EntityPrediction, EmbeddingPrediction]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities over the last axis."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def decode(manifest: Manifest, encoded: Encoded, logits: NDArray[np.float32]) -> Prediction:
    """Prediction of one row from its logits [outputs], NER [seq, outputs], or its embedding [hidden]."""
    if manifest.kind == "embedding":
        return EmbeddingPrediction(np.array(logits, dtype=np.float32), encoded.truncated)
    if manifest.kind == "regression":
        return ScorePrediction(float(logits[0]), encoded.truncated)
    if manifest.kind == "ner":
        return EntityPrediction(_entities(manifest.outputs, encoded, logits), encoded.truncated)
    probabilities = dict(zip(manifest.outputs, softmax(logits).tolist()))
    return ClassPrediction(manifest.outputs[int(logits.argmax())], probabilities, encoded.truncated)


def _entities(tags: Sequence[str], encoded: Encoded, logits: NDArray[np.float32]) -> tuple[Entity, ...]:
    if not encoded.first_tokens:
        return ()
    mine = logits[list(encoded.first_tokens)]
    found, sure = mine.argmax(axis=-1), softmax(mine).max(axis=-1)
    # words beyond the length limit have no token
    words = encoded.words[: len(encoded.first_tokens)]
    return find_entities(encoded.text, words, [tags[index] for index in found], sure.tolist())
