"""Toys shared by all tests: tiny models of every family, a tokenizer, tasks of a few rows, a board."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from filelock import FileLock
from onnx import TensorProto, helper, numpy_helper
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    BertTokenizerFast,
    DistilBertConfig,
    ElectraConfig,
    MobileBertConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from aebert.deployment.onnx_export import export_onnx
from aebert.digests import weights_digest
from aebert.tasks.task import Row, TaskKind, TaskSpec

GOOD = ("good", "fine", "great", "nice")
BAD = ("bad", "poor", "awful", "dull")
FILLERS = ("the", "film", "is", "a", "very", "story", "and", "cast", "with", "plot", "it", "was", "ending", "of")
WORDS = (*GOOD, *BAD, *FILLERS, *"bcdefghijklmnopqrstuvwxyz", "##s", "##ing", "##ed", ".", ",")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)


def _sizes() -> dict[str, Any]:
    """2 layers, 4 heads, hidden 32, FFN 64."""
    return {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
    }


def _config(family: str) -> PretrainedConfig:
    sizes = _sizes()
    if family == "distilbert":
        del sizes["intermediate_size"], sizes["hidden_size"], sizes["num_hidden_layers"], sizes["num_attention_heads"]
        return DistilBertConfig(**sizes, dim=32, n_layers=2, n_heads=4, hidden_dim=64)
    if family == "mobilebert":  # 2 of its layers' 3 FFNs are in the stack; head size 16 / 4
        return MobileBertConfig(
            **sizes, embedding_size=16, intra_bottleneck_size=16, num_feedforward_networks=3, classifier_activation=True
        )
    if family == "electra":
        return ElectraConfig(**sizes, embedding_size=16)
    return {"bert": BertConfig, "roberta": RobertaConfig}[family](**sizes)


def randomize(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """Random norms and biases too: ones and zeros would hide a lost norm or bias."""
    generator = torch.Generator().manual_seed(seed)
    scale = 0.15 if model.config.model_type == "mobilebert" else 0.3  # it does not normalise, so values would grow
    for name, parameter in model.named_parameters():
        centre = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0
        parameter.data = centre + scale * torch.randn(parameter.shape, generator=generator)
    # as transformers initialises it; MobileBERT adds the neighbours' embeddings, so padding would show otherwise
    model.get_input_embeddings().weight.data[0] = 0.0
    return model.eval()


TinyModel = Callable[..., PreTrainedModel]


@pytest.fixture(scope="session")
def tiny_model() -> TinyModel:
    """`tiny_model(family, head="sequence", labels=3, seed=0)`: a random model of its own, in eval mode."""

    def make(family: str = "bert", head: str = "sequence", labels: int = 3, seed: int = 0) -> PreTrainedModel:
        auto = {"sequence": AutoModelForSequenceClassification, "token": AutoModelForTokenClassification}[head]
        config = _config(family)
        config.num_labels = labels
        return randomize(auto.from_config(config), seed)

    return make


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """WordPiece; ids are the places in `VOCABULARY`."""
    return BertTokenizerFast(vocab={piece: index for index, piece in enumerate(VOCABULARY)}, model_max_length=64)


@pytest.fixture(scope="session")
def padded_batch() -> dict[str, torch.Tensor]:
    """Rows of 12, 7 and 3 real tokens; every family takes these inputs."""
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(12) < torch.tensor([[12], [7], [3]])).long()
    return {
        "input_ids": torch.randint(3, len(VOCABULARY), (3, 12), generator=generator) * mask,
        "attention_mask": mask,
    }


LABELS: dict[str, tuple[str, ...]] = {"classification": ("bad", "good"), "regression": (), "ner": ("PRAISE",)}
METRIC = {"classification": "accuracy", "regression": "pearson_spearman", "ner": "seqeval"}
HEADLINE = {"classification": "accuracy", "regression": "spearman", "ner": "f1"}


def _row(kind: TaskKind, index: int, generator: torch.Generator) -> Row:
    """A sentence with one word of praise or blame at a random place."""
    fill = torch.randint(len(FILLERS), (3 + index % 5,), generator=generator).tolist()
    words = [FILLERS[place] for place in fill]
    good = index % 2
    words.insert(index % len(words), (BAD, GOOD)[good][index // 2 % 4])
    source = f"toy:{index}"
    if kind == "ner":
        return Row(text=tuple(words), label=tuple(int(word in GOOD) for word in words), source=source)
    return Row(text=(" ".join(words),), label=good if kind == "classification" else float(good), source=source)


TinyTask = Callable[..., tuple[TaskSpec, list[Row]]]


@pytest.fixture(scope="session")
def tiny_task() -> TinyTask:
    """`tiny_task(kind, rows=32)`: spec and rows; one word of each row tells its label."""

    def make(kind: TaskKind = "classification", rows: int = 32) -> tuple[TaskSpec, list[Row]]:
        column = "words" if kind == "ner" else "text"
        spec = TaskSpec(
            name="toy",
            kind=kind,
            columns=(column,),
            label_column="label",
            labels=LABELS[kind],
            metric=METRIC[kind],
            headline=HEADLINE[kind],
        )
        generator = torch.Generator().manual_seed(3)
        return spec, [_row(kind, index, generator) for index in range(rows)]

    return make


@pytest.fixture
def board(tmp_path: Path) -> Callable[..., Path]:
    """`board(**estimate)`: the file of a device with round times for BERT of 2 layers, 4 heads, 32 hidden and 64 FFN.

    At 16 tokens an attention block takes 16 · 4 · 32 · 8 + 2 · 16 · 16 · 8 = 20,480 MACs a head, an FFN block
    16 · 2 · 32 = 1,024 a neuron. int8: 20,480 MACs a ms, so 1 ms a head and 0.05 ms a neuron; float32: half as fast.
    1 ms for each block that is not empty, and 2 ms for a request.
    """

    def make(name: str = "toy-board", **estimate: Any) -> Path:
        roofline = {
            "kind": "roofline",
            "cores": 1,
            "threads": 1,
            "clock_ghz": 1,
            "macs_per_cycle": {"int8": 0.02048, "float32": 0.01024},
            "efficiency": {"int8": 1, "float32": 1},
            "memory_gb_per_s": 1000,
            "block_overhead_us": 1000,
            "fixed_us": 2000,
        }
        # 8 tokens through BERT-base: 12 · (18,972,672 + 37,748,736) MACs are 33,235.2 ms, 24 blocks and the request 26
        one = {"model": "bert-base", "milliseconds": 66522.4, "is": "measured", "length": 8, "precision": "int8"}
        values = {
            "name": name,
            "source": "made up",
            "assumptions": ["it never throttles"],
            "estimate": {**roofline, **estimate},
            "published": [{**one, "source": "made up"}] if "int8" in estimate.get("efficiency", ["int8"]) else [],
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    return make


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A file with the inputs and output of an exported token classifier: logits are rows of a table."""
    table = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    ids, mask = (
        helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "s"]) for name in ("input_ids", "attention_mask")
    )
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


