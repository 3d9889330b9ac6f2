"""What an architecture costs, by counting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture


@dataclass(frozen=True)
class Cost:
    """params: whole model. encoder_params, macs: encoder layers alone, macs for one sequence of the stated length."""

    params: int
    encoder_params: int
    macs: int


def cost(architecture: Architecture, shape: ModelShape, length: int) -> Cost:
    """Count parameters and multiply-accumulates (MACs; one multiply and one add) of an architecture.

    MACs are those of the encoder's linear layers and of the two matrix products of attention; embeddings, softmax,
    norms, activations and the output layer are left out, as in Kwon et al. 2022 (arXiv:2204.09656, section 5.1).
    """
    encoder = (
        shape.fixed_params + _dot(architecture.heads, shape.head_params) + _dot(architecture.ffn, shape.ffn_params)
    )
    scores = 2 * shape.head_size * length  # per token and head: query·key and weights·value
    per_token = shape.fixed_macs + sum(architecture.heads) * scores
    per_token += _dot(architecture.heads, shape.head_macs) + _dot(architecture.ffn, shape.ffn_macs)
    return Cost(params=encoder + shape.other_params, encoder_params=encoder, macs=per_token * length)


def sparsity(architecture: Architecture, shape: ModelShape) -> float:
    """Share of the encoder's parameters that is removed; 0 = dense."""
    dense = cost(Architecture.dense(shape), shape, 1).encoder_params
    return 1.0 - cost(architecture, shape, 1).encoder_params / dense


def macs_removed(architecture: Architecture, shape: ModelShape, length: int) -> float:
    """Share of the encoder's MACs at `length` tokens that is removed; 0 = dense."""
    dense = cost(Architecture.dense(shape), shape, length).macs
    return 1.0 - cost(architecture, shape, length).macs / dense


def _dot(counts: Sequence[int], costs: Sequence[int]) -> int:
    return sum(count * each for count, each in zip(counts, costs, strict=True))
