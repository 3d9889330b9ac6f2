"""SHA-256 digests of files, arrays and model weights, for provenance and for knowing what changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def arrays_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 (16 hex digits) of named arrays: names, shapes and values."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        sha.update(f"{name}{arrays[name].shape}".encode())
        sha.update(np.ascontiguousarray(arrays[name]).data)
    return sha.hexdigest()[:16]


def weights_digest(model: PreTrainedModel) -> str:
    """The same of a model's state, and for embeddings of how they are made of it."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    config: Any = getattr(model, "config", None)  # a part of a model has none
    if mode := getattr(config, "aebert_pooling", None):
        arrays[f"{mode} {config.aebert_normalize}"] = np.zeros(0)
    return arrays_digest(arrays)
