"""Shapes of encoders that others have published times of."""

from __future__ import annotations

from aebert.models.shape import ModelShape
from aebert.registry import Registry


def bert_shape(hidden: int, layers: int, heads: int, ffn: int, *, other_params: int = 0) -> ModelShape:
    """The shape of a post-norm encoder laid out as BERT's: four attention matrices, two of the FFN, two norms."""
    size = hidden // heads
    return ModelShape(
        family="bert",
        hidden=hidden,
        head_size=size,
        ffn_per_layer=1,
        heads=(heads,) * layers,
        ffn=(ffn,) * layers,
        head_params=(size * (4 * hidden + 3),) * layers,
        ffn_params=(2 * hidden + 1,) * layers,
        head_macs=(4 * hidden * size,) * layers,
        ffn_macs=(2 * hidden,) * layers,
        fixed_params=6 * hidden * layers,  # two output biases, two norms
        fixed_macs=0,
        other_params=other_params,
    )


REFERENCE_SHAPES: Registry[ModelShape] = Registry("reference model")
# embeddings, pooler and a classifier of two labels
REFERENCE_SHAPES.add("bert-base", bert_shape(768, 12, 12, 3072, other_params=24_429_314))
# Whisper's audio encoders have BERT's layers behind two small convolutions (Radford et al. 2022, arXiv:2212.04356).
REFERENCE_SHAPES.add("whisper-tiny-encoder", bert_shape(384, 4, 6, 1536))
REFERENCE_SHAPES.add("whisper-base-encoder", bert_shape(512, 6, 8, 2048))
REFERENCE_SHAPES.add("whisper-small-encoder", bert_shape(768, 12, 12, 3072))
REFERENCE_SHAPES.add("whisper-medium-encoder", bert_shape(1024, 24, 16, 4096))
