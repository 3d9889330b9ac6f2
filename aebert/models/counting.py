"""The shape of a model, counted from its modules."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from aebert.models.families import Block, family_of
from aebert.models.shape import ModelShape


def shape_of(model: PreTrainedModel) -> ModelShape:
    """Count the shape of a model, dense or already pruned."""
    family = family_of(model.config)
    attention, ffn = family.attention_blocks(model), family.ffn_blocks(model)
    head_size = family.head_size(model.config)
    heads = tuple(block.inputs[0].module.out_features // head_size for block in attention)
    widths = tuple(block.inputs[0].module.out_features for block in ffn)
    head_costs = [_unit_cost(block, head_size) for block in attention]
    ffn_costs = [_unit_cost(block, 1) for block in ffn]
    layers = family.encoder_layers(model)
    encoder_params = sum(p.numel() for layer in layers for p in layer.parameters())
    encoder_macs = sum(_linear_macs(layer) for layer in layers)
    units = [*zip(heads, head_costs, strict=True), *zip(widths, ffn_costs, strict=True)]
    return ModelShape(
        family=family.model_type,
        hidden=int(model.config.hidden_size),
        head_size=head_size,
        ffn_per_layer=len(ffn) // len(attention),
        heads=heads,
        ffn=widths,
        head_params=tuple(params for params, _ in head_costs),
        ffn_params=tuple(params for params, _ in ffn_costs),
        head_macs=tuple(macs for _, macs in head_costs),
        ffn_macs=tuple(macs for _, macs in ffn_costs),
        fixed_params=encoder_params - sum(count * params for count, (params, _) in units),
        fixed_macs=encoder_macs - sum(count * macs for count, (_, macs) in units),
        other_params=sum(p.numel() for p in model.parameters()) - encoder_params,
    )


def _unit_cost(block: Block, size: int) -> tuple[int, int]:
    """Parameters and MACs per token of one unit, which has `size` rows of the block's input projections."""
    rows = sum(place.module.in_features for place in block.inputs)
    output = block.output.module.out_features
    # every family gives each input projection a bias, even where an empty block has none to count
    return size * (rows + output + len(block.inputs)), size * (rows + output)


def _linear_macs(module: nn.Module) -> int:
    return sum(part.in_features * part.out_features for part in module.modules() if isinstance(part, nn.Linear))
