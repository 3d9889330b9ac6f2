"""Sequential repair: output projections fitted once more, to the inputs that the pruned blocks before them produce."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from aebert.errors import DataError
from aebert.progress import SILENT, Progress
from aebert.pruning.criteria import Batches, frozen
from aebert.pruning.lockstep import Lockstep
from aebert.pruning.moments import EVEN
from aebert.pruning.removal import DAMPING


def repair_sequentially(
    dense: PreTrainedModel, small: PreTrainedModel, batches: Batches, progress: Progress = SILENT
) -> None:
    """Refit every output projection of `small` in place, in the order of the forward pass; labels are not read.

    A block of the dense model adds y = W x + b to its residual stream h; the pruned one adds W' x' + b' to its own h'.
    W' and b' are the least-squares solution that brings h' + W' x' + b' nearest to h + y over the real tokens of the
    calibration rows, so they also make up for what the blocks before have lost. In the last layer of a sequence
    classifier, which reads only the first token, that token has all the weight but `EVEN`. Damping (as in the library)
    pulls towards the weights as they are. A block without units has its bias fitted. The calibration rows run once
    through the dense model and about 2.5 times through the small one. The dense model is left as it is.
    Raises: DataError when there is no row.
    """
    if not batches:
        raise DataError("repair needs at least one calibration row, got none: check data.roles and data.limits")
    with frozen(dense), frozen(small), torch.no_grad():
        steps = Lockstep(dense, small, batches)
        with progress.bar("repair", len(steps.layers)) as bar:
            for index, (_, layer) in enumerate(steps.layers):
                steps.enter(index)
                first = index == len(steps.layers) - 1 and "SequenceClassification" in type(small).__name__
                for place, site in enumerate(layer.sites):
                    _refit(site.output, *_moments(site.output, steps.pairs(index, place), first))
                steps.leave(index)
                bar.advance()


def _moments(
    output: Any, pairs: Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]], first: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over tokens of [x', 1] [x', 1]ᵀ and of r [x', 1]ᵀ in float64, where r is what the pruned stream lacks.

    first: whether nearly all weight is on the first token of each row.
    """
    size = output.in_features + 1
    gram = torch.zeros(size, size, dtype=torch.float64)
    cross = torch.zeros(output.out_features, size, dtype=torch.float64)
    for inputs, missing, real in pairs:
        design = nn.functional.pad(inputs[real], (0, 1), value=1.0)
        weighted = design * _weights(real, first)[real][:, None]
        gram += (weighted.T @ design).double()
        cross += (missing[real].T @ weighted).double()
    return gram, cross


def _weights(real: torch.Tensor, first: bool) -> torch.Tensor:
    """Weights of a batch's tokens [batch, seq], which are 1 on average over the real tokens."""
    weights = torch.ones(real.shape)
    if first:
        weights[:] = EVEN
        weights[:, 0] += (1 - EVEN) * real.sum() / len(real)
    return weights


def _refit(output: Any, gram: torch.Tensor, cross: torch.Tensor) -> None:
    inputs = len(gram) - 1
    if inputs == 0:
        output.bias += (cross[:, 0] / gram[0, 0]).to(output.bias)
        return
    scale = (
        float(gram.diagonal()[:-1].mean()) or 1.0
    )  # if all inputs are 0, as ReLU may leave them, any damping will do
    damping = torch.full((inputs + 1,), DAMPING * scale, dtype=torch.float64)
    damping[-1] = 0.0  # the bias is free
    step = torch.linalg.solve(gram + damping.diag(), cross.T).T
    output.weight += step[:, :-1].to(output.weight)
    output.bias += step[:, -1].to(output.bias)
