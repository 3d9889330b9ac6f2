"""The shape of a stored model, read from its config alone."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

from aebert.models.counting import shape_of
from aebert.models.loading import one_line_errors
from aebert.models.shape import ModelShape


def stored_shape(folder: Path) -> ModelShape | None:
    """The shape of the dense model in a folder, built without weights; None where there is no model.

    Its output layer is over tokens or over sequences, as its config says, since `other_params` counts it.

    Raises: ModelError when its config is damaged or its family unknown.
    """
    if not (folder / "config.json").is_file():
        return None
    with one_line_errors(str(folder)), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder)
        tokens = any("TokenClassification" in name for name in config.architectures or [])
        auto = AutoModelForTokenClassification if tokens else AutoModelForSequenceClassification
        return shape_of(auto.from_config(config))
