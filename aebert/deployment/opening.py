"""Opening an exported file, whatever its format."""

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
    """What every format can do: `OnnxModel` and `LiteRTModel` say more."""

    path: Path
    inputs: tuple[str, ...]

    def logits(self, batch: Mapping[str, NDArray[np.integer]]) -> NDArray[np.float32]:
        """Logits `[batch, labels]`, or `[batch, seq, labels]` of a token classifier."""


def open_model(path: Path, threads: int) -> ExportedModel:
    """The file, ready to run on the CPU: a FlatBuffer by its ending, else ONNX.

    Raises: ExportError when it is missing or damaged, or its runtime is not installed.
    """
    return LiteRTModel(path, threads) if path.suffix == FLATBUFFER else OnnxModel(path, threads)
