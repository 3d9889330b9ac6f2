from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aebert.errors import ExportError
from aebert.explain.node_times import NodeTime, node_times, read_profile

from .speed_graphs import graph

REQUEST = {"input_ids": np.ones((2, 5), dtype=np.int64)}


def event(
    index: int, op: str, us: int, inputs: list[list[int]], output: list[int], kind: str = "float"
) -> dict[str, Any]:
    args = {
        "op_name": op,
        "node_index": str(index),
        "input_type_shape": [{kind: shape} for shape in inputs],
        "output_type_shape": [{"float": output}],
    }
    return {"cat": "Node", "name": f"{op}_kernel_time", "dur": us, "args": args}


@pytest.mark.parametrize(
    ("op", "inputs", "output", "wanted"),
    [
        # weights that were packed before are not listed
        (
            "MatMul",
            [[2, 5, 32]],
            [2, 5, 7],
            NodeTime(op="MatMul", group="products", milliseconds=0.004, macs=2240, rows=10, inner=32, columns=7),
        ),
        (
            "Gemm",
            [[2, 32], [7, 32], [7]],
            [2, 7],
            NodeTime(op="Gemm", group="products", milliseconds=0.004, macs=448, rows=2, inner=32, columns=7),
        ),
        (
            "DynamicQuantizeMatMul",
            [[1, 5, 32], [32, 7]],
            [1, 5, 7],
            NodeTime(
                op="DynamicQuantizeMatMul", group="products", milliseconds=0.004, macs=1120, rows=5, inner=32, columns=7
            ),
        ),
        # scores: [batch, heads, seq, size] by [batch, heads, size, seq]
        (
            "FusedMatMul",
            [[2, 3, 5, 8], [2, 3, 8, 5]],
            [2, 3, 5, 5],
            NodeTime(op="FusedMatMul", group="attention", milliseconds=0.004, macs=1200),
        ),
        (
            "MultiHeadAttention",
            [[2, 5, 24]] * 3,
            [2, 5, 24],
            NodeTime(op="MultiHeadAttention", group="attention", milliseconds=0.004, macs=2400),
        ),
        # projections 2 · 5 · 32 · 3 · 24, scores and sum 2 · 2 · 5 · 5 · 24
        (
            "Attention",
            [[2, 5, 32], [32, 72]],
            [2, 5, 24],
            NodeTime(op="Attention", group="products", milliseconds=0.004, macs=25440, rows=10, inner=32, columns=72),
        ),
        ("Softmax", [[2, 3, 5, 5]], [2, 3, 5, 5], NodeTime(op="Softmax", group="attention", milliseconds=0.004)),
        ("Gather", [[8, 32], [2, 5]], [2, 5, 32], NodeTime(op="Gather", group="rest", milliseconds=0.004)),
    ],
)
def test_what_a_node_computes_by_hand(op: str, inputs: list[list[int]], output: list[int], wanted: NodeTime) -> None:
    assert read_profile([event(0, op, 4, inputs, output)], 0) == (wanted,)


def test_times_are_medians_without_the_first_runs() -> None:
    runs = [event(3, "Relu", us, [[2]], [2]) for us in (900, 10, 30, 20)]
    other = {"cat": "Session", "name": "model_run", "dur": 5, "args": {}}
    fence = {**event(3, "Relu", 7000, [[2]], [2]), "name": "Relu_fence_before"}
    (node,) = read_profile([other, fence, *runs], warmup=1)
    assert node.milliseconds == pytest.approx(0.020)


def test_nodes_of_one_kind_stay_apart() -> None:
    nodes = read_profile([event(1, "Relu", 5, [[2]], [2]), event(2, "Relu", 7, [[2]], [2])], 0)
    assert [node.milliseconds for node in nodes] == pytest.approx([0.005, 0.007])


def test_a_real_graph_is_seen_as_it_is_executed(tmp_path: Path) -> None:
    nodes = node_times(graph(tmp_path / "a.onnx", [48, 16], attention=True), REQUEST, threads=1, runs=3)
    products = [node for node in nodes if node.group == "products"]
    assert [(node.rows, node.inner, node.columns) for node in products] == [
        (10, 32, 48),
        (10, 48, 32),
        (10, 32, 16),
        (10, 16, 32),
    ]
    assert sum(node.macs for node in nodes) == 2 * 10 * 32 * (48 + 16) + 2 * 2 * 2 * 5 * 5 * 32
    ops = [node.op for node in nodes]
    assert ops.count("SkipLayerNormalization") == 2  # fused by ONNX Runtime itself
    assert ops.count("MultiHeadAttention") == 2
    assert all(node.milliseconds > 0 for node in nodes if node.macs)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = graph(tmp_path / "a.onnx", [16])
    monkeypatch.chdir(tmp_path)
    node_times(path, REQUEST, threads=1, runs=1)
    assert [one.name for one in tmp_path.iterdir()] == ["a.onnx"]


def test_a_file_that_is_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"none\.onnx must be an ONNX file; there is none"):
        node_times(tmp_path / "none.onnx", REQUEST, threads=1, runs=1)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(
        ExportError, match=r"broken\.onnx can't be timed node by node: .* \(export it again\)$"
    ) as caught:
        node_times(broken, REQUEST, threads=1, runs=1)
    assert "\n" not in str(caught.value)
