"""Time single matrix products, to see what a width or a precision costs on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from aebert.deployment.quantize import quantize_int8
from aebert.explain.node_times import session_options
from aebert.profiling.sampling import Meter, interleave, spread

OPSET, IR_VERSION = 18, 10


@dataclass(frozen=True)
class TimedProduct:
    """A product of [rows, inner] by weights [inner, columns]. int8: as dynamic quantization computes it."""

    rows: int
    inner: int
    columns: int
    int8: bool


def time_products(
    products: Sequence[TimedProduct], *, threads: int, runs: int, meter: Meter | None = None
) -> dict[TimedProduct, float]:
    """Median milliseconds of each product, all interleaved; each is a separate graph with random weights."""
    if not products:
        return {}
    with TemporaryDirectory(prefix="aebert-") as folder:
        sessions = {
            str(index): _Runner(_graph(product, Path(folder) / f"{index}.onnx"), product, threads)
            for index, product in enumerate(products)
        }
        samples = interleave(sessions, [None], spread(1, runs), warmup=[0] * 3, meter=meter)
    return {product: median(samples.milliseconds[str(index)]) for index, product in enumerate(products)}


class _Runner:
    """Runs one graph on the same values every time."""

    def __init__(self, path: Path, product: TimedProduct, threads: int) -> None:
        self._session = onnxruntime.InferenceSession(
            str(path), session_options(threads), providers=["CPUExecutionProvider"]
        )
        values: NDArray[np.float32] = _random(product.rows, product.inner)
        self._feed: Mapping[str, NDArray[np.float32]] = {"a": values}

    def __call__(self, request: None, /) -> object:
        return self._session.run(None, self._feed)


def _graph(product: TimedProduct, path: Path) -> Path:
    a = helper.make_tensor_value_info("a", TensorProto.FLOAT, [product.rows, product.inner])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [product.rows, product.columns])
    weights = numpy_helper.from_array(_random(product.inner, product.columns), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "w"], ["y"], "product")], "product", [a], [y], [weights]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION), path)
    return quantize_int8(path, path.with_suffix(".int8.onnx")) if product.int8 else path


def _random(rows: int, columns: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((rows, columns), dtype=np.float32)
