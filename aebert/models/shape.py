"""The prunable shape of an encoder: block sizes and what each unit costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

ATTENTION_MATRICES = 4  # of a layer, in every family: query, key, value, output


@dataclass(frozen=True)
class ModelShape:
    """Sizes and unit costs of an encoder, all counted from the modules of the model itself.

    An attention block's units are heads, an FFN block's units are its hidden neurons. BERT has one of each per layer;
    MobileBERT has `ffn_per_layer` = 4 FFN blocks per layer, in the order of the forward pass, so FFN block `b` is in
    layer `b // ffn_per_layer`.

    heads [layers], ffn [layers * ffn_per_layer]: units of each block.
    head_params, ffn_params: parameters (weights and biases) that belong to one unit of the block.
    head_macs, ffn_macs: multiply-accumulates per token of one unit's projections; attention scores and their weighted
      sum add `2 * head_size * length` per token and head.
    fixed_params, fixed_macs: encoder parameters (and MACs per token) that no pruning removes: output biases, norms,
      bottlenecks.
    other_params: parameters outside the encoder layers: embeddings, pooler, output layer.
    """

    family: str
    hidden: int
    head_size: int
    ffn_per_layer: int
    heads: tuple[int, ...]
    ffn: tuple[int, ...]
    head_params: tuple[int, ...]
    ffn_params: tuple[int, ...]
    head_macs: tuple[int, ...]
    ffn_macs: tuple[int, ...]
    fixed_params: int
    fixed_macs: int
    other_params: int

    @property
    def layers(self) -> int:
        """Number of encoder layers."""
        return len(self.heads)

    @property
    def block_names(self) -> tuple[str, ...]:
        """What the study database calls each block, attention blocks first."""
        return (*(f"heads.{block}" for block in range(len(self.heads))), *(f"ffn.{b}" for b in range(len(self.ffn))))

    @property
    def block_layers(self) -> tuple[int, ...]:
        """The layer of each block, attention blocks first."""
        per_layer = len(self.heads) // self.layers
        attention = (block // per_layer for block in range(len(self.heads)))
        return (*attention, *(block // self.ffn_per_layer for block in range(len(self.ffn))))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class MatrixShape(ModelShape):
    """An encoder whose units are the single weights of its matrices, for unstructured pruning.

    A block is one matrix: the `ATTENTION_MATRICES` of each layer come first, then `ffn_per_layer` of its FFN.
    Weights that are not kept become zeros and stay where they are, so they are stored and multiplied as before. Biases,
    norms and bottlenecks are not counted at all.

    physical: the encoder itself.
    """

    physical: ModelShape

    @property
    def layers(self) -> int:
        """Number of encoder layers."""
        return len(self.heads) // ATTENTION_MATRICES

    @property
    def block_names(self) -> tuple[str, ...]:
        """What the study database calls each matrix, those of attention first."""
        attention = (divmod(block, ATTENTION_MATRICES) for block in range(len(self.heads)))
        ffn = (divmod(block, self.ffn_per_layer) for block in range(len(self.ffn)))
        return (
            *(f"attention.{layer}.{matrix}" for layer, matrix in attention),
            *(f"ffn.{layer}.{matrix}" for layer, matrix in ffn),
        )
