from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import PreTrainedModel

from aebert.deployment import resizing
from aebert.deployment.quantize import quantize_int8
from aebert.deployment.resizing import resizable
from aebert.deployment.session import OnnxModel
from aebert.errors import ConfigError
from aebert.pruning.architecture import Architecture
from aebert.pruning.slicing import Selection, extract

OTHERS = ("roberta", "distilbert", "electra", "mobilebert")
INPUTS = ("input_ids", "token_type_ids", "attention_mask")


def first_units(architecture: Architecture) -> Selection:
    heads = tuple(tuple(range(count)) for count in architecture.heads)
    return Selection(heads, tuple(tuple(range(count)) for count in architecture.ffn))


def logits_of_torch(twin: PreTrainedModel, architecture: Architecture, batch: dict[str, torch.Tensor]) -> np.ndarray:
    small = extract(twin, first_units(architecture))
    with torch.no_grad():
        found: np.ndarray = small(**batch).logits.numpy()
    return found


def logits_of_file(path: Path, batch: dict[str, torch.Tensor]) -> np.ndarray:
    model, ids = OnnxModel(path), batch["input_ids"].numpy()
    feed = {name: batch[name].numpy() if name in batch else np.zeros_like(ids) for name in model.inputs}
    return np.asarray(model.logits(feed))


def test_a_cut_graph_computes_what_the_cut_model_does_in_a_shared_export(
    toy: Any, padded_batch: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resizing, "_twin", lambda model: model)  # its weights are all different too
    monkeypatch.setattr(resizing, "export_onnx", lambda *_, **__: toy.path)
    with resizable(toy.model, INPUTS, int8=False) as graph:
        for heads, ffn in (((4, 4), (64, 64)), ((3, 1), (5, 33)), ((0, 2), (7, 0))):
            path = graph.write(Architecture(heads, ffn), tmp_path / "cut.onnx")
            expected = logits_of_torch(toy.model, Architecture(heads, ffn), padded_batch)
            np.testing.assert_allclose(logits_of_file(path, padded_batch), expected, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "mobilebert"])
def test_a_cut_graph_computes_what_the_cut_model_does(
    family: str, tiny_model: Any, padded_batch: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    model = tiny_model(family)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    twin = resizing._twin(model)
    with resizable(model, INPUTS, int8=False) as graph:
        blocks = len(graph.shape.ffn)
        for heads, ffn in (
            ((4, 4), (64,) * blocks),
            ((3, 1), (5, 33) * (blocks // 2)),
            ((0, 2), (7, 0) * (blocks // 2)),
        ):
            architecture = Architecture(heads, ffn)
            path = graph.write(architecture, tmp_path / "cut.onnx")
            expected = logits_of_torch(twin, architecture, padded_batch)
            np.testing.assert_allclose(logits_of_file(path, padded_batch), expected, atol=2e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.usefixtures("exports_made_once")
def test_a_quantized_graph_cut_is_nearly_a_cut_graph_quantized(
    tiny_model: Any, padded_batch: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    model, architecture = tiny_model("bert"), Architecture((1, 3), (40, 0))
    with resizable(model, INPUTS, int8=False) as graph:
        cut = graph.write(architecture, tmp_path / "cut.onnx")
    quantized = quantize_int8(cut, tmp_path / "cut.int8.onnx")
    with resizable(model, INPUTS, int8=True) as graph:
        path = graph.write(architecture, tmp_path / "int8.onnx")
        with pytest.raises(ConfigError, match=r"heads\[0\] must be in 0..4, got 5"):
            graph.write(Architecture((5, 1), (1, 1)), tmp_path / "no.onnx")
    # scales of a cut column may be of a weight that is gone, so not to the last bit
    np.testing.assert_allclose(
        logits_of_file(path, padded_batch), logits_of_file(quantized, padded_batch), atol=2e-3, rtol=0.05
    )
    graphs = [onnx.load(file).graph for file in (path, quantized)]
    products = [[node.op_type for node in graph.node].count("MatMulInteger") for graph in graphs]
    assert products == [4 + 2 + 4 + 2] * 2  # the last two: pooler and output layer
    matrices = [
        sorted(tuple(one.dims) for one in graph.initializer if one.data_type == onnx.TensorProto.INT8 and one.dims)
        for graph in graphs
    ]
    assert matrices[0] == matrices[1]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cut.int8.onnx", "cut.onnx", "int8.onnx"]
