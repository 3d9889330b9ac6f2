"""Where the time of a file goes: ONNX Runtime's own times of every node of the graph as it is executed."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from aebert.errors import ExportError

# products: matrices times weights, which shrink with heads and neurons. attention: scores, softmax, weighted sum.
Group = Literal["products", "attention", "rest"]

QUANTIZED_OPS = frozenset({"MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul", "QGemm"})
_PRODUCT_OPS = QUANTIZED_OPS | {"MatMul", "Gemm", "FusedGemm", "FusedMatMul", "MatMulNBits"}
# These include the projections to query, key and value.
_WHOLE_ATTENTION_OPS = frozenset({"Attention", "QAttention"})
_ATTENTION_OPS = frozenset({"MultiHeadAttention", "Softmax"})


@dataclass(frozen=True)
class NodeTime:
    """An executed node. milliseconds: median over runs.

    rows, inner, columns: of a product with weights, [rows, inner] by [inner, columns]; 0 for other nodes.
    macs: multiply-accumulates, those of attention included; 0 for nodes without products.
    """

    op: str
    group: Group
    milliseconds: float
    macs: int = 0
    rows: int = 0
    inner: int = 0
    columns: int = 0


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """The session options that exported files run with: all optimizations, and this number of threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def node_times(
    path: Path, request: Mapping[str, NDArray[np.integer]], *, threads: int, runs: int, warmup: int = 3
) -> tuple[NodeTime, ...]:
    """The nodes of a file as executed on one request, by ONNX Runtime's profiler, in order of execution.

    Profiling slows small nodes down a little, so use their shares, not their sum.

    Raises: ExportError when the file is missing, damaged or can't run on the request.
    """
    if not path.is_file():
        raise ExportError(f"{path} must be an ONNX file; there is none (export it first)")
    with TemporaryDirectory(prefix="aebert-") as folder:
        options = session_options(threads)
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "nodes")
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            feed = {node.name: np.asarray(request[node.name], dtype=np.int64) for node in session.get_inputs()}
            for _ in range(warmup + runs):
                session.run(None, feed)
            written = session.end_profiling()
        except Exception as error:  # ONNX Runtime's errors have no common base class
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ExportError(f"{path} can't be timed node by node: {reason} (export it again)") from None
        return read_profile(json.loads(Path(written).read_text(encoding="utf-8")), warmup)


def read_profile(events: Iterable[Mapping[str, Any]], warmup: int) -> tuple[NodeTime, ...]:
    """The nodes in the events of an ONNX Runtime profile, without the first `warmup` runs of each."""
    times: dict[str, list[float]] = defaultdict(list)
    seen: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and str(event["name"]).endswith("_kernel_time"):
            index = event["args"]["node_index"]
            times[index].append(event["dur"] / 1000)
            seen[index] = event["args"]
    return tuple(_node(args, median(times[index][warmup:] or times[index])) for index, args in seen.items())


def _node(args: Mapping[str, Any], milliseconds: float) -> NodeTime:
    op, inputs, outputs = args["op_name"], _shapes(args["input_type_shape"]), _shapes(args["output_type_shape"])
    if op == "MultiHeadAttention" and inputs:
        batch, seq, hidden = inputs[0][:3]
        return NodeTime(op, "attention", milliseconds, 2 * batch * seq * seq * hidden)
    if op in _WHOLE_ATTENTION_OPS:
        (batch, seq, hidden), inner = inputs[0], outputs[0][-1]
        macs = batch * seq * hidden * 3 * inner + 2 * batch * seq * seq * inner
        return NodeTime(op, "products", milliseconds, macs, batch * seq, hidden, 3 * inner)
    if op not in _PRODUCT_OPS:
        return NodeTime(op, "attention" if op in _ATTENTION_OPS else "rest", milliseconds)
    inner, macs = inputs[0][-1], math.prod(outputs[0]) * inputs[0][-1]
    # weights are a matrix, or are not listed because they were packed before the first run
    if len(inputs) > 1 and len(inputs[1]) > 2:
        return NodeTime(op, "attention", milliseconds, macs)
    return NodeTime(op, "products", milliseconds, macs, math.prod(outputs[0][:-1]), inner, outputs[0][-1])


def _shapes(listed: Sequence[Mapping[str, Sequence[int]]]) -> list[list[int]]:
    return [list(next(iter(shape.values()))) for shape in listed]
