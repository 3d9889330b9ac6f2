"""Run a bundle. This needs onnxruntime, tokenizers and NumPy, and of `aebert` only this package and `aebert.errors`.

`Model.load(path).predict(texts)` from Python, `python -m aebert.runtime BUNDLE --input FILE` from a shell.
"""

from __future__ import annotations

from aebert.runtime.checks import Check, verify
from aebert.runtime.model import Model
from aebert.runtime.predictions import (
    ClassPrediction,
    EmbeddingPrediction,
    EntityPrediction,
    Prediction,
    ScorePrediction,
)
from aebert.runtime.words import Entity

__all__ = [
    "Check",
    "ClassPrediction",
    "EmbeddingPrediction",
    "Entity",
    "EntityPrediction",
    "Model",
    "Prediction",
    "ScorePrediction",
    "verify",
]
