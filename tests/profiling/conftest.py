from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A file with the inputs and output of an exported token classifier: logits are rows of a table."""
    table = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    ids, mask = (helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "s"]) for name in NAMES)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", "s", 5])
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["rows", "wide"], ["logits"]),
    ]
    constants = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([-1]), "last")]
    graph = helper.make_graph(nodes, "tiny", [ids, mask], [logits], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path = tmp_path / "tiny.onnx"
    onnx.save(model, path)
    return path


NAMES = ("input_ids", "attention_mask")
