"""The graph of a bundle in ONNX Runtime, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aebert.errors import BundleError

EMBEDDING = "sentence_embedding"
"""The output that holds embeddings, by the name that sentence-transformers and optimum have for it."""


def output_name(names: Sequence[str]) -> str:
    """Of a graph's outputs, the one that is read."""
    return EMBEDDING if EMBEDDING in names else "logits"


class Graph:
    """A graph that is ready to run. inputs: names of its inputs, each int64 `[batch, seq]`."""

    def __init__(self, source: str | bytes, path: Path, threads: int, *, optimized: bool = True) -> None:
        """source: path or content of the file. path: of the bundle, for messages."""
        import onnxruntime  # here, since to look at a bundle takes none

        self.path = path
        try:
            options = _options(threads, optimized)
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base class
            version = onnxruntime.__version__
            raise BundleError(f"bundle {path}: its graph can't run in onnxruntime {version}: {_line(error)}") from None
        self.inputs = tuple(node.name for node in self._session.get_inputs())
        names = [node.name for node in self._session.get_outputs()]
        self._output = output_name(names)
        if self._output not in names:
            raise BundleError(f"bundle {path}: its graph must have an output named logits or {EMBEDDING}")

    def logits(self, batch: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """Logits `[batch, outputs]`, for NER `[batch, seq, outputs]`, or embeddings `[batch, hidden]`.

        Inputs that the graph lacks are left out.
        """
        try:
            (logits,) = self._session.run([self._output], {name: batch[name] for name in self.inputs})
        except Exception as error:  # ONNX Runtime's errors have no common base class
            shape = list(batch["input_ids"].shape)
            raise BundleError(f"bundle {self.path}: its graph can't run on a batch {shape}: {_line(error)}") from None
        return np.asarray(logits, dtype=np.float32)


def _options(threads: int, optimized: bool) -> Any:
    """Session options of ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors come back as exceptions
    # idle worker threads spin while they wait for work, which would take cores from other processes
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def read_opsets(content: bytes) -> dict[str, int]:
    """Opset versions that an ONNX file states, by domain (`ai.onnx` for the standard one).

    Reads the top level of the protobuf message only (onnx.proto: `ModelProto.opset_import` is field 8), so that the
    `onnx` package isn't needed. Raises: ValueError when the content is no such message.
    """
    found = {}
    for field, value in _fields(content):
        if field == 8 and isinstance(value, bytes):
            stated = dict(_fields(value))
            domain, version = stated.get(1, b""), stated.get(2, 0)
            if not isinstance(domain, bytes) or not isinstance(version, int):
                raise ValueError("opset_import must have a domain and a version")
            found[domain.decode() or "ai.onnx"] = version
    return found


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        wire = key & 7
        if wire == 0:
            value, place = _varint(content, place)
            yield key >> 3, value
            continue
        size, place = _varint(content, place) if wire == 2 else ({1: 8, 5: 4}.get(wire, -1), place)
        if size < 0 or place + size > len(content):
            raise ValueError(f"field {key >> 3} at byte {place} is damaged")
        # the graph itself (field 7) may be gigabytes, and nobody needs it here
        yield key >> 3, content[place : place + size] if key >> 3 != 7 else b""
        place += size


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(content):
            break
        byte, place = content[place], place + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError(f"number at byte {place} is damaged")
