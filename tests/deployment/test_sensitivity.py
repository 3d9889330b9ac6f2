from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aebert.deployment.quantize import DynamicInt8, QuantizeOptions, Source
from aebert.deployment.sensitivity import fewest, suspects, worst


def test_bad_nodes_are_found_with_few_questions() -> None:
    sizes = {f"n{index}": 0.001 for index in range(64)} | {"n7": 3.0, "n50": 9.0}
    asked: list[int] = []

    def error(nodes: Sequence[str]) -> float:
        asked.append(len(nodes))
        return sum(sizes[node] for node in nodes)

    assert worst(error, list(sizes)) == [("n50", 9.0), ("n7", 3.0)]
    assert len(asked) <= 1 + 2 * 2 * 6  # two nodes, log2(64) halvings, two halves each


def test_equal_nodes_are_all_suspects_and_no_error_has_none() -> None:
    assert [node for node, _ in worst(lambda nodes: float(len(nodes)), list("abcd"))] == list("abcd")
    assert worst(lambda nodes: 0.0, list("abcd")) == []
    assert worst(lambda nodes: 1.0, []) == []


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20))
def test_no_node_with_a_tenth_of_the_error_is_missed(sizes: list[float]) -> None:
    def error(nodes: Sequence[str]) -> float:
        return sum(sizes[int(node)] for node in nodes)

    found = dict(worst(error, [str(index) for index in range(len(sizes))]))
    assert {str(index) for index, size in enumerate(sizes) if size > 0.1 * sum(sizes)} <= found.keys()
    assert list(found.values()) == sorted(found.values(), reverse=True)


@given(st.integers(1, 40), st.integers(1, 60))
def test_the_fewest_are_found(needed: int, most: int) -> None:
    tried: list[int] = []

    def is_enough(count: int) -> bool:
        tried.append(count)
        return count >= needed

    assert fewest(is_enough, most) == (needed if needed <= most else None)
    assert max(tried) <= most
    assert len(tried) == len(set(tried))


@pytest.fixture
def spoilt(exported: Any, tmp_path: Path) -> Path:
    """The file with a huge weight in the first value projection, for an input that is always 0.

    In float32 it does nothing; but a scale for the whole matrix leaves no resolution for the other weights.
    """
    model = onnx.load(exported.path)
    node = next(node for node in model.graph.node if node.op_type == "MatMul" and _reads_bias(model, node, "value"))
    _set(model, "model.bert.embeddings.LayerNorm.weight", 5, 0.0)
    _set(model, "model.bert.embeddings.LayerNorm.bias", 5, 0.0)
    _set(model, node.input[1], 5, 1000.0)
    path = tmp_path / "spoilt.onnx"
    onnx.save(model, path)
    return path


def _set(model: onnx.ModelProto, name: str, row: int, value: float) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[row] = value
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))


def _reads_bias(model: onnx.ModelProto, product: onnx.NodeProto, name: str) -> bool:
    readers = [node for node in model.graph.node if product.output[0] in node.input]
    return any(f".{name}." in one for node in readers for one in node.input)


def test_the_layer_that_suffers_is_named(spoilt: Path, batch: dict[str, torch.Tensor]) -> None:
    feeds = [{name: tensor.numpy() for name, tensor in batch.items() if name != "labels"}]
    form = DynamicInt8(per_channel=False)
    source = Source.load(spoilt)
    found = suspects(form, source, QuantizeOptions(feeds), spoilt)
    assert found[0].layer == "bert.encoder.layer.0.attention.self.value"
    assert found[0].error > 2 * sum(one.error for one in found[1:])
    excluded = QuantizeOptions(feeds, exclude=frozenset({found[0].node}))
    assert all(one.layer != found[0].layer for one in suspects(form, source, excluded, spoilt))


def test_errors_are_those_of_logits(exported: Any, batch: dict[str, torch.Tensor]) -> None:
    feeds = [{name: tensor.numpy() for name, tensor in batch.items() if name != "labels"}]
    for one in suspects(DynamicInt8(), Source.load(exported.path), QuantizeOptions(feeds), exported.path):
        assert 0 < one.error < np.inf
