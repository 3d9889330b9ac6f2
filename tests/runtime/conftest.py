"""Bundles of graphs so small that their logits can be worked out by hand: a table of one row per token id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from transformers import BertConfig, PreTrainedTokenizerFast

from aebert.deployment.bundle import BundleSource, write_bundle
from aebert.tasks.task import Row, TaskKind, TaskSpec

INPUTS = ("input_ids", "token_type_ids", "attention_mask")


def lookup_graph(table: np.ndarray, path: Path, *, tokens: bool, opset: int = 20) -> Path:
    """Write a graph whose logits are the rows of `table` [ids, outputs] of the real tokens, or (a row) their sum."""
    nodes = [
        helper.make_node("Unsqueeze", ["attention_mask", "last"], ["column"]),
        helper.make_node("Cast", ["column"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["token_type_ids", "last"], ["types"]),
        helper.make_node("Cast", ["types"], ["second"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["table", "input_ids"], ["found"]),
        helper.make_node("Mul", ["second", "nothing"], ["zero"]),
        helper.make_node("Add", ["found", "zero"], ["taken"]),
        helper.make_node("Mul", ["taken", "mask"], ["logits" if tokens else "each"]),
    ]
    if not tokens:
        nodes.append(helper.make_node("ReduceSum", ["each", "middle"], ["logits"], keepdims=0))
    values = {
        "table": table.astype(np.float32),
        "last": np.array([2]),
        "middle": np.array([1]),
        "nothing": np.zeros(1, dtype=np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "lookup",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "seq"]) for name in INPUTS],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), path)
    return path


SPECS = {
    "classification": TaskSpec(
        name="toy",
        kind="classification",
        columns=("text",),
        label_column="label",
        labels=("bad", "good"),
        metric="accuracy",
        headline="accuracy",
    ),
    "regression": TaskSpec(
        name="pairs",
        kind="regression",
        columns=("one", "two"),
        label_column="label",
        labels=(),
        metric="pearson_spearman",
        headline="spearman",
    ),
    "ner": TaskSpec(
        name="toy",
        kind="ner",
        columns=("words",),
        label_column="tags",
        labels=("PRAISE",),
        metric="seqeval",
        headline="f1",
    ),
}
# what a word adds to the logits; other tokens add nothing
WEIGHTS: dict[str, dict[str, list[float]]] = {
    "classification": {"good": [0, 2], "bad": [1, 0], "nice": [0, 1]},
    "regression": {"good": [1.5], "bad": [-0.5], "the": [0.25]},
    "ner": {"good": [0, 3, 0], "fine": [0, 0, 2], "nice": [0, 1, 0]},
}
ROWS = {
    "classification": [Row(("good film",), 1), Row(("the bad plot",), 0), Row(("a very dull story it was",), 0)],
    "regression": [Row(("good", "the film"), 2.0), Row(("the bad plot", "bad"), 0.0)],
    "ner": [Row(("the", "good", "film"), (0, 1, 0)), Row(("it", "was", "fine", "."), (0, 0, 1, 0))],
}

Source = Callable[..., BundleSource]


@pytest.fixture(scope="session")
def toy_source(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Source:
    """`toy_source(kind)`: what the toy bundle of a kind is made of; further arguments replace its fields."""

    def make(kind: TaskKind = "classification", **changes: Any) -> BundleSource:
        vocabulary = tiny_tokenizer.get_vocab()
        width = len(SPECS[kind].output_names)
        # token types make no difference, and ids of other words add nothing
        table = np.zeros((len(vocabulary), width))
        for word, weights in WEIGHTS[kind].items():
            table[vocabulary[word]] = weights
        graph = lookup_graph(table, tmp_path_factory.mktemp("graph") / "toy.onnx", tokens=kind == "ner")
        values: dict[str, Any] = {
            "name": "toy",
            "graph": graph,
            "reference": None,
            "quantization": "float32",
            "tokenizer": tiny_tokenizer,
            "config": BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64),
            "spec": SPECS[kind],
            "max_length": 16,
            "samples": ROWS[kind],
        }
        return BundleSource(**(values | changes))

    return make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, toy_source: Source) -> dict[str, Path]:
    """One bundle of each kind, and the classifier's as `zip`; not to be changed."""
    folder = tmp_path_factory.mktemp("bundles")
    kinds: tuple[TaskKind, ...] = ("classification", "regression", "ner")
    bundles: dict[str, Path] = {kind: write_bundle(toy_source(kind), folder / kind) for kind in kinds}
    return {**bundles, "zip": write_bundle(toy_source("classification"), folder / "toy.zip")}
