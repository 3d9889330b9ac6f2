"""Runs an exported ONNX file; needs only NumPy and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from aebert.errors import ExportError

# Outputs that are read, as `aebert.runtime.session` has them; boards that this module is sent to lack what that needs
_READ = ("sentence_embedding", "logits")

Feed = Mapping[str, NDArray[np.integer]]  # one request as a graph takes it, each input [batch, seq]


class OnnxModel:
    """An exported model on the CPU.

    inputs: names that the graph takes; every one is int64 `[batch, seq]`.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.path = path
        self._session = open_session(path, threads)
        self.inputs = tuple(node.name for node in self._session.get_inputs())
        names = [node.name for node in self._session.get_outputs()]
        self._output = next((name for name in _READ if name in names), "logits")

    def logits(self, batch: Mapping[str, NDArray[np.integer]]) -> NDArray[np.float32]:
        """Logits `[batch, labels]`, or `[batch, seq, labels]` of a token classifier; embeddings `[batch, hidden]`.

        Other keys are ignored.

        Raises: ExportError when `batch` lacks an input of the graph or the graph can't run on it.
        """
        missing = [name for name in self.inputs if name not in batch]
        if missing:
            raise ExportError(f"{self.path.name} takes {', '.join(self.inputs)}; the batch lacks {', '.join(missing)}")
        feed = {name: np.asarray(batch[name], dtype=np.int64) for name in self.inputs}
        try:
            (logits,) = self._session.run([self._output], feed)
        except Exception as error:  # ONNX Runtime's errors have no common base class
            shape = feed[self.inputs[0]].shape
            raise ExportError(f"{self.path.name} can't run on a batch {list(shape)}: {_first_line(error)}") from None
        return np.asarray(logits, dtype=np.float32)


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session on the CPU whose idle threads do not disturb other sessions.

    Raises: ExportError when the file is missing or damaged.
    """
    if not path.is_file():
        raise ExportError(f"{path} must be an ONNX file; there is none (export it first)")
    try:
        return onnxruntime.InferenceSession(str(path), _options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base class
        raise ExportError(f"{path} must be a whole ONNX file: {_first_line(error)} (export it again)") from None


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only, which are raised as exceptions too
    # Idle worker threads spin for a while in case work comes, which would take cores away from another session.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
