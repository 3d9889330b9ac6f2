"""The prunable shape of an encoder: block sizes and what each unit costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
