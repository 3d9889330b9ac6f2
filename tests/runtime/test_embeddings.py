"""Bundles of embeddings: vectors instead of labels."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from transformers import BertConfig, PreTrainedTokenizerFast

from aebert.deployment.bundle import BundleSource, write_bundle
from aebert.errors import BundleError, ConfigError
from aebert.runtime import EmbeddingPrediction, Model, verify
from aebert.runtime.stream import PredictOptions, predict_rows
from aebert.tasks.task import Row, TaskSpec
from tests.runtime.conftest import WEIGHTS, lookup_graph

WIDTH = 2
POOLING: dict[str, Any] = {"aebert_pooling": "mean", "aebert_normalize": True}


@pytest.fixture
def embedder(tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast) -> Callable[..., BundleSource]:
    """What a bundle is made of whose vectors are sums of words' rows."""

    def make(**changes: Any) -> BundleSource:
        vocabulary = tiny_tokenizer.get_vocab()
        table = np.zeros((len(vocabulary), WIDTH))
        for word, weights in WEIGHTS["classification"].items():
            table[vocabulary[word]] = weights
        graph = lookup_graph(table, tmp_path / "toy.onnx", tokens=False)
        model = onnx.load(graph)
        model.graph.output[0].name = model.graph.node[-1].output[0] = "sentence_embedding"
        onnx.save(model, graph)
        values: dict[str, Any] = {
            "name": "toy",
            "graph": graph,
            "reference": None,
            "quantization": "float32",
            "tokenizer": tiny_tokenizer,
            "config": BertConfig(
                vocab_size=len(vocabulary),
                hidden_size=WIDTH,
                num_attention_heads=1,
                max_position_embeddings=64,
                **POOLING,
            ),
            "spec": TaskSpec("toy", "embedding", ("a", "b"), "score", (), "pearson_spearman", "spearman"),
            "max_length": 16,
            "samples": [Row(("good film",), 0.0), Row(("the bad plot",), 0.0)],
        }
        return BundleSource(**(values | changes))

    return make


def test_texts_become_vectors(embedder: Callable[..., BundleSource], tmp_path: Path) -> None:
    bundle = write_bundle(embedder(), tmp_path / "toy")
    found = Model.load(bundle).predict(["the good film", "bad bad nice"])
    assert all(isinstance(one, EmbeddingPrediction) for one in found)
    assert [one.vector.tolist() for one in found if isinstance(one, EmbeddingPrediction)] == [[0.0, 2.0], [2.0, 1.0]]
    assert found[0].to_dict() == {"embedding": [0.0, 2.0], "truncated": False}
    labels = next(check for check in verify(bundle) if check.name == "labels")
    assert labels.detail == "embedding: an embedding of 2 numbers"


def test_a_graph_of_another_width_is_refused(embedder: Callable[..., BundleSource], tmp_path: Path) -> None:
    config = BertConfig(vocab_size=embedder().config.vocab_size, hidden_size=4, num_attention_heads=1, **POOLING)
    bundle = write_bundle(embedder(), tmp_path / "toy")
    values = json.loads((bundle / "bundle.json").read_text())
    assert (values["format"], values["task"]["hidden"], values["task"]["columns"]) == (3, WIDTH, ["a"])
    with pytest.raises(Exception, match="must give an embedding of 4 numbers, it gives 2"):
        write_bundle(embedder(config=config), tmp_path / "other")
    (bundle / "bundle.json").write_text(json.dumps({**values, "task": {**values["task"], "hidden": 0}}))
    with pytest.raises(BundleError, match=r"task.hidden must be above 0"):
        Model.load(bundle, check=False)


def _predicted(bundle: Path, lines: str, tmp_path: Path, capfdbinary: Any, **options: Any) -> bytes:
    (tmp_path / "in.txt").write_text(lines)
    predict_rows(PredictOptions(bundle, tmp_path / "in.txt", **options))
    content: bytes = capfdbinary.readouterr().out
    return content


def test_vectors_as_an_array_and_as_lines(
    embedder: Callable[..., BundleSource], tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    bundle, lines = write_bundle(embedder(), tmp_path / "toy"), "good\n\nbad bad\n"
    array = np.load(io.BytesIO(_predicted(bundle, lines, tmp_path, capfdbinary, format="npy")))
    assert array.dtype == np.float32
    assert np.isnan(array[1]).all()  # an empty row has no vector, and keeps its place
    assert array[[0, 2]].tolist() == [[0.0, 2.0], [2.0, 0.0]]
    found = [json.loads(line) for line in _predicted(bundle, lines, tmp_path, capfdbinary).splitlines()]
    assert [row and row["embedding"] for row in found] == [[0.0, 2.0], None, [2.0, 0.0]]
    assert _predicted(bundle, "good\n", tmp_path, capfdbinary, format="tsv") == b"0.0\t2.0\n"


def test_an_array_is_of_embeddings_only(made: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="format npy is for embeddings, bundle toy is of kind classification"):
        predict_rows(PredictOptions(made["classification"], format="npy"))
