"""The shape of a stored model, read from its config alone."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from aebert.errors import ModelError
from aebert.models.checkpoint import one_line_errors
from aebert.models.shape import ModelShape, shape_of


def stored_shape(folder: Path) -> ModelShape:
    """The shape of the dense model in a folder, counted without loading weights.

    `other_params` has a classifier over sequences, whatever the model's own output layer is.

    Raises: ModelError when there is no model or its family is unknown.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} must hold a model's config.json; there is none")
    with one_line_errors(str(folder)), torch.device("meta"):
        return shape_of(AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder)))
