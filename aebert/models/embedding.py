"""Encoders that end in the embedding of a text, one class per family."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ModelOutput
from transformers.models.auto import modeling_auto

from aebert.models.families import FAMILIES, Family
from aebert.models.pooling import Pooling

SUFFIX = "ForSentenceEmbedding"
"""Of the names of these classes: `BertForSentenceEmbedding`."""


@dataclass
class EmbeddingOutput(ModelOutput):  # type: ignore[misc]
    """logits [batch, hidden]: the embeddings, in the place where models of other tasks have theirs.

    last_hidden_state [batch, seq, hidden]; hidden_states: after the embeddings and each layer, if asked for.
    """

    logits: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


def pool(states: torch.Tensor, mask: torch.Tensor | None, mode: str, normalize: bool) -> torch.Tensor:
    """Embeddings [batch, hidden] of hidden states [batch, seq, hidden], as sentence-transformers computes them.

    mask [batch, seq]: 1 for real tokens; None where all are.
    """
    if mode == "cls":
        pooled = states[:, 0]
    elif mask is None:
        pooled = states.mean(dim=1) if mode == "mean" else _largest(states)
    else:
        real = mask[..., None].to(states.dtype)
        if mode == "mean":
            pooled = (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1e-9)
        else:
            pooled = _largest(states.masked_fill(real == 0, -1e9))
    if not normalize:
        return pooled
    # what torch's `normalize` computes; see `_largest`
    return pooled / pooled.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-12)


def _largest(states: torch.Tensor) -> torch.Tensor:
    """Maximum over the tokens [batch, hidden].

    Only operators are used here whose shapes ONNX Runtime's optimizer can infer: if it meets others, such as the
    ReduceMax of `amax` or the ReduceL2 of `norm`, it fuses no layer norm of the whole graph.
    """
    return states.topk(1, dim=1).values[:, 0]


def set_pooling(config: PretrainedConfig, pooling: Pooling) -> None:
    """Make a config that of a model with this pooling."""
    config.aebert_pooling, config.aebert_normalize = pooling.mode, pooling.normalize


def reads_first_token(model: PreTrainedModel) -> bool:
    """Whether the model's output follows from the first token of the last layer alone."""
    name = type(model).__name__
    return "SequenceClassification" in name or (SUFFIX in name and model.config.aebert_pooling == "cls")


@cache
def embedding_class(model_type: str) -> type[PreTrainedModel]:
    """The class of a family's embedding models."""
    family = FAMILIES[model_type]
    base = getattr(transformers, modeling_auto.MODEL_MAPPING_NAMES[model_type])
    pretrained = next(one for one in base.__mro__[1:] if issubclass(one, PreTrainedModel))
    name = f"{base.__name__.removesuffix('Model')}{SUFFIX}"
    return type(name, (pretrained,), {**_members(family, base, pretrained), "__module__": __name__})


def embedding_class_names() -> dict[str, type[PreTrainedModel]]:
    """The embedding classes of all families, by name."""
    classes = [embedding_class(model_type) for model_type in FAMILIES]
    return {one.__name__: one for one in classes}


def _members(family: Family, base: type[PreTrainedModel], pretrained: type[PreTrainedModel]) -> dict[str, Any]:
    # what classifies reads BERT's pooler, sentence-transformers' embeddings don't
    options = {"add_pooling_layer": False} if _takes_pooler(base) else {}

    def build(self: Any, config: PretrainedConfig) -> None:
        pretrained.__init__(self, config)
        setattr(self, family.backbone, base(config, **options))
        self.post_init()

    def with_types(
        self: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        **options: Any,
    ) -> EmbeddingOutput:
        return _forward(self, family, input_ids, attention_mask, token_type_ids=token_type_ids, **options)

    def without_types(
        self: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **options: Any
    ) -> EmbeddingOutput:
        return _forward(self, family, input_ids, attention_mask, **options)

    return {"__init__": build, "forward": with_types if family.uses_token_types else without_types}


def _takes_pooler(base: type[nn.Module]) -> bool:
    return "add_pooling_layer" in inspect.signature(base.__init__).parameters


def _forward(
    model: Any, family: Family, input_ids: torch.Tensor, attention_mask: torch.Tensor | None, **options: Any
) -> EmbeddingOutput:
    options.pop("return_dict", None)  # there is one form of output
    found = getattr(model, family.backbone)(input_ids=input_ids, attention_mask=attention_mask, **options)
    states, config = found.last_hidden_state, model.config
    vectors = pool(states, attention_mask, config.aebert_pooling, config.aebert_normalize)
    return EmbeddingOutput(vectors, states, found.get("hidden_states"))
