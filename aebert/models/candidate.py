"""A checkpoint as it lies in its folder, read piece by piece as the checks ask for it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from aebert.errors import ModelError
from aebert.models.embedding import set_pooling
from aebert.models.families import FAMILIES, Family
from aebert.models.heads import (
    Head,
    Train,
    base_class,
    decide_head,
    head_classes,
    stored_class,
    task_class,
    tensor_shapes,
    unlabelled_classes,
)
from aebert.models.loading import quiet_loading
from aebert.models.outputs import DEFAULT_OUTPUTS, Outputs, stated_outputs
from aebert.models.pooling import Pooling, read_pooling
from aebert.models.settings import build_config
from aebert.models.vocabulary import load_tokenizer
from aebert.models.weights import Weights, read_weights
from aebert.tasks.task import TaskSpec

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Candidate:
    """A checkpoint that is to be a task's dense model. Every part is read once, when it is first asked for.

    path: as the user gave it. stated: values of config.json. given: names of the outputs that the user states.
    labels_stated: whether the user states the task's labels in the order of their ids.
    max_length: most tokens of a row, None when nothing will be encoded. seed: of a new output layer.
    """

    path: str
    folder: Path
    stated: Mapping[str, Any]
    spec: TaskSpec
    given: Sequence[str] | None
    labels_stated: bool
    train: Train
    max_length: int | None
    seed: int

    @cached_property
    def family(self) -> Family:
        """The family that config.json names."""
        name = str(self.stated.get("model_type"))
        if name not in FAMILIES:
            pruned = name.startswith("aebert-")
            fix = (
                "give the dense model it was pruned from" if pruned else "choose a checkpoint of one of these families"
            )
            raise ModelError(f"model family must be one of {', '.join(FAMILIES)}, got {name!r}; {fix}")
        return FAMILIES[name]

    @cached_property
    def stored(self) -> type[PreTrainedModel]:
        """The class that the checkpoint was saved from."""
        return stored_class(self.stated, self.family.model_type)

    @cached_property
    def outputs(self) -> Outputs:
        """The outputs that config.json describes."""
        return stated_outputs(self.stated)

    @cached_property
    def head(self) -> Head:
        """The output layer that the task's model gets."""
        return decide_head(self.stated, self.stored, self.spec, self.given, self.labels_stated, self.train)

    @cached_property
    def config(self) -> PretrainedConfig:
        """The config of the task's model."""
        return self._config(self.spec.num_outputs)

    def _config(self, outputs: int) -> PretrainedConfig:
        config = build_config(self.stated, self.family.model_type, outputs)
        if self.pooling is not None:
            set_pooling(config, self.pooling)
        return config

    @cached_property
    def pooling(self) -> Pooling | None:
        """How embeddings are made of hidden states; None for other tasks."""
        return read_pooling(self.folder, self.spec) if self.spec.kind == "embedding" else None

    @cached_property
    def weights(self) -> Weights:
        """The tensors of the folder."""
        return read_weights(self.folder)

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors by the names that the task's model has for them."""
        backbone, named = self.family.backbone, {}
        base = self._shapes_of(base_class(self.family.model_type))
        for name, tensor in self.weights.tensors.items():
            new = re.sub(r"\bLayerNorm\.(gamma|beta)$", _new_name, name)
            new = f"{backbone}.{new}" if f"{backbone}.{new}" in base else new
            if new in named:
                raise ModelError(f"weights must hold each tensor once, they hold {new} twice; save the model again")
            named[new] = tensor
        return named

    def _shapes_of(self, model: type[PreTrainedModel], outputs: int = DEFAULT_OUTPUTS) -> Shapes:
        """Names and shapes of a class's tensors, by the settings of the checkpoint. Raises: ModelError."""
        return tensor_shapes(model, self._config(outputs))

    @cached_property
    def explained(self) -> frozenset[str]:
        """Names of tensors that the checkpoint may hold.

        These are those of the class it was saved from and of its encoder, and with a class for pre-training those of
        the others, since config.json often names another one than the weights are of.
        """
        kind = head_classes(self.family.model_type)[self.stored.__name__]
        classes = [base_class(self.family.model_type)]
        classes += unlabelled_classes(self.family.model_type) if kind == "none" else []
        of_task = self.stored is task_class(self.family.model_type, self.spec.kind)
        stored = self.shapes if of_task else self._shapes_of(self.stored)
        return frozenset(stored).union(*(self._shapes_of(one) for one in classes))

    @cached_property
    def shapes(self) -> Shapes:
        """Tensors of the task's model."""
        return self._shapes_of(task_class(self.family.model_type, self.spec.kind), self.spec.num_outputs)

    @cached_property
    def needed(self) -> Shapes:
        """Tensors that the checkpoint must hold: all of the task's model, or its encoder where the output layer is new.

        A new output layer may come with a new pooler, which is part of what classifies.
        """
        backbone = f"{self.family.backbone}."
        encoder = {
            name for name in self.shapes if name.startswith(backbone) and not name.startswith(f"{backbone}pooler.")
        }
        return {name: shape for name, shape in self.shapes.items() if self.head.kept or name in encoder}

    @cached_property
    def taken(self) -> dict[str, torch.Tensor]:
        """Tensors of the checkpoint that the task's model starts from."""
        of_model = (
            self.shapes
            if self.head.kept
            else [one for one in self.shapes if one.startswith(f"{self.family.backbone}.")]
        )
        return {name: self.tensors[name] for name in of_model if name in self.tensors}

    @cached_property
    def model(self) -> PreTrainedModel:
        """The task's model in float32 and eval mode, with its outputs in the order of the task's labels."""
        model_class = task_class(self.family.model_type, self.spec.kind)
        config = copy.deepcopy(self.config)
        config.problem_type = "regression" if self.spec.kind == "regression" else None
        # copies, as the files must not change under a model that maps them into memory
        weights = {name: tensor.to(torch.float32, copy=True) for name, tensor in self.taken.items()}
        with quiet_loading(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model, loading = model_class.from_pretrained(
                None, config=config, state_dict=weights, dtype=torch.float32, output_loading_info=True
            )
        assert set(loading["missing_keys"]) == self.shapes.keys() - weights.keys(), loading
        assert not loading["unexpected_keys"], loading
        if self.head.order:
            _order_outputs(self.family.output_layer(model), self.head.order)
        model.config.id2label = dict(enumerate(self.spec.output_names))
        model.config.label2id = {name: index for index, name in enumerate(self.spec.output_names)}
        return model.eval()

    @property
    def positions(self) -> int:
        """Most tokens of a row that the model has positions for."""
        return self.family.most_tokens(self.config)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the folder."""
        return load_tokenizer(self.folder, self.config, self.spec)


def _new_name(match: re.Match[str]) -> str:
    return {"gamma": "LayerNorm.weight", "beta": "LayerNorm.bias"}[match[1]]


def _order_outputs(layer: nn.Linear, order: Sequence[int]) -> None:
    with torch.no_grad():
        layer.weight.copy_(layer.weight[list(order)].clone())
        layer.bias.copy_(layer.bias[list(order)].clone())
