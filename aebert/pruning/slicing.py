"""From a dense model and the units to keep: a masked model, or a physically smaller one with the same outputs."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from aebert.errors import ConfigError
from aebert.models.blocks import ConstantOutput, EmptyProjection
from aebert.models.families import Block, family_of
from aebert.pruning.architecture import Architecture
from aebert.pruning.subnetwork import subnetwork_class, subnetwork_config


@dataclass(frozen=True)
class Selection:
    """Indices of the units that each block keeps, ascending. heads per attention block, ffn per FFN block."""

    heads: tuple[tuple[int, ...], ...]
    ffn: tuple[tuple[int, ...], ...]

    @property
    def architecture(self) -> Architecture:
        """How many units each block keeps."""
        return Architecture(tuple(map(len, self.heads)), tuple(map(len, self.ffn)))


@contextmanager
def masked(model: PreTrainedModel, selection: Selection) -> Iterator[PreTrainedModel]:
    """Inside the block, units that are not in `selection` contribute nothing; weights stay as they are.

    A unit's contribution is its part of the input of the block's output projection, which is multiplied by 0.
    """
    handles = []
    try:
        for block, keep, size in _kept_rows(model, selection):
            mask = torch.zeros(block.output.module.in_features).to(next(model.parameters()))
            mask[_rows(keep, size)] = 1.0
            handles.append(block.output.module.register_forward_pre_hook(_multiply(mask)))
        yield model
    finally:
        for handle in handles:
            handle.remove()


def extract(model: PreTrainedModel, selection: Selection, *, share_weights: bool = False) -> PreTrainedModel:
    """A smaller model that keeps only the selected units; its logits equal those of the masked model.

    The result is of the sub-network class of the model's family: `save_pretrained` stores it and
    `aebert.pruning.subnetwork.load_subnetwork` (or transformers' Auto classes) reads it without the dense model.
    share_weights: weights that are not pruned (embeddings, norms, output layer) are the dense model's own tensors, not
      copies; for scoring only, since training one model would change the other. The dense model is never changed.
    """
    blocks = list(_kept_rows(model, selection))
    sliced = {
        id(p): p for block, _, _ in blocks for place in (*block.inputs, block.output) for p in place.module.parameters()
    }
    shared = {id(p): p for p in model.parameters()} if share_weights else sliced
    config = subnetwork_config(model.config, selection.architecture)
    small: Any = copy.deepcopy(model, {**shared, id(model.config): config})
    small.__class__ = subnetwork_class(type(model))
    for block, keep, size in _kept_rows(small, selection):
        _slice_block(block, torch.tensor(_rows(keep, size), dtype=torch.long))
    return small.eval()


def _kept_rows(model: PreTrainedModel, selection: Selection) -> Iterator[tuple[Block, Sequence[int], int]]:
    """Each block with the units that it keeps and the number of rows per unit."""
    family = family_of(model.config)
    head_size = family.head_size(model.config)
    for blocks, kept, size, name in (
        (family.attention_blocks(model), selection.heads, head_size, "heads"),
        (family.ffn_blocks(model), selection.ffn, 1, "ffn"),
    ):
        if len(blocks) != len(kept):
            raise ConfigError(f"{name} must have {len(blocks)} blocks as the model has, got {len(kept)}")
        for index, (block, keep) in enumerate(zip(blocks, kept, strict=True)):
            units = block.inputs[0].module.out_features // size
            if any(not 0 <= unit < units for unit in keep) or list(keep) != sorted(set(keep)):
                raise ConfigError(f"{name}[{index}] must be different units of 0..{units - 1}, ascending, got {keep}")
            yield block, keep, size


def _rows(keep: Sequence[int], size: int) -> list[int]:
    return [unit * size + row for unit in keep for row in range(size)]


def _multiply(mask: torch.Tensor) -> Any:
    return lambda module, inputs: (inputs[0] * mask, *inputs[1:])


def _slice_block(block: Block, rows: torch.Tensor) -> None:
    if len(rows) == 0:
        for place in block.inputs:
            place.put(EmptyProjection(place.module.in_features))
        block.output.put(ConstantOutput(block.output.module.bias.detach().clone()))
        return
    for place in block.inputs:
        old = place.module
        place.put(_linear(old.weight.detach()[rows], old.bias.detach()[rows]))
    old = block.output.module
    block.output.put(_linear(old.weight.detach()[:, rows], old.bias.detach()))


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    with torch.device("meta"):  # neither memory nor initialisation for weights that are replaced at once
        layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight = nn.Parameter(weight.clone(memory_format=torch.contiguous_format))
    layer.bias = nn.Parameter(bias.clone())
    return layer
