from __future__ import annotations

import torch

from aebert.models.blocks import ConstantOutput, EmptyProjection


def test_an_empty_projection_keeps_the_leading_axes() -> None:
    layer = EmptyProjection(6)
    assert layer(torch.ones(2, 5, 6)).shape == (2, 5, 0)
    assert (layer.in_features, layer.out_features) == (6, 0)
    assert list(layer.parameters()) == []


def test_a_constant_output_is_its_bias_at_every_position() -> None:
    layer = ConstantOutput(torch.tensor([1.0, -2.0]))
    assert layer(torch.ones(1, 3, 0)).tolist() == [[[1.0, -2.0]] * 3]
    assert (layer.in_features, layer.out_features) == (0, 2)


def test_the_bias_of_a_constant_output_learns() -> None:
    layer = ConstantOutput(torch.tensor([1.0, -2.0]))
    layer(torch.ones(2, 3, 0)).sum().backward()
    assert layer.bias.grad is not None
    assert layer.bias.grad.tolist() == [6.0, 6.0]  # 2 rows of 3 positions
