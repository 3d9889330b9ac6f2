"""A bundle as a model folder that other programs load: nothing of `aebert` computes what is compared here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer, BertConfig, DistilBertConfig, PreTrainedModel

from aebert.deployment.bundle import BundleSource, write_bundle
from aebert.deployment.hub_layout import hub_files
from aebert.models.pooling import Pooling, read_pooling
from aebert.runtime import ClassPrediction, Model
from aebert.tasks.task import Row, TaskSpec

DENSE = {"heads": [4, 4], "ffn": [64, 64]}
FACTS: dict[str, Any] = {
    "architecture": {
        "model": "my-model",
        "family": "bert",
        "hidden": 32,
        "head_size": 8,
        "heads": [3, 1],
        "ffn": [48, 48],
        "dense": DENSE,
    },
    "scores": {
        "rows_of": "report",
        "rows": 1379,
        "metrics": {"accuracy": 0.9123, "f1": 0.8},
        "interval": [0.9, 0.925],
    },
    "profile": {"p50_ms": 1.234, "p90_ms": 2.5, "threads": 1, "batch_size": 1, "size_bytes": 2_500_000},
    "machine": {"cpu": "Some CPU"},
    "provenance": {
        "study": "toy",
        "seed": 0,
        "dense_weights": "abcd",
        "config": "ef01",
        "data": {"train": "2" * 64, "report": "3" * 64},
    },
    "license": "apache-2.0",
}


@pytest.fixture
def folder(toy: Any, tiny_tokenizer: Any, tiny_task: Callable[..., Any], tmp_path: Path) -> Path:
    """The bundle of a toy classifier."""
    spec, rows = tiny_task("classification", 24)
    toy.model.config.id2label = dict(enumerate(spec.labels))
    toy.model.config.label2id = {name: index for index, name in enumerate(spec.labels)}
    source = BundleSource("toy", toy.path, None, "float32", tiny_tokenizer, toy.model.config, spec, 16, rows, FACTS)
    return write_bundle(source, tmp_path / "toy")


def test_onnxruntime_and_tokenizers_alone_predict_the_same(folder: Path) -> None:
    texts = ["the film is good", "a very dull story and the cast it was awful " * 3]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer.enable_truncation(settings["model_max_length"])
    labels = json.loads((folder / "config.json").read_text())["id2label"]
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx")
    for text, mine in zip(texts, Model.load(folder).predict(texts, batch=1), strict=True):
        found = tokenizer.encode(text)
        feed = {"input_ids": found.ids, "attention_mask": found.attention_mask, "token_type_ids": found.type_ids}
        (logits,) = session.run(None, {name: np.array([ids]) for name, ids in feed.items()})
        assert isinstance(mine, ClassPrediction)
        assert labels[str(int(logits[0].argmax()))] == mine.label
        shares = np.exp(logits[0]) / np.exp(logits[0]).sum()
        assert list(mine.probabilities.values()) == pytest.approx(shares.tolist(), abs=1e-6)


def test_transformers_reads_config_and_tokenizer(folder: Path, tiny_tokenizer: Any) -> None:
    config = AutoConfig.from_pretrained(folder)
    assert (config.model_type, config.id2label) == ("bert", {0: "bad", 1: "good"})
    # heads differ, so the dense number stays, and what is true is said beside it; the width is the same in all layers
    assert (config.num_attention_heads, config.aebert_heads) == (4, [3, 1])
    assert (config.intermediate_size, config.aebert_ffn) == (48, [48, 48])
    again = AutoTokenizer.from_pretrained(folder)
    assert again.model_max_length == 16
    long = "a very dull story and the cast it was awful " * 3
    assert (
        again(long, truncation=True)["input_ids"] == tiny_tokenizer(long, truncation=True, max_length=16)["input_ids"]
    )


def test_the_card_says_what_is_known(folder: Path) -> None:
    _, matter, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    stated = yaml.safe_load(matter)
    assert (stated["pipeline_tag"], stated["license"]) == ("text-classification", "apache-2.0")
    for fact in (
        *("| accuracy | 91.2 | 90.0–92.5 |", "| f1 | 80.0 | – |", "1,379 report rows", "| attention 1 | 3 | 4 |"),
        *("`my-model`", "1.23 ms", "2.5 MB", "Some CPU", "report `3333333333333333`", "`onnx/model.onnx` (float32)"),
    ):  # fmt: skip
        assert fact in text


def _config_of(config: Any, architecture: dict[str, Any] | None, tokenizer: Any, spec: TaskSpec) -> dict[str, Any]:
    values = {**FACTS, "name": "toy", "architecture": architecture, "text": {"max_length": 16},
              "task": {"kind": spec.kind, "name": "toy", "labels": [], "hidden": 32, "headline": spec.headline},
              "graph": {"file": "onnx/model.onnx", "quantization": "float32"}}  # fmt: skip
    stated: dict[str, Any] = json.loads(hub_files(config, spec, tokenizer, 16, values)["config.json"])
    return stated


def test_a_cut_states_its_layers_and_uneven_widths_their_own(tiny_tokenizer: Any) -> None:
    spec = TaskSpec("toy", "regression", ("text",), "score", (), "pearson_spearman", "spearman")
    base = {**FACTS["architecture"]}
    cut = _config_of(BertConfig(num_hidden_layers=2), {**base, "heads": [4], "ffn": [64]}, tiny_tokenizer, spec)
    assert (cut["num_hidden_layers"], cut["intermediate_size"]) == (1, 64)
    uneven = _config_of(DistilBertConfig(hidden_dim=64), {**base, "ffn": [3, 64]}, tiny_tokenizer, spec)
    assert (uneven["hidden_dim"], uneven["n_layers"], uneven["aebert_ffn"]) == (64, 2, [3, 64])
    dense = _config_of(BertConfig(), {**base, **DENSE}, tiny_tokenizer, spec)
    assert "aebert_ffn" not in dense
    assert not {"_name_or_path", "dtype"} & dense.keys()


def test_an_embedder_has_the_files_of_sentence_transformers(
    tiny_model: Callable[..., PreTrainedModel], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    spec = TaskSpec("toy", "embedding", ("sentence",), "", (), "agreement", "agreement")
    config = tiny_model("bert").config
    config.aebert_pooling, config.aebert_normalize = "cls", False
    near = {"agreement": 0.97, "agreement_interval": None, "overlap": 0.8, "overlap_interval": [0.7, 0.9],
            "texts": 40, "hits": 10, "corpus": "mine.txt"}  # fmt: skip
    scores = {"rows_of": "report", "rows": 9, "metrics": {"agreement": 0.97}, "interval": None, "embeddings": near}
    values = {**FACTS, "name": "toy", "scores": scores, "text": {"max_length": 16},
              "task": {"kind": "embedding", "name": "toy", "labels": [], "hidden": 32, "headline": "agreement"},
              "graph": {"file": "onnx/model.onnx", "quantization": "float32"}}  # fmt: skip
    files = hub_files(config, spec, tiny_tokenizer, 16, values)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert read_pooling(tmp_path, spec) == Pooling("cls", False, "modules.json")
    assert json.loads(files["sentence_bert_config.json"])["max_seq_length"] == 16
    stated = json.loads(files["config.json"])
    assert (stated["architectures"], "id2label" in stated, "aebert_pooling" in stated) == (["BertModel"], False, False)
    assert (
        "| first 10 hits shared with it, among 40 texts of mine.txt | 80.0 | 70.0–90.0 |" in files["README.md"].decode()
    )


def test_rows_and_folders_stay_at_home(folder: Path, tiny_task: Callable[..., Any]) -> None:
    rows: list[Row] = tiny_task("classification", 24)[1]
    for path in folder.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert str(folder.parent) not in text
        assert not any(str(row.text[0]) in text for row in rows)