@pytest.fixture(scope="session")
def made(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Any, tiny_tokenizer: Any, tiny_task: Any
) -> dict[str, Path]:
    """Checkpoints and data, made once; tests get links to them."""
    root = tmp_path_factory.mktemp("made")
    model = tiny_model("bert", labels=2)
    model.base_model.save_pretrained(root / "my-encoder")
    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    _train(model, tiny_tokenizer, tiny_task("classification", 240)[1])
    model.save_pretrained(root / "my-checkpoint")
    for folder in ("my-checkpoint", "my-encoder"):
        tiny_tokenizer.save_pretrained(root / folder)
    _write_data(root / "data", tiny_task)
    return {name: root / name for name in ("my-checkpoint", "my-encoder", "data")}


def _train(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: Sequence[Row]) -> None:
    """Teach a model of its own to tell blame from praise: a run refuses fine-tuned models that only guess."""
    texts = [_review(index, row) for index, row in enumerate(rows)]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    labels = torch.tensor([row.label for row in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(**inputs).logits, labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _review(index: int, row: Row) -> str:
    # the number keeps rows of different splits different, as roles drop texts that they share
    return f"{row.text[0]} {chr(98 + index % 24)} {chr(98 + index // 24)}"


def _write_data(folder: Path, tiny_task: Any) -> None:
    folder.mkdir()
    sizes = {"train": slice(0, 48), "dev": slice(48, 84), "test": slice(84, 120)}
    _, reviews = tiny_task("classification", 120)
    spec, sentences = tiny_task("ner", 120)
    for split, part in sizes.items():
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = [(_review(index, row), ("bad", "good")[int(row.label)]) for index, row in enumerate(reviews)][part]
            csv.writer(file).writerows([("review", "stars"), *rows])
        blocks = [
            "".join(f"{word}\t{spec.tags[tag]}\n" for word, tag in zip(row.text, row.label, strict=True))
            + f"{chr(98 + index % 24)}\tO\n{chr(98 + index // 24)}\tO\n"
            for index, row in enumerate(sentences)
        ][part]
        (folder / f"{split}.conll").write_text("\n".join(blocks), encoding="utf-8")


@pytest.fixture(scope="session")
def export_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`export_onnx`, but a model that was exported before is not traced again, which takes seconds: its file is copied.

    The workers of a test run share the files.
    """
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "exports"
    folder.mkdir(exist_ok=True)

    def export(model: PreTrainedModel, input_names: Sequence[str], path: Path, **options: Any) -> Path:
        config = {key: value for key, value in model.config.to_dict().items() if key != "_name_or_path"}
        whole = [str(type(model)), config, weights_digest(model), [*input_names], options]
        name = hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()
        made = folder / f"{name}.onnx"
        with FileLock(folder / f"{name}.lock"):
            if not made.exists():
                export_onnx(model, input_names, made, **options)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, path)
        return path

    return export


@pytest.fixture
def exports_made_once(export_once: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is done with files. Those of the export itself, in tests/deployment, make their own."""
    for module in ("aebert.run.forms", "aebert.deployment.fusion", "aebert.deployment.resizing"):
        monkeypatch.setattr(f"{module}.export_onnx", export_once)
