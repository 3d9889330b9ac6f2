"""Tiny checkpoints as their owners would have saved them, to be edited by the cases of the tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    BertConfig,
    BertTokenizerFast,
    DistilBertConfig,
    ElectraConfig,
    MobileBertConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaTokenizerFast,
)

from aebert.models.heads import task_class
from aebert.tasks.task import TaskKind, TaskSpec

from ..conftest import VOCABULARY, randomize

SPECS: dict[TaskKind, TaskSpec] = {
    "classification": TaskSpec(
        name="toy",
        kind="classification",
        columns=("text",),
        label_column="label",
        labels=("bad", "so-so", "good"),
        metric="accuracy",
        headline="accuracy",
    ),
    "regression": TaskSpec(
        name="toy",
        kind="regression",
        columns=("text",),
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
        labels=("PER",),
        metric="seqeval",
        headline="f1",
    ),
}
TEXTS = ("the film was good .", "A very dull story, and a poor ending", "great")
_BYTES = ("<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet()), "th", "Ġth", "the", "in")
_MERGES = [("t", "h"), ("Ġ", "th"), ("th", "e"), ("i", "n")]


@cache
def make_tokenizer(family: str, kind: TaskKind = "classification") -> PreTrainedTokenizerBase:
    """Bytes and a few merges for RoBERTa, WordPiece for the others."""
    if family == "roberta":
        vocabulary = {piece: index for index, piece in enumerate(_BYTES)}
        spaces = kind == "ner"
        return RobertaTokenizerFast(vocab=vocabulary, merges=_MERGES, add_prefix_space=spaces, model_max_length=64)
    vocabulary = {piece: index for index, piece in enumerate(VOCABULARY)}
    return BertTokenizerFast(vocab=vocabulary, model_max_length=64)


def make_config(family: str, **values: Any) -> PretrainedConfig:
    """2 layers, 4 heads, hidden 32, FFN 64, 64 positions."""
    vocabulary = len(make_tokenizer(family))
    if family == "distilbert":
        sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 64}
        return DistilBertConfig(**{"vocab_size": vocabulary, **sizes, **values})
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    sizes |= {"vocab_size": vocabulary, "max_position_embeddings": 64}
    if family == "mobilebert":
        sizes |= {"embedding_size": 16, "intra_bottleneck_size": 16, "num_feedforward_networks": 2}
        return MobileBertConfig(**{**sizes, **values})
    if family == "electra":
        return ElectraConfig(**{**sizes, "embedding_size": 16, **values})
    if family == "roberta":
        return RobertaConfig(**{**sizes, "max_position_embeddings": 66, "type_vocab_size": 1, **values})
    return BertConfig(**{**sizes, **values})


def make_model(model_class: type[PreTrainedModel], family: str, **values: Any) -> PreTrainedModel:
    """A model with random weights, in eval mode."""
    return randomize(model_class(make_config(family, **values)), seed=0)


@cache
def fine_tuned(family: str, kind: TaskKind) -> PreTrainedModel:
    """A model with the output layer of a task, and the names of its labels."""
    names = SPECS[kind].output_names
    model = make_model(task_class(family, kind), family, num_labels=len(names))
    if kind == "regression":
        model.config.problem_type = "regression"
    else:
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: index for index, name in enumerate(names)}
    return model


@dataclass(frozen=True)
class Folder:
    """A checkpoint on disk, and how to edit it."""

    path: Path
    family: str

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def stated(self) -> dict[str, Any]:
        """Values of config.json."""
        values: dict[str, Any] = json.loads((self / "config.json").read_text(encoding="utf-8"))
        return values

    def state(self, *dropped: str, **values: Any) -> None:
        """Change config.json, or leave keys out of it."""
        kept = {key: value for key, value in self.stated.items() if key not in dropped}
        (self / "config.json").write_text(json.dumps({**kept, **values}), encoding="utf-8")

    def tensors(self) -> dict[str, torch.Tensor]:
        """Values of model.safetensors."""
        values: dict[str, torch.Tensor] = load_file(self / "model.safetensors")
        return values

    def store(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Write model.safetensors."""
        whole = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
        save_file(whole, self / "model.safetensors", metadata={"format": "pt"})

    def rewrite(self, change: Callable[[str, torch.Tensor], Mapping[str, torch.Tensor]]) -> None:
        """Replace every tensor by what `change` makes of its name and value."""
        self.store({new: value for name, old in self.tensors().items() for new, value in change(name, old).items()})

    def pickle(self, values: Any, name: str = "pytorch_model.bin") -> None:
        """Write pickled values in place of model.safetensors."""
        torch.save(values, self / name)
        (self / "model.safetensors").unlink(missing_ok=True)

    def save(self, model: PreTrainedModel) -> None:
        """Write another model in place of the one that is here."""
        (self / "model.safetensors").unlink()
        model.save_pretrained(self.path)

    def edit(self, name: str, **values: Any) -> None:
        """Change keys of a JSON file."""
        path = self / name
        old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        path.write_text(json.dumps({**old, **values}), encoding="utf-8")

    @property
    def encoder(self) -> str:
        """Prefix of the encoder's tensors."""
        return f"{self.family}."

    def first(self, end: str) -> str:
        """Name of the first tensor with this end."""
        return next(name for name in sorted(self.tensors()) if name.endswith(end))


def save_checkpoint(path: Path, family: str, kind: TaskKind) -> None:
    """Save a fine-tuned model and its tokenizer."""
    fine_tuned(family, kind).save_pretrained(path)
    make_tokenizer(family, kind).save_pretrained(path)


def copy_checkpoint(source: Path, target: Path, family: str) -> Folder:
    """A copy to be edited."""
    shutil.copytree(source, target)
    return Folder(target, family)
