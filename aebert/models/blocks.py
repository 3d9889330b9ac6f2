"""Modules that stand in for the projections of a block that keeps no unit."""

from __future__ import annotations

import torch
from torch import nn


class EmptyProjection(nn.Module):
    """A linear layer with no output: `[..., in_features]` → `[..., 0]`, without parameters.

    `nn.Linear(in_features, 0)` does the same, but warns when it is initialised and leaves an empty matrix product in
    exported graphs.
    """

    out_features = 0

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.in_features = in_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop all features."""
        return x[..., :0]


class ConstantOutput(nn.Module):
    """The output projection of a block without units: its bias, whatever the input is. `[..., any]` → `[..., out]`.

    It reads only the shape of its input, so exporters drop the dead block before it.
    """

    in_features = 0

    def __init__(self, bias: torch.Tensor) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias)
        self.out_features = bias.numel()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Repeat the bias for every position."""
        return self.bias.expand(*x.shape[:-1], self.out_features)
