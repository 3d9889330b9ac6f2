from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from aebert.explain.product_timing import TimedProduct, _graph, time_products


def test_products_are_timed_in_both_precisions() -> None:
    products = [
        TimedProduct(rows=3, inner=16, columns=8, int8=False),
        TimedProduct(rows=3, inner=16, columns=8, int8=True),
    ]
    times = time_products(products, threads=1, runs=5)
    assert list(times) == products
    assert min(times.values()) > 0


def test_nothing_to_time() -> None:
    assert time_products([], threads=1, runs=5) == {}


@pytest.mark.parametrize(("int8", "ops"), [(False, {"MatMul"}), (True, {"DynamicQuantizeLinear", "MatMulInteger"})])
def test_the_graph_computes_that_product_alone(tmp_path: Path, int8: bool, ops: set[str]) -> None:
    model = onnx.load(_graph(TimedProduct(rows=3, inner=16, columns=8, int8=int8), tmp_path / "a.onnx"))
    assert ops <= {node.op_type for node in model.graph.node}
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [3, 16]
    assert any(list(one.dims) == [16, 8] for one in model.graph.initializer)
