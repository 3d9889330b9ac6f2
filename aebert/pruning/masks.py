"""Unstructured pruning: the smallest weights of the encoder's matrices become zeros, which stay where they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import torch
from transformers import PreTrainedModel

from aebert.errors import ModelError
from aebert.models.counting import shape_of
from aebert.models.families import Block, family_of
from aebert.models.shape import MatrixShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import Importance
from aebert.pruning.slicing import Selection, extract


def matrix_shape(model: PreTrainedModel) -> MatrixShape:
    """The shape of a model whose units are single weights: a block is a matrix."""
    attention, ffn = _matrices(model)
    physical = shape_of(model)
    return MatrixShape(
        family=physical.family,
        hidden=physical.hidden,
        head_size=physical.head_size,
        ffn_per_layer=len(ffn) // physical.layers,
        heads=tuple(weight.numel() for weight in attention),
        ffn=tuple(weight.numel() for weight in ffn),
        head_params=(1,) * len(attention),
        ffn_params=(1,) * len(ffn),
        head_macs=(0,) * len(attention),
        ffn_macs=(0,) * len(ffn),
        fixed_params=0,
        fixed_macs=physical.fixed_macs,
        other_params=0,
        physical=physical,
    )


def weight_importance(model: PreTrainedModel) -> Importance:
    """The magnitude of every weight, by matrix, row by row: what a threshold on all matrices at once ranks."""
    attention, ffn = ([weight.detach().abs().flatten().numpy() for weight in part] for part in _matrices(model))
    return Importance(tuple(attention), tuple(ffn))


def kept_weights(model: PreTrainedModel) -> Architecture:
    """How many weights of each matrix are not zero."""
    attention, ffn = (tuple(int(weight.count_nonzero()) for weight in part) for part in _matrices(model))
    return Architecture(attention, ffn)


class MagnitudeMasks:
    """Keeps the largest weights of each matrix, by magnitude; among equals, those that come first.

    The result has the dense model's own sizes.
    Source: magnitude pruning with a ratio of its own for each layer, AE-BERT (arXiv:2206.10461).
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    @cached_property
    def _order(self) -> list[torch.Tensor]:
        """Places of the weights of each matrix, the largest first, so that a candidate costs no sorting."""
        attention, ffn = _matrices(self._model)
        return [weight.detach().abs().flatten().argsort(descending=True, stable=True) for weight in (*attention, *ffn)]

    def __call__(self, architecture: Architecture, *, share_weights: bool = False) -> PreTrainedModel:
        """The model with this many weights left in each matrix.

        Raises: ModelError where a matrix of the dense model has more zeros than it is to have, since these can't be
        told from the weights that were kept.
        """
        shape = shape_of(self._model)
        everything = Selection(
            tuple(tuple(range(heads)) for heads in shape.heads), tuple(tuple(range(width)) for width in shape.ffn)
        )
        small = extract(self._model, everything, share_weights=share_weights)
        attention, ffn = _matrices(small)
        kept = (*architecture.heads, *architecture.ffn)
        for weight, order, count in zip((*attention, *ffn), self._order, kept, strict=True):
            weight.data.view(-1)[order[count:]] = 0.0
        check_kept(small, architecture, "the sub-network")
        return small


def check_kept(model: PreTrainedModel, architecture: Architecture, name: str) -> None:
    """Raise `ModelError` unless exactly so many weights of each matrix are not zero."""
    found = kept_weights(model)
    if found != architecture:
        pairs = zip((*found.heads, *found.ffn), (*architecture.heads, *architecture.ffn), strict=True)
        block, (there, asked) = next((block, pair) for block, pair in enumerate(pairs) if pair[0] != pair[1])
        matrix = matrix_shape(model).block_names[block]
        raise ModelError(
            f"{name} must keep exactly {asked:,} weights of matrix {matrix} that are not zero, it has {there:,}; "
            "zeros that a checkpoint has already can't be told from pruned weights: prune less of it"
        )


@contextmanager
def zeros_held(model: PreTrainedModel) -> Iterator[PreTrainedModel]:
    """Inside the block, weights of the matrices that are zero stay zero whatever an optimizer does with gradients.

    Their gradients are zero, so momentum and AdamW's second moment are too, and weight decay of zero is zero.
    """
    attention, ffn = _matrices(model)
    handles = [
        weight.register_hook(_Masked(weight.detach() != 0))  # type: ignore[no-untyped-call]
        for weight in (*attention, *ffn)
    ]
    try:
        yield model
    finally:
        for handle in handles:
            handle.remove()


class _Masked:
    """A hook on a gradient."""

    def __init__(self, mask: torch.Tensor) -> None:
        self._mask = mask

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        self._mask = self._mask.to(gradient.device)  # the Trainer moves models to a GPU if it finds one
        return gradient * self._mask


def _matrices(model: PreTrainedModel) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    """Weights of the attention blocks and of the FFN blocks, each block's inputs first."""
    family = family_of(model.config)
    return _weights(family.attention_blocks(model)), _weights(family.ffn_blocks(model))


def _weights(blocks: list[Block]) -> list[torch.nn.Parameter]:
    return [place.module.weight for block in blocks for place in (*block.inputs, block.output)]
