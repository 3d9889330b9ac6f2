"""Opens an exported file of any format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aebert.deployment.litert_session import LiteRTModel
from aebert.deployment.session import OnnxModel

FLATBUFFER = ".tflite"  # ends the name of a FlatBuffer


class ExportedModel(Protocol):
    """What a file of any format can do; see `OnnxModel` and `LiteRTModel`."""

    path: Path
    inputs: tuple[str, ...]

    def logits(self, batch: Mapping[str, NDArray[np.integer]]) -> NDArray[np.float32]:
        """Logits `[batch, labels]`, or `[batch, seq, labels]` of a token classifier."""


def open_model(path: Path, threads: int) -> ExportedModel:
    """The file, ready to run on the CPU; a FlatBuffer if its name ends like one, else ONNX.

    Raises: ExportError when it is missing or damaged, or its runtime is not installed.
    """
    return LiteRTModel(path, threads) if path.suffix == FLATBUFFER else OnnxModel(path, threads)
