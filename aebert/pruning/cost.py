"""What an architecture costs, by counting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aebert.models.shape import MatrixShape, ModelShape
from aebert.pruning.architecture import Architecture

# The most bytes that an exported file has besides weights: nodes, names and shapes, measured on files of all families,
# with room for longer names in deep models. _FILE: embeddings, mask and output layer, with position ids of 512 tokens.
# _CHANNEL: a float32 scale and a zero point.
_FILE, _LAYER, _BOTTLENECK, _ATTENTION, _FFN, _CHANNEL = 24_000, 2_100, 8_000, 5_800, 2_100, 5


@dataclass(frozen=True)
class Cost:
    """params: of the whole model. encoder_params, macs: of the encoder layers, MACs for one sequence of the length."""

    params: int
    encoder_params: int
    macs: int


def cost(architecture: Architecture, shape: ModelShape, length: int) -> Cost:
    """Count parameters and multiply-accumulates (MACs; one multiply and one add) of an architecture.

    MACs are those of the encoder's linear layers and of the two matrix products of attention; embeddings, softmax,
    norms, activations and the output layer are left out, as in Kwon et al. 2022 (arXiv:2204.09656, section 5.1).
    Weights that are only set to zero cost as much as before.
    """
    if isinstance(shape, MatrixShape):
        architecture, shape = Architecture.dense(shape.physical), shape.physical
    encoder = (
        shape.fixed_params + _dot(architecture.heads, shape.head_params) + _dot(architecture.ffn, shape.ffn_params)
    )
    scores = 2 * shape.head_size * length  # per token and head: query·key and weights·value
    per_token = shape.fixed_macs + sum(architecture.heads) * scores
    per_token += _dot(architecture.heads, shape.head_macs) + _dot(architecture.ffn, shape.ffn_macs)
    return Cost(params=encoder + shape.other_params, encoder_params=encoder, macs=per_token * length)


def sparsity(architecture: Architecture, shape: ModelShape) -> float:
    """Share of the encoder's parameters that is removed, or of its matrices' weights that is zero; 0 = dense."""
    if isinstance(shape, MatrixShape):
        kept, weights = (sum(one.heads) + sum(one.ffn) for one in (architecture, shape))
        return 1.0 - kept / weights
    dense = cost(Architecture.dense(shape), shape, 1).encoder_params
    return 1.0 - cost(architecture, shape, 1).encoder_params / dense


def macs_removed(architecture: Architecture, shape: ModelShape, length: int) -> float:
    """Share of the encoder's MACs at `length` tokens that is removed; 0 = dense."""
    dense = cost(Architecture.dense(shape), shape, length).macs
    return 1.0 - cost(architecture, shape, length).macs / dense


def fixed_bytes(shape: ModelShape, *, int8: bool) -> int:
    """Bytes of an exported ONNX file that no pruning removes.

    The total with `block_bytes` is the real size or a little more.
    int8 is what `quantize_int8` makes per channel: matrices and embedding tables have 1 byte per weight, and each
    channel has a float32 scale and a zero point; biases and norms stay float32. The shape doesn't say how much of
    `other_params` is biases and norms: in every family at most 4 vectors of the hidden size, and 2 matrices with that
    many channels.
    """
    graph = _FILE + shape.layers * (_LAYER + (_BOTTLENECK if shape.fixed_macs else 0))
    if not int8:
        return graph + 4 * (shape.fixed_params + shape.other_params)
    floats = shape.fixed_params - shape.fixed_macs
    channels = shape.fixed_macs // (min(shape.ffn_macs) // 2)  # half: the narrowest width that a matrix reads
    others = shape.other_params + (4 * 3 + 2 * _CHANNEL) * shape.hidden
    return graph + 4 * floats + shape.fixed_macs + _CHANNEL * channels + others


def block_bytes(shape: ModelShape, block: int, width: int, *, int8: bool) -> int:
    """Bytes that a block of `width` units takes in an exported ONNX file; attention blocks come before FFN blocks.

    A block without units takes none, since its nodes are not exported.
    """
    if width == 0:
        return 0
    ffn = block - shape.layers
    if ffn < 0:
        params, macs, nodes = shape.head_params[block], shape.head_macs[block], _ATTENTION
        outputs = macs // (4 * shape.head_size)  # at most: the mean width of query, key, value and output
    else:
        params, macs, nodes = shape.ffn_params[ffn], shape.ffn_macs[ffn], _FFN
        outputs = macs // 2
    if not int8:
        return nodes + width * 4 * params
    biases = params - macs  # one for each output channel of the input projections
    return nodes + width * (macs + (4 + _CHANNEL) * biases) + _CHANNEL * outputs


def _dot(counts: Sequence[int], costs: Sequence[int]) -> int:
    return sum(count * each for count, each in zip(counts, costs, strict=True))
