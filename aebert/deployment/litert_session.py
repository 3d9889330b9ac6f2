"""Runs a FlatBuffer; needs only NumPy and the LiteRT interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aebert.deployment.litert_packages import first_line, litert_package
from aebert.errors import ExportError


class LiteRTModel:
    """An exported classifier of one fixed length on the CPU.

    inputs: names that the graph takes, each int32 `[1, length]`. Since the file takes one row, batches are answered row
    by row; shorter rows are padded with `pad_token_id` and masked.
    """

    def __init__(self, path: Path, threads: int = 1, *, pad_token_id: int = 0) -> None:
        self.path, self._pad_token_id = path, pad_token_id
        self._runner = _runner(path, threads)
        details = self._runner.get_input_details()
        if "input_ids" not in details:
            raise ExportError(f"{path.name} must take input_ids, it takes {', '.join(details)} (export it again)")
        self.inputs = tuple(details)
        self.length = int(details["input_ids"]["shape"][1])

    def logits(self, batch: Mapping[str, NDArray[np.integer]]) -> NDArray[np.float32]:
        """Logits `[batch, labels]`, or `[batch, seq, labels]` of a token classifier; other keys are ignored.

        Raises: ExportError when `batch` lacks an input of the graph or is longer than the file.
        """
        missing = [name for name in self.inputs if name not in batch]
        if missing:
            raise ExportError(f"{self.path.name} takes {', '.join(self.inputs)}; the batch lacks {', '.join(missing)}")
        rows, length = batch["input_ids"].shape
        if length > self.length:
            raise ExportError(
                f"{self.path.name} takes rows of at most {self.length} tokens, got {length}; cut them, "
                "or make a longer file with deploy.litert.lengths"
            )
        padded = {name: self._pad(name, np.asarray(batch[name])) for name in self.inputs}
        answers = [self._answer(padded, row) for row in range(rows)]
        # a token classifier's logits of padding are cut off, so that shapes are those of the batch
        return np.concatenate([one[:, :length] if one.ndim == 3 else one for one in answers])

    def _pad(self, name: str, values: NDArray[np.integer]) -> NDArray[np.int32]:
        fill = self._pad_token_id if name == "input_ids" else 0
        width = ((0, 0), (0, self.length - values.shape[1]))
        return np.pad(values, width, constant_values=fill).astype(np.int32)

    def _answer(self, padded: Mapping[str, NDArray[np.int32]], row: int) -> NDArray[np.float32]:
        try:
            outputs = self._runner(**{name: values[row : row + 1] for name, values in padded.items()})
        except Exception as error:  # the interpreter's errors have no common base class
            raise ExportError(f"{self.path.name} can't run on {self.length} tokens: {first_line(error)}") from None
        return np.asarray(outputs["logits"], dtype=np.float32)


def _runner(path: Path, threads: int) -> Any:
    interpreter = litert_package("ai_edge_litert.interpreter")
    if not path.is_file():
        raise ExportError(f"{path} must be a FlatBuffer; there is none (export it first)")
    try:
        return interpreter.Interpreter(model_path=str(path), num_threads=threads).get_signature_runner()
    except Exception as error:  # the interpreter's errors have no common base class
        raise ExportError(f"{path} must be a whole FlatBuffer: {first_line(error)} (export it again)") from None
